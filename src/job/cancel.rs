//! Cancelling a cron job.

use super::read::{JobRef, lock_live_job};
use crate::error::Result;
use crate::{schedule, sql};
use pgrx::Uuid;

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
