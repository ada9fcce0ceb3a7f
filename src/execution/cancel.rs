//! Cancelling one execution.

use super::claim::WAITING;
use super::finish::{STARTABLE, execution_not_found};
use crate::error::{self, KronosError, Result};
use crate::{settings, sql};
use pgrx::Uuid;
use serde_json::json;

const LOCK: &str = "
select status, worker_id, finished_at::text
from kronos.executions
where workspace_id = $1 and execution_id = $2
for no key update";

const CANCEL: &str = "
with cancelled as (
    update kronos.executions
    set status = 'CANCELLED', status_reason = 'cancelled', finished_at = clock_timestamp()
    where execution_id = $1
    returning *
)
update kronos.jobs j
set status = 'RETIRED', retired_at = c.finished_at, retired_reason = 'CANCELLED'
from cancelled c
where j.job_id = c.job_id and c.origin = 'ONCE'";

const REQUEST_STOP: &str = "
update kronos.executions
set stop_requested_at = coalesce(stop_requested_at, clock_timestamp()), status_reason = 'cancelled'
where execution_id = $1";

const NOTIFY: &str = "
select pg_notify('kronos_executions', w.name)
from kronos.executions e join kronos.workspaces w using (workspace_id)
where e.execution_id = $1 and {STARTABLE}";

/// Cancels an execution that waits; a one-shot job retires with it. One that runs is asked to stop, if that is wanted: its
/// worker hears of it at its next heartbeat, and unless it completes, it ends as CANCELLED.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`, `EXECUTION_FINISHED`; `EXECUTION_RUNNING` for one that runs, without `request_stop`.
pub fn cancel(workspace_id: Uuid, execution_id: Uuid, request_stop: bool) -> Result<()> {
    let read = |row: &sql::Row| {
        Ok((
            sql::get::<String>(row, "status")?,
            sql::get_opt::<String>(row, "worker_id")?,
            sql::get_opt::<String>(row, "finished_at")?,
        ))
    };
    let (status, worker_id, finished_at) =
        sql::row(LOCK, &[workspace_id.into(), execution_id.into()], read)?
            .ok_or_else(|| execution_not_found(execution_id))?;
    let detail = json!({
        "execution_id": execution_id.to_string(), "status": status, "held_by": worker_id, "finished_at": finished_at,
    });
    if finished_at.is_some() {
        let message = format!("execution {execution_id} has ended already: {status}");
        return Err(KronosError::new(
            &error::EXECUTION_FINISHED,
            message,
            detail,
        ));
    }
    if status != "RUNNING" {
        sql::run(CANCEL, &[execution_id.into()])?;
        if settings::notify_workers() {
            let notify = NOTIFY
                .replace("{STARTABLE}", STARTABLE)
                .replace("{WAITING}", WAITING);
            sql::run(&notify, &[execution_id.into()])?;
        }
        return Ok(());
    }
    if !request_stop {
        let message = format!("execution {execution_id} is running");
        return Err(KronosError::new(&error::EXECUTION_RUNNING, message, detail)
            .with_hint("request_stop => true asks its worker to stop."));
    }
    sql::run(REQUEST_STOP, &[execution_id.into()]).map(|_| ())
}
