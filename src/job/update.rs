//! Updating a cron job: the live version is retired and replaced at one instant.

use super::create::keep_constraints;
use super::read::{CronJob, JobRef, lock_live_job};
use super::rules::{Policies, Window, check_fires, check_input, check_length, check_priority};
use crate::calendar::timing;
use crate::endpoint;
use crate::error::{self, KronosError, Result};
use crate::execution::{due_ticks, handled_ticks, horizons, materialise_or_raise};
use crate::schedule::{self, parse_timing};
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{JsonB, Uuid};
use serde_json::{Value, json};

/// What is to change; None keeps the old value.
pub struct Changes<'a> {
    pub name: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub cron: Option<&'a str>,
    pub timezone: Option<&'a str>,
    pub input: Option<JsonB>,
    /// `-infinity` takes the bound away.
    pub starts_at: Option<TimestampWithTimeZone>,
    /// `infinity` takes the bound away.
    pub ends_at: Option<TimestampWithTimeZone>,
    pub policies: Policies<'a>,
    pub priority: Option<i32>,
    /// Fails unless this is the job's version.
    pub expected_version: Option<i32>,
}

const RETIRE_REPLACED: &str = "
update kronos.jobs
set status = 'RETIRED', schedule_id = null, retired_at = $2, retired_reason = 'REPLACED', replaced_by_id = $3
where job_id = $1";

const INSERT_VERSION: &str = "
insert into kronos.jobs (job_id, lineage_id, version, previous_version_id, workspace_id, endpoint_id, trigger,
                         cron, timezone, schedule_id, input, starts_at, ends_at, created_at,
                         active_since, status, paused_at, paused_reason, catchup_policy, catchup_window, overlap_policy,
                         jitter, name, declared, priority)
select $2, lineage_id, version + 1, job_id, workspace_id, $13, trigger,
       $3, $4, $5, coalesce($6, input), $7, $8, $9,
       $9, $12, paused_at, paused_reason, coalesce($10, catchup_policy), coalesce($11, catchup_window),
       coalesce($14, overlap_policy), coalesce($15, jitter), coalesce($16, name), declared, coalesce($17, priority)
from kronos.jobs
where job_id = $1";

/// Replaces a live cron job by a new version, and returns the new version's id.
///
/// The instant of the change lies in this call: ticks that came due before it are the old version's, and those that no
/// wake-up has handled yet are materialised here.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `VERSION_CONFLICT`, `JOB_EXISTS`, and those of creating.
pub fn update(workspace: &str, job: JobRef, changes: Changes) -> Result<Uuid> {
    let old = lock_live_job(workspace, job)?;
    check_version(&old, changes.expected_version)?;
    let cron = changes.cron.unwrap_or(&old.cron);
    let (timing, timezone) = parse_timing(cron, changes.timezone.unwrap_or(&old.timezone))?;
    let window = Window::new(
        changes.starts_at.or(old.starts_at),
        changes.ends_at.or(old.ends_at),
    )?;
    check_fires(&timing, &window)?;
    changes.policies.check()?;
    if let Some(name) = changes.name {
        check_length("name", name, 200)?;
    }
    if let Some(priority) = changes.priority {
        check_priority(priority)?;
    }
    let endpoint = match changes.endpoint {
        Some(endpoint) => endpoint::find(old.workspace_id, workspace, endpoint)?,
        None => endpoint::find_by_id(old.endpoint_id)?,
    };
    match &changes.input {
        Some(input) => {
            check_input(&input.0)?;
            endpoint.check_input(&input.0)?;
        }
        None => endpoint.check_input(&input_of(old.job_id)?)?,
    }
    // A paused job has no schedule, and stays paused.
    let schedule_id = match old.schedule_id {
        Some(_) => Some(schedule::join(&timing, &timezone)?),
        None => None,
    };
    let instant = sql::now();
    materialise_due(&old, instant)?;
    let new_id = crate::sql::uuid_v7();
    let at = sql::to_pg(instant);
    sql::run(
        RETIRE_REPLACED,
        &[old.job_id.into(), at.into(), new_id.into()],
    )?;
    let args = [
        old.job_id.into(),
        new_id.into(),
        timing.expr.text().into(),
        timezone.as_str().into(),
        schedule_id.into(),
        changes.input.into(),
        window.starts_at.into(),
        window.ends_at.into(),
        at.into(),
        changes.policies.catchup_policy.into(),
        changes.policies.catchup_window.into(),
        old.status.as_str().into(),
        endpoint.endpoint_id.into(),
        changes.policies.overlap_policy.into(),
        changes.policies.jitter.into(),
        changes.name.into(),
        changes.priority.into(),
    ];
    keep_constraints(workspace, changes.name, &endpoint.name, || {
        sql::run(INSERT_VERSION, &args)
    })?;
    match old.schedule_id {
        Some(left) if Some(left) != schedule_id => schedule::release(left)?,
        _ => {}
    }
    Ok(new_id)
}

fn input_of(job_id: Uuid) -> Result<Value> {
    let input = sql::row(
        "select input from kronos.jobs where job_id = $1",
        &[job_id.into()],
        |row| sql::get::<JsonB>(row, "input"),
    )?;
    Ok(input.map_or(Value::Null, |input| input.0))
}

fn check_version(job: &CronJob, expected: Option<i32>) -> Result<()> {
    match expected {
        Some(expected) if expected != job.version => Err(KronosError::new(
            &error::VERSION_CONFLICT,
            format!(
                "job {} has version {}, not {expected}",
                job.job_id, job.version
            ),
            json!({
                "job_id": job.job_id.to_string(),
                "expected_version": expected,
                "current_version": job.version,
            }),
        )),
        _ => Ok(()),
    }
}

/// Materialises the ticks of a version that have come due up to an instant and that no wake-up has handled for it.
fn materialise_due(job: &CronJob, instant: DateTime<Utc>) -> Result<()> {
    let Some(schedule_id) = job.schedule_id else {
        return Ok(());
    };
    let handled = sql::row(
        "select next_tick_at, settled_at from kronos.schedules where schedule_id = $1",
        &[schedule_id.into()],
        |row| {
            Ok((
                sql::from_pg(sql::get(row, "next_tick_at")?),
                sql::from_pg(sql::get(row, "settled_at")?),
            ))
        },
    )?;
    let (Some((next_tick_at, settled_at)), Ok(timing)) =
        (handled, timing(&job.cron, &job.timezone))
    else {
        return Ok(());
    };
    // A job that run_due cannot have seen so far has all its ticks still to come.
    let active_since = sql::from_pg(job.active_since);
    let mut due = vec![];
    if active_since > settled_at {
        due = handled_ticks(
            schedule_id,
            &timing,
            active_since,
            next_tick_at.min(instant),
            None,
        );
    }
    let horizons = horizons(&[schedule_id], instant)?;
    let before = next_tick_at - Duration::microseconds(1);
    due.extend(due_ticks(
        schedule_id,
        &timing,
        before,
        instant,
        horizons.get(&schedule_id),
    ));
    materialise_or_raise(&due, job.job_id).map(|_| ())
}
