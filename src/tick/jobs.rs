//! The jobs of due schedules, as a pass reads and locks them.

use crate::error::{KronosError, Result};
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::Uuid;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use std::collections::HashSet;

/// Which missed ticks a job catches up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CatchupPolicy {
    None,
    Last,
    All,
}

/// What a pass needs to know of a job.
pub struct Job {
    pub job_id: Uuid,
    pub workspace_id: Uuid,
    pub active_since: DateTime<Utc>,
    pub catchup_policy: CatchupPolicy,
    pub catchup_window: Duration,
    pub replaces: bool,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    /// No tick before this instant is ever materialised again.
    pub ledger_from: DateTime<Utc>,
}

impl Job {
    /// Whether a tick of its schedule is the job's: it came due while the job was active, inside its window, and above the
    /// floor of the ledger.
    pub fn has(&self, tick: DateTime<Utc>) -> bool {
        tick > self.active_since
            && tick >= self.ledger_from
            && self.starts_at.is_none_or(|starts_at| tick >= starts_at)
            && self.ends_at.is_none_or(|ends_at| tick < ends_at)
    }

    /// Reads the columns that the statements of this module return.
    pub fn read(row: &sql::Row) -> Result<Job> {
        let time = |column| -> Result<Option<DateTime<Utc>>> {
            Ok(sql::get_opt::<TimestampWithTimeZone>(row, column)?.map(sql::from_pg))
        };
        let needed = |column| time(column)?.ok_or_else(|| KronosError::internal(column));
        let window: Interval = sql::get(row, "catchup_window")?;
        Ok(Job {
            job_id: sql::get(row, "job_id")?,
            workspace_id: sql::get(row, "workspace_id")?,
            active_since: needed("active_since")?,
            catchup_policy: match sql::get::<String>(row, "catchup_policy")?.as_str() {
                "none" => CatchupPolicy::None,
                "last" => CatchupPolicy::Last,
                _ => CatchupPolicy::All,
            },
            catchup_window: Duration::microseconds(window.micros()),
            replaces: sql::get::<String>(row, "overlap_policy")? == "replace",
            starts_at: time("starts_at")?,
            ends_at: time("ends_at")?,
            ledger_from: needed("ledger_from")?,
        })
    }
}

/// A stretch of the jobs of one schedule, in the order of job_id: those after one job, and up to another if given.
pub struct Stretch {
    pub schedule_id: Uuid,
    pub after: Option<Uuid>,
    pub up_to: Option<Uuid>,
}

/// Before every job.
fn nil() -> Uuid {
    Uuid::from_bytes([0; 16])
}

fn bounds(stretches: &[Stretch]) -> (Vec<Uuid>, Vec<Uuid>, Vec<Option<Uuid>>) {
    (
        stretches.iter().map(|it| it.schedule_id).collect(),
        stretches
            .iter()
            .map(|it| it.after.unwrap_or_else(nil))
            .collect(),
        stretches.iter().map(|it| it.up_to).collect(),
    )
}

const LOCK_JOBS: &str = include_str!("lock_jobs.sql");

/// Locks jobs of the stretches, `limit` at most and in order, and passes over those that another session holds. Each
/// comes with the place of its stretch.
pub fn lock_jobs(stretches: &[Stretch], limit: usize) -> Result<Vec<(usize, Job)>> {
    let (schedules, after, _) = bounds(stretches);
    sql::rows(
        LOCK_JOBS,
        &[schedules.into(), after.into(), (limit as i64).into()],
        |row| Ok((sql::get::<i64>(row, "place")? as usize, Job::read(row)?)),
    )
}

const COUNT_JOBS: &str = include_str!("count_jobs.sql");
const READ_JOBS: &str = include_str!("read_jobs.sql");

/// Of the jobs of the stretches, those that are not among the `held`, which were locked: another session holds them.
pub fn held_by_others(stretches: &[Stretch], held: &[(usize, Job)]) -> Result<Vec<(usize, Job)>> {
    let (schedules, after, up_to) = bounds(stretches);
    let args = [schedules.into(), after.into(), up_to.into()];
    let count = sql::row(COUNT_JOBS, &args, |row| sql::get::<i64>(row, "jobs"))?;
    if count.unwrap_or_default() as usize == held.len() {
        return Ok(vec![]);
    }
    let held: HashSet<Uuid> = held.iter().map(|(_, job)| job.job_id).collect();
    let all = sql::rows(READ_JOBS, &args, |row| {
        Ok((sql::get::<i64>(row, "place")? as usize, Job::read(row)?))
    })?;
    Ok(all
        .into_iter()
        .filter(|(_, job)| !held.contains(&job.job_id))
        .collect())
}

const UNFINISHED: &str = "
select x.job_id, x.execution_id from kronos_internal.live_executions x where x.job_id = any ($1::uuid[])";

const LOCK_UNFINISHED: &str = "
select x.execution_id
from kronos_internal.live_executions x
where x.execution_id = any ($1::uuid[])
for no key update skip locked";

/// Locks the unfinished executions of jobs whose ticks replace them, and returns the jobs that have one which another
/// session holds.
pub fn busy(jobs: Vec<Uuid>) -> Result<Vec<Uuid>> {
    let unfinished: Vec<(Uuid, Uuid)> = sql::rows(UNFINISHED, &[jobs.into()], |row| {
        Ok((sql::get(row, "job_id")?, sql::get(row, "execution_id")?))
    })?;
    let ids: Vec<Uuid> = unfinished
        .iter()
        .map(|(_, execution_id)| *execution_id)
        .collect();
    let locked = sql::rows(LOCK_UNFINISHED, &[ids.into()], |row| {
        sql::get(row, "execution_id")
    })?;
    let locked: HashSet<Uuid> = locked.into_iter().collect();
    Ok(unfinished
        .into_iter()
        .filter(|(_, execution_id)| !locked.contains(execution_id))
        .map(|(job_id, _)| job_id)
        .collect())
}
