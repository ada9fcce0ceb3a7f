//! Cancelling one execution.

use super::wakeup::Startable;
use crate::authority::Authorised;
use crate::error::{self, KronosError, Result};
use crate::id::{ExecutionId, WorkspaceId};
use crate::named::Named;
use crate::sql;
use crate::status::Status;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::json;

const LOCK: &str = "
select status, worker_id
from kronos_internal.live_executions
where execution_id = $2 and workspace_id = $1
for no key update";

const FINISHED: &str = "
select status, finished_at from kronos_internal.history where workspace_id = $1 and execution_id = $2";

const REQUEST_STOP: &str = "
update kronos_internal.live_executions
set stop_requested_at = coalesce(stop_requested_at, clock_timestamp()), status_reason = 'cancelled'
where execution_id = $1
returning endpoint_type = 'SQL' as is_sql";

/// Cancels a waiting execution. With `request_stop`, asks the worker of a running execution to stop: the worker learns of
/// it at its next heartbeat (the server stops an SQL statement at once), and the execution ends as CANCELLED unless the worker completes it.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`, `EXECUTION_FINISHED`; `EXECUTION_RUNNING` for a running execution without `request_stop`.
pub fn cancel(workspace: &Authorised, execution_id: ExecutionId, request_stop: bool) -> Result<()> {
    let args = [workspace.workspace_id.into(), execution_id.into()];
    let live = sql::by_index(|| {
        sql::row(LOCK, &args, |row| {
            Ok((
                Status::read(row)?,
                sql::get_opt::<String>(row, "worker_id")?,
            ))
        })
    })?;
    let id = execution_id.to_string();
    match live {
        None => Err(not_live(workspace.workspace_id, execution_id)),
        Some((status, _)) if status != Status::Running => {
            let mut startable = Startable::default();
            sql::by_index(|| {
                sql::row(include_str!("cancel.sql"), &[execution_id.into()], |row| {
                    startable.add(row)
                })
            })?;
            startable.notify();
            Ok(())
        }
        Some(_) if request_stop => {
            let args = [execution_id.into()];
            let is_sql =
                sql::by_index(|| sql::row(REQUEST_STOP, &args, |row| sql::get(row, "is_sql")))?;
            if is_sql == Some(true) {
                super::wake_sql_workers(sql::now());
            }
            Ok(())
        }
        Some((status, worker_id)) => Err(KronosError::new(
            &error::EXECUTION_RUNNING,
            format!("execution {id} is running"),
            json!({ "execution_id": id, "status": status.name(), "held_by": worker_id }),
        )
        .with_hint("request_stop => true asks its worker to stop.")),
    }
}

/// The error for an execution that is not live.
fn not_live(workspace_id: WorkspaceId, execution_id: ExecutionId) -> KronosError {
    let args = [workspace_id.into(), execution_id.into()];
    let finished = sql::row(FINISHED, &args, |row| {
        Ok((
            sql::get::<String>(row, "status")?,
            sql::get::<TimestampWithTimeZone>(row, "finished_at")?,
        ))
    });
    match finished {
        Err(error) => error,
        Ok(None) => error::execution_not_found(execution_id),
        Ok(Some((status, finished_at))) => KronosError::new(
            &error::EXECUTION_FINISHED,
            format!("execution {execution_id} has finished: {status}"),
            json!({
                "execution_id": execution_id.to_string(), "status": status, "finished_at": sql::iso(finished_at),
            }),
        ),
    }
}
