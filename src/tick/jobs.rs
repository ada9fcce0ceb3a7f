//! The jobs of due schedules, as a pass reads and locks them.

use crate::calendar::Tick;
use crate::error::{KronosError, Result};
use crate::id::{JobId, ScheduleId, WorkspaceId};
use crate::policy::{CatchupPolicy, OverlapPolicy};
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::datum::{Interval, TimestampWithTimeZone};

/// What a pass needs to know of a job.
pub struct Job {
    pub job_id: JobId,
    pub workspace_id: WorkspaceId,
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
            catchup_policy: CatchupPolicy::read(row)?,
            catchup_window: Duration::microseconds(window.micros()),
            replaces: OverlapPolicy::read(row)? == OverlapPolicy::Replace,
            starts_at: time("starts_at")?,
            ends_at: time("ends_at")?,
            ledger_from: needed("ledger_from")?,
        })
    }
}

/// A stretch of the jobs of one schedule, in the order of job_id: those after one id, up to and including another.
pub struct Stretch {
    pub schedule_id: ScheduleId,
    pub after: JobId,
    pub up_to: JobId,
}

impl Stretch {
    /// The jobs after one of them, or all.
    pub fn new(schedule_id: ScheduleId, after: Option<JobId>) -> Stretch {
        Stretch {
            schedule_id,
            after: after.unwrap_or(JobId::least()),
            up_to: JobId::greatest(),
        }
    }
}

/// The schedules and bounds of stretches, as statements take them.
pub fn columns(stretches: &[Stretch]) -> (Vec<ScheduleId>, Vec<JobId>, Vec<JobId>) {
    let job_ids = |read: fn(&Stretch) -> JobId| stretches.iter().map(read).collect();
    (
        stretches.iter().map(|it| it.schedule_id).collect(),
        job_ids(|it| it.after),
        job_ids(|it| it.up_to),
    )
}

const LOCK_JOBS: &str = include_str!("lock_jobs.sql");

/// Locks jobs of the stretches, `limit` at most and in order, and passes over those that another session holds. Each
/// comes with the place of its stretch.
pub fn lock_jobs(stretches: &[Stretch], limit: usize) -> Result<Vec<(usize, Job)>> {
    let (schedules, after, up_to) = columns(stretches);
    let args = [
        schedules.into(),
        after.into(),
        up_to.into(),
        (limit as i64).into(),
    ];
    sql::rows(LOCK_JOBS, &args, |row| {
        Ok((sql::get::<i64>(row, "place")? as usize, Job::read(row)?))
    })
}

const LOCK_JOBS_BY_ID: &str = include_str!("lock_jobs_by_id.sql");

/// Locks jobs in whatever status, and passes over those that another session holds. `read` gets all columns.
pub fn lock_jobs_by_id<T>(
    jobs: Vec<JobId>,
    read: impl FnMut(&sql::Row) -> Result<T>,
) -> Result<Vec<T>> {
    sql::rows(LOCK_JOBS_BY_ID, &[jobs.into()], read)
}

const COUNT_JOBS: &str = include_str!("count_jobs.sql");
const READ_JOBS: &str = include_str!("read_jobs.sql");

/// How many jobs the stretches have.
pub fn count_jobs(stretches: &[Stretch]) -> Result<usize> {
    let (schedules, after, up_to) = columns(stretches);
    let args = [schedules.into(), after.into(), up_to.into()];
    let count = sql::row(COUNT_JOBS, &args, |row| sql::get::<i64>(row, "jobs"))?;
    Ok(count.unwrap_or_default() as usize)
}

/// The jobs of the stretches, not locked, each with the place of its stretch; where `ticks` has a tick for the stretch, those
/// for which the ledger does not have it.
pub fn read_jobs(stretches: &[Stretch], ticks: &[Option<Tick>]) -> Result<Vec<(usize, Job)>> {
    let (schedules, after, up_to) = columns(stretches);
    let ticks: Vec<_> = ticks.iter().map(|tick| tick.map(sql::to_pg)).collect();
    sql::rows(
        READ_JOBS,
        &[schedules.into(), after.into(), up_to.into(), ticks.into()],
        |row| Ok((sql::get::<i64>(row, "place")? as usize, Job::read(row)?)),
    )
}
