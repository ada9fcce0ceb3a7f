//! The ticks that are due, and which of them were missed.

use crate::calendar::{Tick, Timing};
use crate::error::Result;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::Uuid;
use std::collections::{HashMap, VecDeque};

/// A tick of a schedule that is to be materialised.
pub struct DueTick {
    pub schedule_id: Uuid,
    pub tick_at: Tick,
    /// Set for a tick that was handled before: only jobs that joined after this instant can have missed it.
    pub joined_after: Option<DateTime<Utc>>,
    pub missed: Missed,
}

/// How a tick stands to the instant at which it is handled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// In time: it is materialised whatever the job's catchup_policy.
    No,
    /// Missed, and followed by another missed one.
    Earlier,
    /// The last one that was missed.
    Last,
}

/// A tick that is handled no later than this is handled in time. A wake-up that is lost to a passing trouble, and made
/// good by the next one, is none that a catchup_policy should decide about.
const IN_TIME: Duration = Duration::minutes(5);

/// From when on the jobs of a schedule want missed ticks.
#[derive(Clone, Copy)]
pub struct Horizon {
    /// Any missed tick.
    any: DateTime<Utc>,
    /// All of them, not only the last.
    all: DateTime<Utc>,
}

const HORIZONS: &str = "
select schedule_id,
       $2 - max(catchup_window) filter (where catchup_policy <> 'none') as any_from,
       $2 - max(catchup_window) filter (where catchup_policy = 'all') as all_from
from kronos.jobs
where schedule_id = any ($1::uuid[])
group by schedule_id";

/// The horizons of schedules at an instant, by the catchup windows of their jobs.
pub fn horizons(schedules: &[Uuid], now: DateTime<Utc>) -> Result<HashMap<Uuid, Horizon>> {
    let args = [schedules.to_vec().into(), sql::to_pg(now).into()];
    let found = sql::rows(HORIZONS, &args, |row| {
        let any = sql::get_opt(row, "any_from")?.map_or(now, sql::from_pg);
        let all = sql::get_opt(row, "all_from")?.map_or(now, sql::from_pg);
        Ok((sql::get(row, "schedule_id")?, Horizon { any, all }))
    })?;
    Ok(found.into_iter().collect())
}

/// The most missed ticks of a schedule that `catchup_policy` 'all' makes good, whatever the window: the latest ones.
const MOST_MISSED: usize = 10_000;

/// The ticks of a schedule after an instant that are due now, without those that no job of it wants.
pub fn due_ticks(
    schedule_id: Uuid,
    timing: &Timing,
    after: DateTime<Utc>,
    now: DateTime<Utc>,
    horizon: Option<&Horizon>,
) -> Vec<DueTick> {
    let Horizon { any, all } = horizon.copied().unwrap_or(Horizon { any: now, all: now });
    let before = |instant: DateTime<Utc>| instant - Duration::microseconds(1);
    let too_late = before(now - IN_TIME);
    let last = timing.last_tick(after.max(before(any)), too_late);
    let mut earlier = VecDeque::new();
    if let Some(last) = last {
        for tick in timing.ticks(after.max(before(all)), before(last)) {
            if earlier.len() == MOST_MISSED - 1 {
                earlier.pop_front();
            }
            earlier.push_back(tick);
        }
    }
    let with = |missed: Missed| {
        move |tick_at: Tick| DueTick {
            schedule_id,
            tick_at,
            joined_after: None,
            missed,
        }
    };
    let in_time = timing.ticks(after.max(too_late), now);
    earlier
        .into_iter()
        .map(with(Missed::Earlier))
        .chain(last.map(with(Missed::Last)))
        .chain(in_time.map(with(Missed::No)))
        .collect()
}

/// The ticks of a schedule that lie between two instants and have been handled: for jobs that were not there then
/// (`joined_after`, where given, says until when they were not). They are no missed ticks, however long ago.
pub fn handled_ticks(
    schedule_id: Uuid,
    timing: &Timing,
    after: DateTime<Utc>,
    before: DateTime<Utc>,
    joined_after: Option<DateTime<Utc>>,
) -> Vec<DueTick> {
    timing
        .ticks(after, before - Duration::microseconds(1))
        .map(|tick_at| DueTick {
            schedule_id,
            tick_at,
            joined_after,
            missed: Missed::No,
        })
        .collect()
}
