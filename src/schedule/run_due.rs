//! `run_due`: what every alarm wakes.

use crate::calendar::{Tick, Timing, timing};
use crate::error::Result;
use crate::execution::{
    DueTick, Horizon, Missed, Written, busy, due_ticks, handled_ticks, horizons, materialise,
    record_locked, retry_pending,
};
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::Uuid;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// What one call did.
pub struct Outcome {
    /// Schedules whose ticks it handled.
    pub schedules: i64,
    /// What it wrote.
    pub written: Written,
}

struct Due {
    schedule_id: Uuid,
    timing: Rc<Timing>,
    next_tick_at: DateTime<Utc>,
    settled_at: DateTime<Utc>,
}

const LOCK_DUE: &str = "
select schedule_id, cron, timezone, next_tick_at, settled_at
from kronos.schedules
where next_tick_at <= $1 or unsettled
for no key update skip locked";

/// Of the schedules, those that no session is joining: nobody holds them FOR KEY SHARE. Sessions that want to join wait
/// until this transaction ends, and date their jobs after it. With one snapshot for the whole transaction nothing is sure.
const LOCK_SETTLED: &str = "
select schedule_id
from kronos.schedules
where schedule_id = any ($1::uuid[]) and current_setting('transaction_isolation') = 'read committed'
for update skip locked";

const LOCK_JOBS: &str = "
select job_id, overlap_policy = 'replace' as replaces
from kronos.jobs
where schedule_id = any ($1::uuid[])
for share skip locked";

const MOVE_ON: &str = "
update kronos.schedules s
set next_tick_at = d.next_tick_at, last_tick_at = coalesce(d.last_tick_at, s.last_tick_at),
    settled_at = d.settled_at, unsettled = d.unsettled
from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::boolean[])
    as d (schedule_id, next_tick_at, last_tick_at, settled_at, unsettled)
where s.schedule_id = d.schedule_id";

/// How often, and after what pause, one call comes back to what other sessions have in hand. Most of them commit within
/// milliseconds; what one does not let go of for longer, the next wake-up does.
const ATTEMPTS: u32 = 5;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

const UNFINISHED: &str = "
select where exists (select from kronos.schedules where next_tick_at <= $1 or unsettled)
          or exists (select from kronos.pending_ticks where error is null)";

/// Materialises every tick that has come due: for all due schedules at once, one execution per job and tick.
///
/// It takes the schedules that no other call has in hand and the jobs that no other session is changing, and waits for
/// none of them. What it could not take is tried again before the call ends, and by the next ones.
pub fn run_due() -> Result<Outcome> {
    let mut outcome = Outcome {
        schedules: 0,
        written: Written::default(),
    };
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        let now = sql::now();
        let due = lock_due(now)?;
        outcome.schedules += due.iter().filter(|due| due.next_tick_at <= now).count() as i64;
        outcome.written += handle(&due, now)?;
        outcome.written += retry_pending(attempt == 0)?;
        if !sql::exists(UNFINISHED, &[sql::to_pg(now).into()])? {
            break;
        }
    }
    Ok(outcome)
}

fn handle(due: &[Due], now: DateTime<Utc>) -> Result<Written> {
    if due.is_empty() {
        return Ok(Written::default());
    }
    let ids: Vec<Uuid> = due.iter().map(|due| due.schedule_id).collect();
    let settled = lock_settled(&ids)?;
    let horizons = horizons(&ids, now)?;
    let (mut jobs, mut replacing) = (vec![], vec![]);
    sql::rows(LOCK_JOBS, &[ids.into()], |row| {
        let job_id: Uuid = sql::get(row, "job_id")?;
        jobs.push(job_id);
        if sql::get(row, "replaces")? {
            replacing.push(job_id);
        }
        Ok(())
    })?;
    if !replacing.is_empty() {
        let busy: HashSet<Uuid> = busy(&replacing)?.into_iter().collect();
        jobs.retain(|job_id| !busy.contains(job_id));
    }
    let horizon = |due: &Due| horizons.get(&due.schedule_id);
    let ticks: Vec<DueTick> = due
        .iter()
        .flat_map(|due| ticks_of(due, now, horizon(due)))
        .collect();
    let written = materialise(&ticks, &jobs)?;
    record_locked(&ticks, &jobs)?;
    move_on(due, &ticks, now, &settled)?;
    Ok(written)
}

/// The schedules whose jobs are all in sight from an instant on.
struct Settled {
    schedules: HashSet<Uuid>,
    at: DateTime<Utc>,
}

fn lock_settled(ids: &[Uuid]) -> Result<Settled> {
    let schedules = sql::rows(LOCK_SETTLED, &[ids.to_vec().into()], |row| {
        sql::get(row, "schedule_id")
    })?;
    Ok(Settled {
        schedules: schedules.into_iter().collect(),
        at: sql::now(),
    })
}

fn lock_due(now: DateTime<Utc>) -> Result<Vec<Due>> {
    let due = sql::rows(LOCK_DUE, &[sql::to_pg(now).into()], |row| {
        let cron: String = sql::get(row, "cron")?;
        let timezone: String = sql::get(row, "timezone")?;
        let Ok(timing) = timing(&cron, &timezone) else {
            pgrx::warning!("kronos: schedule {cron:?} in {timezone:?} cannot be read any more");
            return Ok(None);
        };
        Ok(Some(Due {
            schedule_id: sql::get(row, "schedule_id")?,
            timing,
            next_tick_at: sql::from_pg(sql::get(row, "next_tick_at")?),
            settled_at: sql::from_pg(sql::get(row, "settled_at")?),
        }))
    })?;
    Ok(due.into_iter().flatten().collect())
}

/// The ticks that have come due, for all jobs; and those handled before while jobs may have joined unseen, for such jobs.
fn ticks_of(due: &Due, now: DateTime<Utc>, horizon: Option<&Horizon>) -> Vec<DueTick> {
    let mut ticks = handled_ticks(
        due.schedule_id,
        &due.timing,
        due.settled_at,
        due.next_tick_at,
        Some(due.settled_at),
    );
    let before = due.next_tick_at - Duration::microseconds(1);
    ticks.extend(due_ticks(
        due.schedule_id,
        &due.timing,
        before,
        now,
        horizon,
    ));
    ticks
}

fn move_on(due: &[Due], ticks: &[DueTick], now: DateTime<Utc>, settled: &Settled) -> Result<()> {
    // Of one schedule's ticks the last one stays. What was missed is not what every job has.
    let last_ticks: HashMap<Uuid, Tick> = ticks
        .iter()
        .filter(|tick| tick.missed == Missed::No && tick.joined_after.is_none())
        .map(|tick| (tick.schedule_id, tick.tick_at))
        .collect();
    let (mut ids, mut next, mut last) = (vec![], vec![], vec![]);
    let (mut settled_at, mut unsettled) = (vec![], vec![]);
    for due in due {
        ids.push(due.schedule_id);
        let moved = due.next_tick_at <= now;
        let next_tick_at = if moved {
            due.timing.next_after(now)
        } else {
            Some(due.next_tick_at)
        };
        next.push(sql::to_pg(next_tick_at.unwrap_or(DateTime::<Utc>::MAX_UTC)));
        last.push(last_ticks.get(&due.schedule_id).copied().map(sql::to_pg));
        let is_settled = settled.schedules.contains(&due.schedule_id);
        unsettled.push(!is_settled);
        settled_at.push(sql::to_pg(if is_settled {
            settled.at
        } else {
            due.settled_at
        }));
    }
    sql::run(
        MOVE_ON,
        &[
            ids.into(),
            next.into(),
            last.into(),
            settled_at.into(),
            unsettled.into(),
        ],
    )
    .map(|_| ())
}
