//! Schedules whose next tick or pg_cron entry no longer follows from their rule: after a change of a zone's rules or of
//! cron.timezone, after two years, or after the clock was wrong.

use super::timing::{entry_cron, pg_cron_zone};
use crate::calendar::{CronExpr, Timing, Zone, timing};
use crate::error::Result;
use crate::id::ScheduleId;
use crate::pg_cron::{self, Entry};
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use std::rc::Rc;

struct Known {
    schedule_id: ScheduleId,
    timing: Rc<Timing>,
    next_tick_at: DateTime<Utc>,
    ticked_until: DateTime<Utc>,
    entry_cron: Option<String>,
}

impl Known {
    /// The next tick by the rule as it is today.
    fn next_tick(&self) -> DateTime<Utc> {
        self.timing
            .next_after(self.ticked_until)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn problem(&self, pg_cron_zone: &Zone, now: DateTime<Utc>) -> Option<Problem> {
        let needed = || entry_cron(&self.timing, pg_cron_zone, now);
        if let Some(current) = &self.entry_cron
            && !covers(current, &needed())
        {
            return Some(Problem::Uncovered {
                entry_cron: current.clone(),
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

/// Reads a schedule; None for one whose expression or zone this server no longer knows.
fn read(row: &sql::Row) -> Result<Option<Known>> {
    let cron: String = sql::get(row, "cron")?;
    let timezone: String = sql::get(row, "timezone")?;
    let Ok(timing) = timing(&cron, &timezone) else {
        return Ok(None);
    };
    Ok(Some(Known {
        schedule_id: sql::get(row, "schedule_id")?,
        timing,
        next_tick_at: sql::from_pg(sql::get(row, "next_tick_at")?),
        ticked_until: sql::from_pg(sql::get(row, "ticked_until")?),
        entry_cron: sql::get_opt(row, "entry_cron")?,
    }))
}

/// What is wrong with a schedule.
pub enum Problem {
    /// Its entry does not fire at all of its ticks.
    Uncovered { entry_cron: String },
    /// Its next tick is not what its rule says.
    Mistimed {
        next_tick_at: DateTime<Utc>,
        by_rule: DateTime<Utc>,
    },
    /// This server no longer knows its expression or its zone.
    Unreadable,
}

/// A schedule with a problem.
pub struct Faulty {
    pub schedule_id: ScheduleId,
    pub cron: String,
    pub timezone: String,
    pub problem: Problem,
}

/// How far ahead of the clock a schedule may have been handled.
const CLOCK_TOLERANCE: Duration = Duration::seconds(1);

/// What is wrong with schedules, as far as their rules show it. A next tick that a clock which was ahead has left is not
/// named here: the next wake-up corrects it.
pub fn faulty() -> Result<Vec<Faulty>> {
    let (zone, now) = (pg_cron_zone()?, sql::now());
    let mut faulty = vec![];
    for row in sql::rows(FIND, &[], |row| {
        let name = |column| sql::get::<String>(row, column);
        let schedule_id: ScheduleId = sql::get(row, "schedule_id")?;
        Ok((schedule_id, name("cron")?, name("timezone")?, read(row)?))
    })? {
        sql::check_for_interrupts();
        let (schedule_id, cron, timezone, known) = row;
        let problem = match known {
            None => Some(Problem::Unreadable),
            Some(known) => known.problem(&zone, now),
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

fn covers(entry: &str, needed: &str) -> bool {
    match (CronExpr::parse(entry), CronExpr::parse(needed)) {
        (Ok(entry), Ok(needed)) => entry.covers(&needed),
        _ => false,
    }
}

/// What [`renew`] did.
#[derive(Default)]
pub struct Renewed {
    pub entries: i64,
    pub next_ticks: i64,
}

/// Sets right every schedule whose next tick is not what its rule says, and every entry that no longer covers its
/// schedule. Schedules that another session holds are left to the next run.
///
/// # Errors
/// What pg_cron raises.
pub fn renew() -> Result<Renewed> {
    let (zone, now) = (pg_cron_zone()?, sql::now());
    let mut renewed = Renewed::default();
    let stale = |schedule: &Known| {
        let needed = entry_cron(&schedule.timing, &zone, now);
        let entry = schedule
            .entry_cron
            .as_deref()
            .filter(|entry| !covers(entry, &needed));
        (
            entry.map(|_| needed),
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
        let (needed, is_mistimed) = stale(&schedule);
        if is_mistimed {
            set_next_tick(&schedule)?;
            renewed.next_ticks += 1;
        }
        if let Some(needed) = needed {
            set_entry(schedule.schedule_id, &needed)?;
            renewed.entries += 1;
        }
    }
    Ok(renewed)
}

fn set_next_tick(schedule: &Known) -> Result<()> {
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
