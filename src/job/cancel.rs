//! Cancelling a job.

use super::read::{JobRef, find_job, lock_live_job};
use crate::error::{self, KronosError, Result};
use crate::{execution, schedule, sql};
use pgrx::Uuid;
use serde_json::json;

const RETIRE_CANCELLED: &str = "
update kronos.jobs
set status = 'RETIRED', schedule_id = null, retired_at = clock_timestamp(), retired_reason = 'CANCELLED'
where job_id = $1";

/// Retires a live cron job and lets go of its schedule; returns its id. No further tick is materialised once this commits, also none
/// that came due before and has not been handled; executions that exist are left to run.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, and what pg_cron raises when its entry cannot be removed.
pub fn cancel(workspace: &str, job: JobRef) -> Result<Uuid> {
    let job = lock_live_job(workspace, job)?;
    sql::run(RETIRE_CANCELLED, &[job.job_id.into()])?;
    if let Some(schedule_id) = job.schedule_id {
        schedule::release(schedule_id)?;
    }
    Ok(job.job_id)
}

const FIND_ONE_SHOT: &str = "
select j.workspace_id, j.status = 'RETIRED' as is_retired, j.retired_reason, x.execution_id
from kronos.jobs j left join kronos.executions x on x.lineage_id = j.job_id and x.origin = 'ONCE'
where j.job_id = $1 and j.trigger <> 'CRON'";

/// Cancels a job of any trigger, and returns its id: a cron job as [`cancel`] does, a one-shot job with its execution
/// ([`execution::cancel`]).
///
/// # Errors
/// Those of either; `INVALID_ARGUMENT` for `request_stop` with a cron job, whose executions are left to run.
pub fn cancel_any(workspace: &str, job: JobRef, request_stop: bool) -> Result<Uuid> {
    let (job_id, _) = find_job(workspace, job)?;
    let one_shot = sql::row(FIND_ONE_SHOT, &[job_id.into()], |row| {
        Ok((
            sql::get::<Uuid>(row, "workspace_id")?,
            sql::get::<bool>(row, "is_retired")?,
            sql::get_opt::<String>(row, "retired_reason")?,
            sql::get_opt::<Uuid>(row, "execution_id")?,
        ))
    })?;
    match one_shot {
        None if request_stop => Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            "request_stop is for one-shot jobs: a cancelled cron job's executions are left to run",
            json!({ "argument": "request_stop" }),
        )
        .with_hint("kronos.cancel_execution() asks the worker of one execution to stop.")),
        None => cancel(workspace, job),
        Some((workspace_id, false, _, Some(execution_id))) => {
            execution::cancel(workspace_id, execution_id, request_stop).map(|()| job_id)
        }
        Some((_, _, reason, _)) => Err(KronosError::new(
            &error::JOB_RETIRED,
            format!("job {job_id} is retired"),
            json!({ "job_id": job_id.to_string(), "retired_reason": reason }),
        )),
    }
}
