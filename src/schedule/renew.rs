//! Corrects schedules whose stored next tick or pg_cron entry is out of date: after a change of a zone's rules or of
//! cron.timezone, after two years, or after the clock was wrong.

use super::timing::{entry_cron, pg_cron_zone};
use crate::calendar::{CronExpr, Timing, Zone, timing};
use crate::error::Result;
use crate::id::ScheduleId;
use crate::pg_cron::{self, Entry};
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use std::rc::Rc;

struct Stored {
    schedule_id: ScheduleId,
    timing: Rc<Timing>,
    next_tick_at: DateTime<Utc>,
    ticked_until: DateTime<Utc>,
    entry_cron: Option<String>,
}

impl Stored {
    /// The next tick under the current rules.
    fn next_tick(&self) -> DateTime<Utc> {
        self.timing
            .next_after(self.ticked_until)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn problem(&self, pg_cron_zone: &Zone, now: DateTime<Utc>) -> Option<Problem> {
        let current = || entry_cron(&self.timing, pg_cron_zone, now);
        if let Some(stored) = &self.entry_cron
            && !covers(stored, &current())
        {
            return Some(Problem::Uncovered {
                entry_cron: stored.clone(),
            });
        }
        let by_rule = self.next_tick();
        let is_ahead = self.ticked_until > now + CLOCK_TOLERANCE;
        (by_rule != self.next_tick_at && !is_ahead).then_some(Problem::Mistimed {
            next_tick_at: self.next_tick_at,
            by_rule,
        })
    }
}

const FIND: &str = "
select schedule_id, cron, timezone, next_tick_at, ticked_until, entry_cron from kronos_internal.schedules";

const LOCK: &str = "
select schedule_id, cron, timezone, next_tick_at, ticked_until, entry_cron
from kronos_internal.schedules
where schedule_id = $1
for no key update skip locked";

/// Reads a schedule; None if this server no longer knows its expression or zone.
fn read(row: &sql::Row) -> Result<Option<Stored>> {
    let cron: String = sql::get(row, "cron")?;
    let timezone: String = sql::get(row, "timezone")?;
    let Ok(timing) = timing(&cron, &timezone) else {
        return Ok(None);
    };
    Ok(Some(Stored {
        schedule_id: sql::get(row, "schedule_id")?,
        timing,
        next_tick_at: sql::from_pg(sql::get(row, "next_tick_at")?),
        ticked_until: sql::from_pg(sql::get(row, "ticked_until")?),
        entry_cron: sql::get_opt(row, "entry_cron")?,
    }))
}

/// What is wrong with a schedule.
pub enum Problem {
    /// The pg_cron entry does not fire at every tick.
    Uncovered { entry_cron: String },
    /// The stored next tick is wrong.
    Mistimed {
        next_tick_at: DateTime<Utc>,
        by_rule: DateTime<Utc>,
    },
    /// This server no longer knows the expression or the zone.
    Unreadable,
}

/// A schedule with a problem.
pub struct Faulty {
    pub schedule_id: ScheduleId,
    pub cron: String,
    pub timezone: String,
    pub problem: Problem,
}

/// How far `ticked_until` may lie ahead of the clock.
const CLOCK_TOLERANCE: Duration = Duration::seconds(1);

/// Finds the schedules with a problem. A wrong next tick from a time when the clock was ahead is not reported: the next
/// wake-up corrects it.
pub fn find_faulty() -> Result<Vec<Faulty>> {
    let (zone, now) = (pg_cron_zone()?, sql::now());
    let mut faulty = vec![];
    for row in sql::rows(FIND, &[], |row| {
        let name = |column| sql::get::<String>(row, column);
        let schedule_id: ScheduleId = sql::get(row, "schedule_id")?;
        Ok((schedule_id, name("cron")?, name("timezone")?, read(row)?))
    })? {
        sql::check_for_interrupts();
        let (schedule_id, cron, timezone, stored) = row;
        let problem = match stored {
            None => Some(Problem::Unreadable),
            Some(stored) => stored.problem(&zone, now),
        };
        faulty.extend(problem.map(|problem| Faulty {
            schedule_id,
            cron,
            timezone,
            problem,
        }));
    }
    Ok(faulty)
}

fn covers(entry: &str, ticks: &str) -> bool {
    match (CronExpr::parse(entry), CronExpr::parse(ticks)) {
        (Ok(entry), Ok(ticks)) => entry.covers(&ticks),
        _ => false,
    }
}

/// What [`renew`] did.
#[derive(Default)]
pub struct Renewed {
    pub entries: i64,
    pub next_ticks: i64,
}

/// Corrects every wrong next tick, and every pg_cron entry that no longer covers its schedule. Schedules that another
/// session has locked are left to the next run.
///
/// # Errors
/// Any error of pg_cron.
pub fn renew() -> Result<Renewed> {
    let (zone, now) = (pg_cron_zone()?, sql::now());
    let mut renewed = Renewed::default();
    let stale = |schedule: &Stored| {
        let current = entry_cron(&schedule.timing, &zone, now);
        let entry = schedule
            .entry_cron
            .as_deref()
            .filter(|entry| !covers(entry, &current));
        (
            entry.map(|_| current),
            schedule.next_tick() != schedule.next_tick_at,
        )
    };
    for found in sql::rows(FIND, &[], read)?.into_iter().flatten() {
        sql::check_for_interrupts();
        if let (None, false) = stale(&found) {
            continue;
        }
        let locked = sql::row(LOCK, &[found.schedule_id.into()], read)?.flatten();
        let Some(schedule) = locked else { continue };
        let (new_entry, is_mistimed) = stale(&schedule);
        if is_mistimed {
            set_next_tick(&schedule)?;
            renewed.next_ticks += 1;
        }
        if let Some(cron) = new_entry {
            set_entry(schedule.schedule_id, &cron)?;
            renewed.entries += 1;
        }
    }
    Ok(renewed)
}

fn set_next_tick(schedule: &Stored) -> Result<()> {
    sql::run(
        "update kronos_internal.schedules set next_tick_at = $2 where schedule_id = $1",
        &[
            schedule.schedule_id.into(),
            sql::to_pg(schedule.next_tick()).into(),
        ],
    )
    .map(|_| ())
}

fn set_entry(schedule_id: ScheduleId, cron: &str) -> Result<()> {
    sql::run(
        "update kronos_internal.schedules set entry_cron = $2 where schedule_id = $1",
        &[schedule_id.into(), cron.into()],
    )?;
    pg_cron::register(Entry::Schedule(schedule_id), cron)
}
