//! Updates cron jobs: the current version ends and the next one begins, at the same instant.

use super::create::begin;
use super::definition::{Request, Terms};
use super::error::{job_exists, translate_constraints, version_conflict};
use super::find::{Job, lock_live};
use super::job_ref::JobRef;
use crate::args;
use crate::authority::Authorised;
use crate::endpoint::{self, Endpoint};
use crate::error::{Result, endpoint_not_found};
use crate::id::{JobId, ScheduleId};
use crate::named::Named;
use crate::policy::{CatchupPolicy, OverlapPolicy};
use crate::sql::{self, Jsonb};
use crate::{schedule, tick};
use chrono::{DateTime, Utc};
use pgrx::datum::{Interval, TimestampWithTimeZone};

/// The changes of an update. None keeps the old value.
pub struct Changes<'a> {
    pub endpoint: Option<&'a str>,
    pub cron: Option<&'a str>,
    pub input: Option<Jsonb>,
    pub new_name: Option<&'a str>,
    pub timezone: Option<&'a str>,
    /// `-infinity` clears the bound.
    pub starts_at: Option<TimestampWithTimeZone>,
    /// `infinity` clears the bound.
    pub ends_at: Option<TimestampWithTimeZone>,
    pub catchup_policy: Option<CatchupPolicy>,
    pub catchup_window: Option<Interval>,
    pub overlap_policy: Option<OverlapPolicy>,
    pub jitter: Option<Interval>,
    pub priority: Option<i32>,
    /// The empty key clears it.
    pub concurrency_key: Option<&'a str>,
    pub metadata: Option<Jsonb>,
    /// The empty name clears it.
    pub on_failure: Option<&'a str>,
    /// 0 clears it.
    pub max_consecutive_failures: Option<i32>,
    /// The update fails unless this is the job's current version.
    pub expected_version: Option<i32>,
}

/// Begins the next version of a live cron job, and returns the job's id. A paused job stays paused.
///
/// The change happens at an instant within this call. Ticks that came due before it belong to the old version, and this
/// call writes the ticks that no wake-up has handled yet.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `VERSION_CONFLICT`, `JOB_EXISTS`, and the errors of [`super::create`].
pub fn update(workspace: &Authorised, job: JobRef, changes: Changes) -> Result<JobId> {
    let job = lock_live(workspace, job)?;
    if let Some(expected) = changes.expected_version
        && expected != job.version
    {
        return Err(version_conflict(job.job_id, job.version, expected));
    }
    if let Some(name) = changes.new_name {
        args::length("new_name", name, 200)?;
    }
    let old = &job.definition;
    let request = Request {
        name: changes.new_name.or(old.name.as_deref()),
        cron: changes.cron.unwrap_or(&old.cron),
        timezone: changes.timezone.unwrap_or(&old.timezone),
        starts_at: changes.starts_at.or(old.window.starts_at),
        ends_at: changes.ends_at.or(old.window.ends_at),
        catchup_policy: changes.catchup_policy.unwrap_or(old.catchup_policy),
        catchup_window: changes.catchup_window.unwrap_or(old.catchup_window),
        overlap_policy: changes.overlap_policy.unwrap_or(old.overlap_policy),
        jitter: changes.jitter.unwrap_or(old.jitter),
        priority: changes.priority.unwrap_or(old.priority),
        max_consecutive_failures: match changes.max_consecutive_failures {
            None => old.max_consecutive_failures,
            changed => changed.filter(|times| *times != 0),
        },
        concurrency_key: match changes.concurrency_key {
            Some("") => None,
            given => given.or(old.concurrency_key.as_deref()),
        },
    };
    let on_failure_id = match changes.on_failure {
        None => old.on_failure_id,
        Some("") => None,
        Some(name) => Some(endpoint::find_handler(workspace, name)?),
    };
    let terms = request.check(on_failure_id)?;
    if let Some(metadata) = changes.metadata {
        args::metadata(metadata)?;
    }
    let endpoint = match changes.endpoint {
        Some(name) => endpoint::find(workspace, name)?,
        None => endpoint::find_by_id(old.endpoint_id)?,
    };
    endpoint.require_use(workspace)?;
    match changes.input {
        Some(input) => endpoint.check_input(input)?,
        None if endpoint.has_payload_spec() => endpoint.check_input(input_of(job.job_id)?)?,
        None => {}
    }
    let first_tick = terms.first_tick()?;
    // An active job joins its schedule even if the schedule stays the same: joining verifies the pg_cron entry.
    let schedule_id = match job.schedule_id {
        Some(_) => Some(schedule::join(
            workspace.workspace_id,
            &terms.timing,
            &terms.timezone,
        )?),
        None => None,
    };
    let (instant, _) = begin(&terms, first_tick)?;
    let next = Version {
        terms: &terms,
        endpoint: &endpoint,
        input: changes.input,
        metadata: changes.metadata,
        schedule_id,
    };
    write_version(&workspace.name, &job, &next, instant)?;
    match job.schedule_id {
        Some(left) if Some(left) != schedule_id => schedule::release(left)?,
        _ => {}
    }
    Ok(job.job_id)
}

/// The next version of a job, ready to be written.
pub struct Version<'a> {
    pub terms: &'a Terms<'a>,
    pub endpoint: &'a Endpoint,
    /// None keeps the old value.
    pub input: Option<Jsonb>,
    /// None keeps the old value.
    pub metadata: Option<Jsonb>,
    /// With a schedule the job is active; without one it is paused.
    pub schedule_id: Option<ScheduleId>,
}

/// Ends the current version of a job and begins the next one. The caller has locked the job and joined the new
/// schedule, and releases the old schedule afterwards.
///
/// # Errors
/// `JOB_EXISTS`, `ENDPOINT_NOT_FOUND`.
pub fn write_version(
    workspace: &str,
    job: &Job,
    next: &Version,
    instant: DateTime<Utc>,
) -> Result<()> {
    let terms = next.terms;
    // The next version never catches up on ticks that came due before it, under its own policy or window, but for ticks
    // that could not be written for the old version.
    let has_later_ticks_only = match job.schedule_id {
        Some(_) => {
            let leaves_schedule = job.schedule_id != next.schedule_id;
            tick::write_unhandled(job.job_id, instant, leaves_schedule)?
        }
        None => true,
    };
    let args = [
        job.job_id.into(),
        terms.name.into(),
        next.endpoint.endpoint_id.into(),
        next.endpoint.endpoint_type.as_str().into(),
        terms.cron().into(),
        terms.timezone.as_str().into(),
        next.schedule_id.into(),
        next.input.into(),
        next.metadata.into(),
        terms.window.starts_at.into(),
        terms.window.ends_at.into(),
        terms.catchup_policy.name().into(),
        terms.catchup_window.into(),
        terms.overlap_policy.name().into(),
        terms.jitter.into(),
        terms.priority.into(),
        terms.on_failure_id.into(),
        terms.max_consecutive_failures.into(),
        sql::to_pg(instant).into(),
        has_later_ticks_only.into(),
        terms.concurrency_key.into(),
    ];
    let [workspace, name, endpoint] = [
        workspace,
        terms.name.unwrap_or_default(),
        next.endpoint.name.as_str(),
    ]
    .map(str::to_owned);
    translate_constraints(
        || sql::by_index(|| sql::run(include_str!("update_job.sql"), &args)).map(|_| ()),
        || job_exists(&workspace, &name),
        || endpoint_not_found(&workspace, &endpoint),
    )
}

fn input_of(job_id: JobId) -> Result<Jsonb> {
    sql::by_index(|| {
        sql::row(
            "select input from kronos_internal.jobs where job_id = $1",
            &[job_id.into()],
            |row| sql::get(row, "input"),
        )
    })?
    .ok_or_else(crate::error::concurrent_change)
}
