//! Pauses and resumes cron jobs.

use super::create::begin;
use super::definition::{Request, Terms};
use super::error::{job_not_paused, job_paused};
use super::find::{Job, lock_live};
use super::job_ref::JobRef;
use crate::args;
use crate::authority::Authorised;
use crate::error::Result;
use crate::id::{JobId, ScheduleId};
use crate::{endpoint, schedule, sql};
use chrono::{DateTime, Utc};

const PAUSE: &str = "
update kronos_internal.jobs
set status = 'PAUSED', schedule_id = null, paused_at = clock_timestamp(), paused_reason = $2
where job_id = $1";

/// Pauses an active cron job, releases its schedule, and returns the job's id. Once the transaction commits, no further
/// tick is written, not even a tick that came due earlier and has not been handled. Existing executions still run.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `JOB_PAUSED`, and any error of pg_cron when it removes the entry.
pub fn pause(workspace: &Authorised, job: JobRef, reason: Option<&str>) -> Result<JobId> {
    if let Some(reason) = reason {
        args::length("reason", reason, 1000)?;
    }
    let job = lock_live(workspace, job)?;
    let Some(schedule_id) = job.schedule_id else {
        return Err(job_paused(job.job_id, job.paused_at));
    };
    write_paused(job.job_id, schedule_id, reason)?;
    Ok(job.job_id)
}

/// Pauses a job that the caller has locked, and releases its schedule.
///
/// # Errors
/// Any error of pg_cron when it removes the entry.
pub fn write_paused(job_id: JobId, schedule_id: ScheduleId, reason: Option<&str>) -> Result<()> {
    sql::by_index(|| sql::run(PAUSE, &[job_id.into(), reason.into()]))?;
    schedule::release(schedule_id)
}

const RESUME: &str = "
update kronos_internal.jobs set status = 'ACTIVE', schedule_id = $2, active_since = $3 where job_id = $1";

/// Resumes a paused cron job, and returns its id. The job runs the ticks that come due from now on.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `JOB_NOT_PAUSED`; `PERMISSION_DENIED` for an SQL endpoint whose role the caller does not
/// have; the errors of [`super::create`].
pub fn resume(workspace: &Authorised, job: JobRef) -> Result<JobId> {
    let job = lock_live(workspace, job)?;
    if !job.is_paused() {
        return Err(job_not_paused(job.job_id));
    }
    endpoint::find_by_id(job.definition.endpoint_id)?.require_use(workspace)?;
    let terms = terms_of(&job)?;
    let first_tick = terms.first_tick()?;
    let schedule_id = schedule::join(workspace.workspace_id, &terms.timing, &terms.timezone)?;
    let (instant, _) = begin(&terms, first_tick)?;
    write_resumed(job.job_id, schedule_id, instant)?;
    Ok(job.job_id)
}

/// Activates a paused job. The caller has locked the job and joined its schedule.
///
/// # Errors
/// Fails only if SQL does.
pub fn write_resumed(job_id: JobId, schedule_id: ScheduleId, instant: DateTime<Utc>) -> Result<()> {
    let args = [
        job_id.into(),
        schedule_id.into(),
        sql::to_pg(instant).into(),
    ];
    sql::by_index(|| sql::run(RESUME, &args)).map(|_| ())
}

/// The terms of a stored job, checked as if it were requested anew.
fn terms_of(job: &Job) -> Result<Terms<'_>> {
    let stored = &job.definition;
    let request = Request {
        name: stored.name.as_deref(),
        cron: &stored.cron,
        timezone: &stored.timezone,
        starts_at: stored.window.starts_at,
        ends_at: stored.window.ends_at,
        catchup_policy: stored.catchup_policy,
        catchup_window: stored.catchup_window,
        overlap_policy: stored.overlap_policy,
        jitter: stored.jitter,
        priority: stored.priority,
        max_consecutive_failures: stored.max_consecutive_failures,
        concurrency_key: stored.concurrency_key.as_deref(),
    };
    request.check(stored.on_failure_id)
}
