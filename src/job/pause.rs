//! Pausing a cron job, and letting it go on.

use super::read::{CronJob, JobRef, lock_live_job};
use super::rules::{Window, check_fires, check_length, shown};
use crate::error::{self, KronosError, Result};
use crate::schedule::{self, parse_timing};
use crate::sql;
use pgrx::Uuid;
use serde_json::json;

const PAUSE: &str = "
update kronos.jobs
set status = 'PAUSED', schedule_id = null, paused_at = clock_timestamp(), paused_reason = $2
where job_id = $1";

/// Pauses a live cron job and lets go of its schedule; returns its id. No further tick is materialised once this commits, also none that
/// came due before and has not been handled; executions that exist are left to run.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `JOB_PAUSED`, and what pg_cron raises when its entry cannot be removed.
pub fn pause(workspace: &str, job: JobRef, reason: Option<&str>) -> Result<Uuid> {
    if let Some(reason) = reason {
        check_length("reason", reason, 1000)?;
    }
    let job = lock_live_job(workspace, job)?;
    let Some(schedule_id) = job.schedule_id else {
        return Err(job_paused(&job));
    };
    sql::run(PAUSE, &[job.job_id.into(), reason.into()])?;
    schedule::release(schedule_id)?;
    Ok(job.job_id)
}

const RESUME: &str = "
update kronos.jobs
set status = 'ACTIVE', schedule_id = $2, active_since = clock_timestamp()
where job_id = $1";

/// Lets a paused cron job go on with the ticks that come due from now on, and returns its id.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `JOB_NOT_PAUSED`, and those of creating.
pub fn resume(workspace: &str, job: JobRef) -> Result<Uuid> {
    let job = lock_live_job(workspace, job)?;
    let job_id = job.job_id;
    if job.schedule_id.is_some() {
        return Err(KronosError::new(
            &error::JOB_NOT_PAUSED,
            format!("job {job_id} is not paused"),
            json!({ "job_id": job_id.to_string() }),
        ));
    }
    let (timing, timezone) = parse_timing(&job.cron, &job.timezone)?;
    check_fires(&timing, &Window::new(job.starts_at, job.ends_at)?)?;
    let schedule_id = schedule::join(&timing, &timezone)?;
    sql::run(RESUME, &[job_id.into(), schedule_id.into()])?;
    Ok(job_id)
}

fn job_paused(job: &CronJob) -> KronosError {
    let since = shown(job.paused_at);
    KronosError::new(
        &error::JOB_PAUSED,
        format!(
            "job {} is paused since {}",
            job.job_id,
            since.as_deref().unwrap_or_default()
        ),
        json!({ "job_id": job.job_id.to_string(), "paused_at": since }),
    )
}
