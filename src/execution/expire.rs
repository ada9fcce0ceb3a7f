//! Leases that expire.

use super::ending::{Ended, end};
use super::held::Report;
use crate::authority::Authorised;
use crate::error::Result;
use crate::id::WorkspaceId;
use crate::named::Named;
use crate::sql::{self, Composite};
use crate::status::Outcome;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;

/// Fails the attempt of every execution whose lease has expired, `max` at most, and returns how many there were. Later
/// reports from the previous holder are rejected.
///
/// # Errors
/// Fails only if SQL does.
pub fn expire_leases(max: i64) -> Result<i64> {
    let expired = expire(include_str!("lock_expired.sql"), &[max.into()])?;
    Ok(expired.len() as i64)
}

/// Like [`expire_leases`], for the oldest expired leases of one workspace. The rows stay locked until the caller's
/// transaction ends, so a claim for one workspace must not touch those of another.
///
/// # Errors
/// Fails only if SQL does.
pub fn expire_leases_of(workspace: &Authorised, max: i64) -> Result<i64> {
    let args = [max.into(), workspace.workspace_id.into()];
    let expired = expire(include_str!("lock_expired_of_workspace.sql"), &args)?;
    Ok(expired.len() as i64)
}

/// Ends the leases of a worker that is known to be dead, in a workspace (in all, if None), before they expire: each
/// attempt fails as LOST. Returns a report about each execution. Later reports from the worker are rejected. Leaves out
/// executions that other sessions have locked.
///
/// # Errors
/// Fails only if SQL does.
pub fn expire_worker_leases(
    worker_id: &str,
    workspace_id: Option<WorkspaceId>,
    max: i64,
    ended_by: pg_sys::Oid,
) -> Result<Vec<Composite>> {
    let args = [
        worker_id.into(),
        workspace_id.into(),
        max.into(),
        ended_by.into(),
    ];
    let ended = expire(include_str!("lock_held_by_worker.sql"), &args)?;
    Ok(ended.into_iter().map(|report| report.row).collect())
}

const LOCK_LOST: &str = "
select x.execution_id, 'LOST' as outcome, 'SQL worker ' || x.worker_id || ' ended' as error
from kronos_internal.live_executions x
where x.status = 'RUNNING' and x.endpoint_type = 'SQL' and x.worker_id <> all ($1::text[])
for no key update skip locked";

/// Fails the attempts of the server's own workers that do not live any more: all but `living`.
///
/// # Errors
/// Fails only if SQL does.
pub fn expire_lost(living: &[&str]) -> Result<()> {
    expire(LOCK_LOST, &[living.to_vec().into()]).map(|_| ())
}

/// Fails the attempts of the executions that a statement locks.
fn expire(lock: &'static str, args: &[DatumWithOid]) -> Result<Vec<Report>> {
    let expired = sql::by_index(|| {
        sql::rows(lock, args, |row| {
            Ok(Ended {
                execution_id: sql::get(row, "execution_id")?,
                outcome: Outcome::read(row)?,
                error: sql::get_opt(row, "error")?,
                is_retryable: true,
                retry_at: None,
            })
        })
    })?;
    if expired.is_empty() {
        return Ok(vec![]);
    }
    end(&expired)
}
