//! Cancelling a cron job.

use super::find::lock_live;
use super::job_ref::JobRef;
use crate::error::Result;
use crate::id::JobId;
use crate::workspace::Workspace;
use crate::{schedule, sql};

const RETIRE: &str = "
update kronos_internal.jobs
set status = 'RETIRED', schedule_id = null, retired_at = clock_timestamp(), retired_reason = $2
where job_id = any ($1)";

/// Retires a live cron job and releases its schedule; returns its id. No further tick is materialised once this commits,
/// not even one that came due before and has not been handled. Executions that exist are left to run.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, and what pg_cron raises when its entry cannot be removed.
pub fn cancel(workspace: &Workspace, job: JobRef) -> Result<JobId> {
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
