//! Cancels cron jobs.

use super::find::lock_live;
use super::job_ref::JobRef;
use crate::authority::Authorised;
use crate::error::Result;
use crate::id::JobId;
use crate::{schedule, sql};

const RETIRE: &str = "
update kronos_internal.jobs
set status = 'RETIRED', schedule_id = null, retired_at = clock_timestamp(), retired_reason = $2
where job_id = any ($1)";

/// Retires a live cron job, releases its schedule, and returns the job's id. Once the transaction commits, no further
/// tick is written, not even a tick that came due earlier and has not been handled. Existing executions still run.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, and any error of pg_cron when it removes the entry.
pub fn cancel(workspace: &Authorised, job: JobRef) -> Result<JobId> {
    let job = lock_live(workspace, job)?;
    retire(vec![job.job_id], "CANCELLED")?;
    if let Some(schedule_id) = job.schedule_id {
        schedule::release(schedule_id)?;
    }
    Ok(job.job_id)
}

/// Retires jobs that the caller has locked; the caller releases their schedules afterwards.
///
/// # Errors
/// Fails only if SQL does.
pub fn retire(job_ids: Vec<JobId>, reason: &str) -> Result<()> {
    sql::by_index(|| sql::run(RETIRE, &[job_ids.into(), reason.into()])).map(|_| ())
}
