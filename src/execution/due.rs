//! The ticks that are due, and which of them were missed.

use crate::calendar::{Tick, Timing};
use crate::error::Result;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use pgrx::Uuid;
use std::collections::HashMap;

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

/// The ticks of a schedule after an instant that are due now, without those that no job of it wants.
pub fn due_ticks(
    schedule_id: Uuid,
    timing: &Timing,
    after: DateTime<Utc>,
    now: DateTime<Utc>,
    horizon: Option<&Horizon>,
) -> Vec<DueTick> {
    let Horizon { any, all } = horizon.copied().unwrap_or(Horizon { any: now, all: now });
    let start = after.max(any.min(now - IN_TIME) - Duration::microseconds(1));
    let ticks = timing.ticks(start, now);
    let in_time = |tick: Tick| now - tick <= IN_TIME;
    let last_missed = ticks.iter().copied().rfind(|tick| !in_time(*tick));
    let missed = |tick: Tick| match last_missed {
        _ if in_time(tick) => Missed::No,
        Some(last) if last == tick => Missed::Last,
        _ => Missed::Earlier,
    };
    ticks
        .into_iter()
        .filter(|tick| missed(*tick) != Missed::Earlier || *tick >= all)
        .map(|tick_at| DueTick {
            schedule_id,
            tick_at,
            joined_after: None,
            missed: missed(tick_at),
        })
        .collect()
}

/// The ticks of a schedule that lie between two instants and have been handled: for jobs that were not there then. They
/// are no missed ticks, however long ago.
pub fn handled_ticks(
    schedule_id: Uuid,
    timing: &Timing,
    after: DateTime<Utc>,
    before: DateTime<Utc>,
) -> Vec<DueTick> {
    let ticks = timing
        .ticks(after, before - Duration::microseconds(1))
        .into_iter();
    ticks
        .map(|tick_at| DueTick {
            schedule_id,
            tick_at,
            joined_after: None,
            missed: Missed::No,
        })
        .collect()
}
