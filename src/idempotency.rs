//! Idempotency keys: a repeated request finds the job or execution that the first request created.

use crate::args;
use crate::error::{self, Result};
use crate::id::{Id, WorkspaceId};
use crate::sql;
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;

/// Reserves a key that is free or has expired. If another transaction is reserving the key, the session waits for it at
/// the primary key.
const RESERVE: &str = include_str!("idempotency_reserve.sql");

const FIND: &str = "
select made_id from kronos_internal.idempotency_keys where workspace_id = $1 and scope = $2 and key = $3";

/// When a key may be used again.
#[derive(Clone, Copy)]
pub enum Expiry {
    /// When the created job is pruned.
    Never,
    /// One retention after now, or after an instant if it is later: the run_at of a delayed execution.
    After(Option<TimestampWithTimeZone>),
}

const POINT_TO: &str = "
update kronos_internal.idempotency_keys set made_id = $4 where workspace_id = $1 and scope = $2 and key = $3";

/// Makes a key that this transaction has reserved find another execution than the one that it was reserved for.
///
/// # Errors
/// Fails only if SQL does.
pub fn point_to<Table>(
    workspace_id: WorkspaceId,
    scope: &str,
    key: &str,
    made_id: Id<Table>,
) -> Result<()> {
    let args = [
        workspace_id.into(),
        scope.into(),
        key.into(),
        made_id.into(),
    ];
    sql::run(POINT_TO, &args).map(|_| ())
}

/// Reserves a key for the job or execution that a request is about to create, or returns the id that an earlier request
/// with the key created.
///
/// # Errors
/// `INVALID_ARGUMENT`; `CONCURRENT_CHANGE` if the snapshot is too old to show what another session created.
pub fn reserve<Table>(
    workspace_id: WorkspaceId,
    scope: &str,
    key: &str,
    made_id: Id<Table>,
    expiry: Expiry,
) -> Result<Option<Id<Table>>> {
    args::length("idempotency_key", key, 200)?;
    let not_before = match expiry {
        Expiry::Never => Some(sql::to_pg(DateTime::<Utc>::MAX_UTC)),
        Expiry::After(instant) => instant,
    };
    let args = [
        workspace_id.into(),
        scope.into(),
        key.into(),
        made_id.into(),
        not_before.into(),
    ];
    let reserved = sql::exists(RESERVE, &args)?;
    if reserved {
        return Ok(None);
    }
    let args = [workspace_id.into(), scope.into(), key.into()];
    match sql::row(FIND, &args, |row| sql::get(row, "made_id"))? {
        Some(made_id) => Ok(Some(made_id)),
        None => Err(error::concurrent_change()),
    }
}
