//! One batch: some of what is due, in one transaction.

use super::due::DueTicks;
use super::jobs::{Job, Stretch, busy, held_by_others, lock_jobs};
use super::materialise::{Failures, JobWork, Written, write_isolated};
use super::owed;
use crate::calendar::{Timing, timing};
use crate::error::Result;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use std::collections::HashSet;
use std::rc::Rc;

/// The most jobs that a batch handles, and about the most rows that it writes to the ledger: it bounds memory, how long
/// locks are held, and what a crash throws away.
const MAX_ROWS: usize = 10_000;

/// The most schedules that a batch handles.
const MAX_SCHEDULES: i64 = 1000;

/// What a call has done.
#[derive(Clone, Copy, Default)]
pub struct Outcome {
    /// Schedules whose pass it has finished.
    pub schedules: i64,
    pub written: Written,
}

/// What a call keeps from batch to batch.
pub struct Call {
    /// What comes due later than the call's start has a wake-up of its own.
    pub until: DateTime<Utc>,
    pub outcome: Outcome,
    /// The jobs that have failed in passes.
    pub failures: Failures,
    /// The jobs that have failed when what they owe was retried.
    pub retry_failures: Failures,
    /// How many jobs of a schedule with several due ticks the next batch tries.
    job_limit: usize,
    /// Schedules whose expression or zone this server cannot read.
    unreadable: Vec<Uuid>,
}

impl Call {
    /// A call that begins now. The instant is read before the first snapshot: a job that only a later snapshot shows is
    /// never passed over. A transaction with one snapshot for all its statements handles only what was due when it began.
    pub fn begin() -> Call {
        Call {
            until: sql::now().min(sql::snapshot_limit()),
            outcome: Outcome::default(),
            failures: Failures::default(),
            retry_failures: Failures::default(),
            job_limit: MAX_ROWS,
            unreadable: vec![],
        }
    }
}

/// A schedule that is due.
struct Due {
    schedule_id: Uuid,
    timing: Rc<Timing>,
    pass_until: DateTime<Utc>,
    pass_job_id: Option<Uuid>,
    /// Its ticks up to here are handled.
    after: DateTime<Utc>,
}

const LOCK_DUE: &str = include_str!("lock_due.sql");

/// A schedule handled up to a time that lies so far ahead was handled under a clock that was fast.
const CLOCK_TOLERANCE: Duration = Duration::seconds(1);

fn lock_due(call: &mut Call) -> Result<Vec<Due>> {
    let until = call.until;
    let args = [
        sql::to_pg(until).into(),
        sql::to_pg(until + CLOCK_TOLERANCE).into(),
        call.unreadable.clone().into(),
        MAX_SCHEDULES.into(),
    ];
    let mut unreadable = vec![];
    let due = sql::rows(LOCK_DUE, &args, |row| {
        let schedule_id: Uuid = sql::get(row, "schedule_id")?;
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
        let was_fast = ticked_until > until + CLOCK_TOLERANCE;
        let pass_until = time("pass_until")?.filter(|pass_until| *pass_until <= until);
        Ok(Some(Due {
            schedule_id,
            pass_job_id: pass_until.and(sql::get_opt(row, "pass_job_id")?),
            pass_until: pass_until.unwrap_or(until),
            after: if was_fast { until } else { ticked_until },
            timing,
        }))
    })?;
    call.unreadable.extend(unreadable);
    Ok(due.into_iter().flatten().collect())
}

/// How far a batch has brought a schedule.
struct Progress {
    schedule_id: Uuid,
    next_tick_at: Option<DateTime<Utc>>,
    ticked_until: Option<DateTime<Utc>>,
    pass_until: Option<DateTime<Utc>>,
    pass_job_id: Option<Uuid>,
}

impl Due {
    fn ticks(&self) -> DueTicks {
        DueTicks::new(&self.timing, self.after, self.pass_until)
    }

    /// Every job has its ticks of the pass.
    fn finished(&self) -> Progress {
        let next_tick_at = self.timing.next_after(self.pass_until);
        Progress {
            schedule_id: self.schedule_id,
            next_tick_at: Some(next_tick_at.unwrap_or(DateTime::<Utc>::MAX_UTC)),
            ticked_until: Some(self.pass_until),
            pass_until: None,
            pass_job_id: None,
        }
    }

    /// The jobs up to one have their ticks.
    fn reached(&self, job_id: Uuid) -> Progress {
        Progress {
            schedule_id: self.schedule_id,
            next_tick_at: None,
            ticked_until: None,
            pass_until: Some(self.pass_until),
            pass_job_id: Some(job_id),
        }
    }
}

/// Handles a batch of what is due, and says whether there may be more.
///
/// The plans of its statements read by index: one that was made while the ledger was empty would read all of it for each
/// tick once it is full.
pub fn run_batch(call: &mut Call) -> Result<bool> {
    sql::by_index(|| handle_batch(call))
}

fn handle_batch(call: &mut Call) -> Result<bool> {
    let due = lock_due(call)?;
    if due.is_empty() {
        return Ok(false);
    }
    let mut progress = vec![];
    let mut selected: Vec<(Due, DueTicks)> = vec![];
    for due in due {
        // After an outage this takes milliseconds a schedule: what the batch does not handle is not looked at.
        let ticks = due.ticks();
        let is_single = ticks.is_single();
        if ticks.is_empty() {
            progress.push(due.finished());
        } else if is_single || selected.is_empty() {
            selected.push((due, ticks));
        }
        // A schedule with several ticks due is handled by itself: its jobs write several rows each.
        if !is_single {
            break;
        }
    }
    progress.extend(handle(&selected, call)?);
    call.outcome.schedules += progress.iter().filter(|it| it.pass_until.is_none()).count() as i64;
    record_progress(&progress)?;
    Ok(true)
}

fn handle(due: &[(Due, DueTicks)], call: &mut Call) -> Result<Vec<Progress>> {
    if due.is_empty() {
        return Ok(vec![]);
    }
    let is_single = due.iter().all(|(_, ticks)| ticks.is_single());
    let limit = if is_single { MAX_ROWS } else { call.job_limit };
    let mut stretches: Vec<Stretch> = due
        .iter()
        .map(|(due, _)| Stretch {
            schedule_id: due.schedule_id,
            after: due.pass_job_id,
            up_to: None,
        })
        .collect();
    let mut held = lock_jobs(&stretches, limit)?;
    let mut is_exhausted = held.len() < limit;
    let mut works: Vec<JobWork> = vec![];
    let mut rows = 0;
    for (place, job) in &held {
        let work = work_of(job, &due[*place]);
        rows += work.run.len();
        works.push(work);
        if rows >= MAX_ROWS && works.len() < held.len() {
            is_exhausted = false;
            break;
        }
    }
    if !is_single {
        // About as many jobs as fill a batch, so that few are locked in vain.
        call.job_limit = (works.len() * 5 / 4 + 1).min(MAX_ROWS);
    }
    held.truncate(works.len());
    let mut reached = due.len();
    if !is_exhausted && let Some((place, job)) = held.last() {
        reached = *place;
        stretches.truncate(place + 1);
        stretches[*place].up_to = Some(job.job_id);
    }
    write(due, &stretches, &held, works, call)?;
    let mut progress: Vec<Progress> = due[..reached]
        .iter()
        .map(|(due, _)| due.finished())
        .collect();
    if let (Some((due, _)), Some((_, job))) = (due.get(reached), held.last()) {
        progress.push(due.reached(job.job_id));
    }
    Ok(progress)
}

fn work_of(job: &Job, (_, ticks): &(Due, DueTicks)) -> JobWork {
    let ticks = ticks.of(job);
    JobWork {
        job_id: job.job_id,
        workspace_id: job.workspace_id,
        run: ticks.run,
        dropped: ticks.dropped,
    }
}

/// Writes what the held jobs have. What cannot be written, and the ticks of jobs that other sessions hold or that are known
/// to fail, are owed.
fn write(
    due: &[(Due, DueTicks)],
    stretches: &[Stretch],
    held: &[(usize, Job)],
    works: Vec<JobWork>,
    call: &mut Call,
) -> Result<()> {
    let others = held_by_others(stretches, held)?;
    let mut owing: Vec<JobWork> = others
        .iter()
        .map(|(place, job)| work_of(job, &due[*place]))
        .collect();
    let replacing = held
        .iter()
        .filter(|(_, job)| job.replaces)
        .map(|(_, job)| job.job_id)
        .collect();
    let (works, busy) = set_busy_apart(works, replacing)?;
    owing.extend(busy);
    let known = owed::failing(works.iter().map(|work| work.job_id).collect())?;
    let (failing, works): (Vec<JobWork>, Vec<JobWork>) = works
        .into_iter()
        .filter(|work| !work.is_empty())
        .partition(|work| !work.run.is_empty() && known.contains(&work.job_id));
    owing.extend(failing);
    owed::record(&owing, None)?;
    call.outcome.written += write_isolated(&works, &mut call.failures, &mut |works, failure| {
        owed::record(works, Some(failure))
    })?;
    Ok(())
}

/// Splits off the works of jobs whose unfinished executions another session holds, of those that replace them.
pub fn set_busy_apart(
    works: Vec<JobWork>,
    replacing: Vec<Uuid>,
) -> Result<(Vec<JobWork>, Vec<JobWork>)> {
    if replacing.is_empty() {
        return Ok((works, vec![]));
    }
    let busy: HashSet<Uuid> = busy(replacing)?.into_iter().collect();
    Ok(works
        .into_iter()
        .partition(|work| !busy.contains(&work.job_id)))
}

const RECORD_PROGRESS: &str = include_str!("record_progress.sql");

fn record_progress(progress: &[Progress]) -> Result<()> {
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

/// One batch, and the owed ticks, in the caller's transaction.
pub fn run_due() -> Result<Outcome> {
    let mut call = Call::begin();
    run_batch(&mut call)?;
    owed::retry(&mut call, sql::now())?;
    Ok(call.outcome)
}
