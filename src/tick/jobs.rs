//! The jobs of due schedules, as a pass reads and locks them.

use crate::calendar::Tick;
use crate::error::{KronosError, Result};
use crate::id::{JobId, ScheduleId, WorkspaceId};
use crate::named::Named;
use crate::policy::{CatchupPolicy, OverlapPolicy};
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use std::ops::Range;

/// A job, with the columns that a pass needs.
pub struct Job {
    pub job_id: JobId,
    pub workspace_id: WorkspaceId,
    pub active_since: DateTime<Utc>,
    pub catchup_policy: CatchupPolicy,
    pub catchup_window: Duration,
    pub replaces: bool,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    /// No tick before this instant is ever written again.
    pub ledger_from: DateTime<Utc>,
}

impl Job {
    /// The instants at which the job has the ticks of its schedule: the job was active, they lie in its window, and
    /// they are not before `ledger_from`.
    pub fn range(&self) -> Range<DateTime<Utc>> {
        let start = (self.active_since + Duration::microseconds(1)).max(self.ledger_from);
        Range {
            start: self
                .starts_at
                .map_or(start, |starts_at| start.max(starts_at)),
            end: self.ends_at.unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    /// Whether the job has a tick of its schedule.
    pub fn has(&self, tick: DateTime<Utc>) -> bool {
        self.range().contains(&tick)
    }

    /// Reads the columns that the statements of this module return.
    pub fn read(row: &sql::Row) -> Result<Job> {
        let time = |column| -> Result<Option<DateTime<Utc>>> {
            Ok(sql::get_opt::<TimestampWithTimeZone>(row, column)?.map(sql::from_pg))
        };
        let require_time = |column| time(column)?.ok_or_else(|| KronosError::internal(column));
        let window: Interval = sql::get(row, "catchup_window")?;
        Ok(Job {
            job_id: sql::get(row, "job_id")?,
            workspace_id: sql::get(row, "workspace_id")?,
            active_since: require_time("active_since")?,
            catchup_policy: CatchupPolicy::read(row)?,
            catchup_window: Duration::microseconds(window.micros()),
            replaces: OverlapPolicy::read(row)? == OverlapPolicy::Replace,
            starts_at: time("starts_at")?,
            ends_at: time("ends_at")?,
            ledger_from: require_time("ledger_from")?,
        })
    }
}

/// A range of the jobs of one schedule, in the order of job_id: the jobs after one id, up to and including another.
pub struct JobRange {
    pub schedule_id: ScheduleId,
    pub after: JobId,
    pub up_to: JobId,
}

impl JobRange {
    /// The jobs after a job, or all jobs.
    pub fn new(schedule_id: ScheduleId, after: Option<JobId>) -> JobRange {
        JobRange {
            schedule_id,
            after: after.unwrap_or(JobId::least()),
            up_to: JobId::greatest(),
        }
    }
}

/// The schedules and bounds of ranges as columns, for the arguments of a statement.
pub fn columns(ranges: &[JobRange]) -> (Vec<ScheduleId>, Vec<JobId>, Vec<JobId>) {
    let job_ids = |read: fn(&JobRange) -> JobId| ranges.iter().map(read).collect();
    (
        ranges.iter().map(|it| it.schedule_id).collect(),
        job_ids(|it| it.after),
        job_ids(|it| it.up_to),
    )
}

const LOCK_JOBS: &str = include_str!("lock_jobs.sql");

/// Locks at most `limit` jobs of the ranges, in order, and skips jobs that another session has locked. Returns each job
/// with the place of its range.
pub fn lock_jobs(ranges: &[JobRange], limit: usize) -> Result<Vec<(usize, Job)>> {
    let (schedules, after, up_to) = columns(ranges);
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

/// Locks jobs in any status, and skips jobs that another session has locked. `read` gets all columns.
pub fn lock_jobs_by_id<T>(
    jobs: Vec<JobId>,
    read: impl FnMut(&sql::Row) -> Result<T>,
) -> Result<Vec<T>> {
    sql::rows(LOCK_JOBS_BY_ID, &[jobs.into()], read)
}

const SET_BACK_JOBS: &str = include_str!("set_back_jobs.sql");

/// Corrects jobs that became active while the clock was ahead, `limit` at most.
pub fn set_back_jobs(limit: usize) -> Result<()> {
    let now = sql::now();
    let args = [
        sql::to_pg(now).into(),
        sql::to_pg(now + sql::CLOCK_TOLERANCE).into(),
        (limit as i64).into(),
    ];
    sql::run(SET_BACK_JOBS, &args).map(|_| ())
}

const COUNT_JOBS: &str = include_str!("count_jobs.sql");
const READ_JOBS: &str = include_str!("read_jobs.sql");

/// Counts the jobs of the ranges.
pub fn count_jobs(ranges: &[JobRange]) -> Result<usize> {
    let (schedules, after, up_to) = columns(ranges);
    let args = [schedules.into(), after.into(), up_to.into()];
    let count = sql::row(COUNT_JOBS, &args, |row| sql::get::<i64>(row, "jobs"))?;
    Ok(count.unwrap_or_default() as usize)
}

/// Reads the jobs of the ranges without locking them, each with the place of its range. If `ticks` has a tick for a
/// range, leaves out the jobs whose tick is in the ledger already.
pub fn read_jobs(ranges: &[JobRange], ticks: &[Option<Tick>]) -> Result<Vec<(usize, Job)>> {
    let (schedules, after, up_to) = columns(ranges);
    let ticks: Vec<_> = ticks.iter().map(|tick| tick.map(sql::to_pg)).collect();
    sql::rows(
        READ_JOBS,
        &[schedules.into(), after.into(), up_to.into(), ticks.into()],
        |row| Ok((sql::get::<i64>(row, "place")? as usize, Job::read(row)?)),
    )
}
