//! The times of the clock at which a cron expression matches: the calendar arithmetic of the `cron` crate.

use super::fields::{Fields, Set};
use chrono::{DateTime, Datelike, Utc};
use std::str::FromStr;

/// The times of five fields.
pub struct Clock {
    pub fields: Fields,
    // Any of them may match: the `cron` crate knows only "both day fields", and no last day of the month.
    schedules: Vec<Dates>,
}

/// A schedule of the `cron` crate, on all its days or only on those that are the last of their month.
struct Dates {
    schedule: cron::Schedule,
    only_last_day: bool,
}

impl Clock {
    pub fn new(fields: Fields) -> Clock {
        Clock {
            schedules: translate(&fields),
            fields,
        }
    }

    /// The first matching minute after a wall-clock time (given as if it were UTC); None after the year 2100.
    pub fn next_after(&self, local: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // The `cron` crate ends there, and overflows near chrono's utmost.
        if local.year() > 2100 {
            return None;
        }
        self.schedules
            .iter()
            .filter_map(|dates| dates.next_after(local))
            .min()
    }
}

impl Dates {
    fn next_after(&self, mut local: DateTime<Utc>) -> Option<DateTime<Utc>> {
        loop {
            let found = self.schedule.after(&local).next()?;
            let next_day = found.date_naive().succ_opt()?;
            if !self.only_last_day || next_day.day() == 1 {
                return Some(found);
            }
            local = next_day.and_hms_opt(0, 0, 0)?.and_utc() - chrono::Duration::seconds(1);
        }
    }
}

/// The `cron` crate's schedules for the same times. Its week days count from 1 = Sunday, and it wants both day fields
/// to match, so "either" becomes several schedules.
fn translate(fields: &Fields) -> Vec<Dates> {
    let dates = |days: &str, week_days: &str, only_last_day: bool| {
        let [minutes, hours, months] =
            [fields.minutes, fields.hours, fields.months].map(|set| list(set, 0));
        let text = format!("0 {minutes} {hours} {days} {months} {week_days} *");
        let schedule =
            cron::Schedule::from_str(&text).expect("lists of numbers within their fields' bounds");
        Dates {
            schedule,
            only_last_day,
        }
    };
    let week_days = list(fields.week_days, 1);
    let with_days = if fields.both_days {
        week_days.as_str()
    } else {
        "*"
    };
    let mut all = vec![];
    if fields.days != 0 {
        all.push(dates(&list(fields.days, 0), with_days, false));
    }
    if fields.last_day {
        all.push(dates("28-31", with_days, true));
    }
    if !fields.both_days {
        all.push(dates("*", &week_days, false));
    }
    all
}

/// The values of a set, shifted, as a comma-separated list.
fn list(set: Set, shift: u32) -> String {
    let values = (0..64).filter(|value| set & 1 << value != 0);
    values
        .map(|value| (value + shift).to_string())
        .collect::<Vec<_>>()
        .join(",")
}
