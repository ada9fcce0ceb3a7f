//! Passes: which schedules are due, and the progress of their passes.

use super::due::DueTicks;
use crate::calendar::{Timing, timing};
use crate::error::Result;
use crate::id::{JobId, ScheduleId};
use crate::sql;
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;
use std::rc::Rc;

/// A schedule that is due.
pub struct Due {
    pub schedule_id: ScheduleId,
    /// The last job that the pass has handled, if the pass has begun.
    pub pass_job_id: Option<JobId>,
    timing: Rc<Timing>,
    pass_until: DateTime<Utc>,
    /// The schedule's ticks up to this instant have been handled.
    after: DateTime<Utc>,
}

const LOCK_DUE: &str = include_str!("lock_due.sql");

/// Locks at most `limit` schedules that are due at an instant. Skips the `unreadable` schedules, and adds the schedules
/// that this server cannot read to them.
pub fn lock_due(
    until: DateTime<Utc>,
    limit: usize,
    unreadable: &mut Vec<ScheduleId>,
) -> Result<Vec<Due>> {
    // Another wake-up may have handled a schedule after `until`.
    let clock = sql::now() + sql::CLOCK_TOLERANCE;
    let args = [
        sql::to_pg(until).into(),
        sql::to_pg(clock).into(),
        unreadable.clone().into(),
        (limit as i64).into(),
    ];
    let due = sql::rows(LOCK_DUE, &args, |row| {
        let schedule_id: ScheduleId = sql::get(row, "schedule_id")?;
        let (cron, timezone): (String, String) =
            (sql::get(row, "cron")?, sql::get(row, "timezone")?);
        let Ok(timing) = timing(&cron, &timezone) else {
            unreadable.push(schedule_id);
            return Ok(None);
        };
        let time = |column| -> Result<Option<DateTime<Utc>>> {
            Ok(sql::get_opt::<TimestampWithTimeZone>(row, column)?.map(sql::from_pg))
        };
        let ticked_until = time("ticked_until")?.unwrap_or(until);
        let was_fast = ticked_until > clock;
        let pass_until = time("pass_until")?.filter(|pass_until| *pass_until <= until);
        Ok(Some(Due {
            schedule_id,
            pass_job_id: pass_until.and(sql::get_opt(row, "pass_job_id")?),
            pass_until: pass_until.unwrap_or(until),
            after: if was_fast { until } else { ticked_until },
            timing,
        }))
    })?;
    Ok(due.into_iter().flatten().collect())
}

/// The progress of a schedule after a batch.
pub struct Progress {
    schedule_id: ScheduleId,
    next_tick_at: Option<DateTime<Utc>>,
    ticked_until: Option<DateTime<Utc>>,
    pass_until: Option<DateTime<Utc>>,
    pass_job_id: Option<JobId>,
}

impl Progress {
    pub fn is_finished(&self) -> bool {
        self.pass_until.is_none()
    }
}

impl Due {
    /// The ticks of the pass.
    pub fn ticks(&self) -> DueTicks {
        DueTicks::new(&self.timing, self.after, self.pass_until)
    }

    /// The progress after the last job of the pass.
    pub fn finished(&self) -> Progress {
        let next_tick_at = self.timing.next_after(self.pass_until);
        Progress {
            schedule_id: self.schedule_id,
            next_tick_at: Some(next_tick_at.unwrap_or(DateTime::<Utc>::MAX_UTC)),
            ticked_until: Some(self.pass_until),
            pass_until: None,
            pass_job_id: None,
        }
    }

    /// The progress after a job of the pass.
    fn reached(&self, job_id: JobId) -> Progress {
        Progress {
            schedule_id: self.schedule_id,
            next_tick_at: None,
            ticked_until: None,
            pass_until: Some(self.pass_until),
            pass_job_id: Some(job_id),
        }
    }
}

/// The progress of a batch that has handled all jobs up to `end`, or all jobs if `end` is None.
pub fn progress(due: &[(Due, DueTicks)], end: Option<(usize, JobId)>) -> Vec<Progress> {
    let reached = end.map_or(due.len(), |(place, _)| place);
    let finished = due[..reached].iter().map(|(due, _)| due.finished());
    let last = end.map(|(place, job_id)| due[place].0.reached(job_id));
    finished.chain(last).collect()
}

const RECORD_PROGRESS: &str = include_str!("record_progress.sql");

/// Records the progress of passes.
pub fn record_progress(progress: &[Progress]) -> Result<()> {
    let times = |time: fn(&Progress) -> Option<DateTime<Utc>>| {
        progress
            .iter()
            .map(|it| time(it).map(sql::to_pg))
            .collect::<Vec<_>>()
    };
    let args = [
        progress
            .iter()
            .map(|it| it.schedule_id)
            .collect::<Vec<_>>()
            .into(),
        times(|it| it.next_tick_at).into(),
        times(|it| it.ticked_until).into(),
        times(|it| it.pass_until).into(),
        progress
            .iter()
            .map(|it| it.pass_job_id)
            .collect::<Vec<_>>()
            .into(),
    ];
    sql::run(RECORD_PROGRESS, &args).map(|_| ())
}
