//! Pausing a cron job, and resuming it.

use super::create::begin;
use super::definition::{Request, Terms};
use super::error::{job_not_paused, job_paused};
use super::find::{Job, lock_live};
use super::job_ref::JobRef;
use crate::args;
use crate::error::Result;
use crate::id::{JobId, ScheduleId};
use crate::workspace::Workspace;
use crate::{schedule, sql};
use chrono::{DateTime, Utc};

const PAUSE: &str = "
update kronos_internal.jobs
set status = 'PAUSED', schedule_id = null, paused_at = clock_timestamp(), paused_reason = $2
where job_id = $1";

/// Pauses an active cron job and releases its schedule; returns its id. No further tick is materialised once this commits,
/// not even one that came due before and has not been handled. Executions that exist are left to run.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `JOB_PAUSED`, and what pg_cron raises when its entry cannot be removed.
pub fn pause(workspace: &Workspace, job: JobRef, reason: Option<&str>) -> Result<JobId> {
    if let Some(reason) = reason {
        args::length("reason", reason, 1000)?;
    }
    let job = lock_live(workspace, job)?;
    let Some(schedule_id) = job.schedule_id else {
        return Err(job_paused(job.job_id, job.paused_at));
    };
    sql::by_index(|| sql::run(PAUSE, &[job.job_id.into(), reason.into()]))?;
    schedule::release(schedule_id)?;
    Ok(job.job_id)
}

const RESUME: &str = "
update kronos_internal.jobs set status = 'ACTIVE', schedule_id = $2, active_since = $3 where job_id = $1";

/// Resumes a paused cron job with the ticks that come due from now on, and returns its id.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `JOB_NOT_PAUSED`, and those of creating.
pub fn resume(workspace: &Workspace, job: JobRef) -> Result<JobId> {
    let job = lock_live(workspace, job)?;
    if !job.is_paused() {
        return Err(job_not_paused(job.job_id));
    }
    let terms = terms_of(&job)?;
    let first_tick = terms.first_tick()?;
    let schedule_id = schedule::join(workspace.workspace_id, &terms.timing, &terms.timezone)?;
    let (instant, _) = begin(&terms, first_tick)?;
    write_resumed(job.job_id, schedule_id, instant)?;
    Ok(job.job_id)
}

/// Makes a paused job active. The caller holds its lock and has joined its schedule.
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

/// What a stored job says, as if it were requested anew.
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
    };
    request.check()
}
