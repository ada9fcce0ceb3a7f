//! Idempotency keys: the same request again finds what the first one made.

use crate::args;
use crate::error::{self, Result};
use crate::sql;
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;

/// Takes a key that is free, or whose time is over. A session that asks for a key which another transaction is taking
/// waits for it: the primary key decides.
const RESERVE: &str = "
insert into kronos_internal.idempotency_keys as k (workspace_id, scope, key, made_id, expires_at)
select w.workspace_id, $2, $3, $4, greatest(clock_timestamp(), $5) + w.execution_retention
from kronos_internal.workspaces w
where w.workspace_id = $1
on conflict (workspace_id, scope, key) do update
set made_id = excluded.made_id, expires_at = excluded.expires_at
where k.expires_at <= clock_timestamp()
returning made_id";

const FIND: &str = "
select made_id from kronos_internal.idempotency_keys where workspace_id = $1 and scope = $2 and key = $3";

/// Reserves a key for what a request is about to make, or returns what an earlier request with the key made. The key
/// expires one retention after now, or after `not_before` if that is later (the run_at of a delayed execution).
///
/// # Errors
/// `INVALID_ARGUMENT`; `CONCURRENT_CHANGE` where a snapshot is too old to show what another session made.
pub fn reserve(
    workspace_id: Uuid,
    scope: &str,
    key: &str,
    made_id: Uuid,
    not_before: Option<TimestampWithTimeZone>,
) -> Result<Option<Uuid>> {
    args::length("idempotency_key", key, 200)?;
    let reserved = sql::exists(
        RESERVE,
        &[
            workspace_id.into(),
            scope.into(),
            key.into(),
            made_id.into(),
            not_before.into(),
        ],
    )?;
    if reserved {
        return Ok(None);
    }
    let args = [workspace_id.into(), scope.into(), key.into()];
    match sql::row(FIND, &args, |row| sql::get(row, "made_id"))? {
        Some(made_id) => Ok(Some(made_id)),
        None => Err(error::concurrent_change()),
    }
}
