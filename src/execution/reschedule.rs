//! Rescheduling an execution that waits.

use super::cancel::lock_unfinished;
use super::wakeup::Startable;
use crate::args;
use crate::authority::Authorised;
use crate::endpoint;
use crate::error::{self, Result};
use crate::id::ExecutionId;
use crate::sql;
use pgrx::datum::TimestampWithTimeZone;

const FIND_ENDPOINT: &str =
    "select endpoint_id from kronos_internal.live_executions where execution_id = $1";

/// Changes the run_at and the priority of a waiting execution; None leaves them as they are.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`, `EXECUTION_FINISHED`, `EXECUTION_RUNNING`, `INVALID_ARGUMENT`; `PERMISSION_DENIED` for an SQL
/// endpoint whose role the caller does not have.
pub fn reschedule(
    workspace: &Authorised,
    execution_id: ExecutionId,
    run_at: Option<TimestampWithTimeZone>,
    priority: Option<i32>,
) -> Result<()> {
    if let Some(run_at) = run_at {
        args::instant("run_at", run_at)?;
    }
    if let Some(priority) = priority {
        args::priority(priority)?;
    }
    if let Some(running) = lock_unfinished(workspace, execution_id)? {
        return Err(running);
    }
    let endpoint_id = sql::by_index(|| {
        sql::row(FIND_ENDPOINT, &[execution_id.into()], |row| {
            sql::get(row, "endpoint_id")
        })
    })?;
    endpoint::find_by_id(endpoint_id.ok_or_else(error::concurrent_change)?)?
        .require_use(workspace)?;
    let args = [
        execution_id.into(),
        run_at.into(),
        priority.into(),
        sql::now_pg().into(),
    ];
    let mut startable = Startable::default();
    let changed = sql::by_index(|| {
        sql::row(include_str!("reschedule.sql"), &args, |row| {
            startable.add(row)
        })
    })?;
    startable.notify();
    changed.ok_or_else(error::concurrent_change)
}
