//! Alarms that no longer cover their schedules: after a change of a zone's rules, or of cron.timezone.

use super::alarm;
use super::timing::{alarm_needed, pg_cron_zone};
use crate::calendar::{CronExpr, timing};
use crate::error::Result;
use crate::sql;
use pgrx::Uuid;

/// A schedule whose alarm does not go off at all of its ticks.
pub struct Uncovered {
    pub schedule_id: Uuid,
    pub cron: String,
    pub timezone: String,
    pub alarm_cron: String,
    alarm_id: Uuid,
    needed: String,
}

const SCHEDULES: &str = "
select s.schedule_id, s.cron, s.timezone, a.alarm_id, a.cron as alarm_cron
from kronos.schedules s join kronos.alarms a using (alarm_id)";

/// The schedules whose alarms do not cover their ticks from now on.
pub fn uncovered() -> Result<Vec<Uncovered>> {
    find_uncovered(SCHEDULES)
}

fn find_uncovered(statement: &str) -> Result<Vec<Uncovered>> {
    let found = sql::rows(statement, &[], |row| {
        Ok(Uncovered {
            schedule_id: sql::get(row, "schedule_id")?,
            cron: sql::get(row, "cron")?,
            timezone: sql::get(row, "timezone")?,
            alarm_cron: sql::get(row, "alarm_cron")?,
            alarm_id: sql::get(row, "alarm_id")?,
            needed: String::new(),
        })
    })?;
    let (zone, now) = (pg_cron_zone()?, sql::now());
    let mut uncovered = vec![];
    for mut schedule in found {
        let Ok(timing) = timing(&schedule.cron, &schedule.timezone) else {
            continue;
        };
        schedule.needed = alarm_needed(&timing, &zone, now);
        if !covers(&schedule.alarm_cron, &schedule.needed) {
            uncovered.push(schedule);
        }
    }
    Ok(uncovered)
}

fn covers(alarm: &str, needed: &str) -> bool {
    match (CronExpr::parse(alarm), CronExpr::parse(needed)) {
        (Ok(alarm), Ok(needed)) => alarm.covers(&needed),
        _ => false,
    }
}

/// Gives every schedule whose alarm does not cover it one that does, and returns how many there were.
///
/// # Errors
/// What pg_cron raises: then nothing has changed.
pub fn realign() -> Result<i64> {
    let uncovered = find_uncovered(&format!("{SCHEDULES} for no key update of s"))?;
    for schedule in &uncovered {
        let alarm_id = alarm::join(&schedule.needed)?;
        sql::run(
            "update kronos.schedules set alarm_id = $2 where schedule_id = $1",
            &[schedule.schedule_id.into(), alarm_id.into()],
        )?;
        alarm::release(schedule.alarm_id)?;
    }
    Ok(uncovered.len() as i64)
}
