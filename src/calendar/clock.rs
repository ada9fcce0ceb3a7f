//! The wall-clock times that a cron expression matches. The `cron` crate does the calendar arithmetic.

use super::fields::{Fields, Set};
use chrono::{DateTime, Datelike, Utc};
use std::str::FromStr;

/// The times that five fields match.
pub struct Clock {
    pub fields: Fields,
    // A time matches if it matches any of them. One schedule is not enough: the `cron` crate requires both day fields
    // to match, and has no last day of the month.
    schedules: Vec<Dates>,
}

/// A schedule of the `cron` crate, on all of its days or only on the last days of months.
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
        // The `cron` crate finds no later times, and overflows near chrono's maximum.
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

/// Translates fields to schedules of the `cron` crate. The crate counts week days from 1 = Sunday and requires both day
/// fields to match, so "either day field" becomes several schedules.
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

/// The values of a set, each plus `shift`, as a comma-separated list.
fn list(set: Set, shift: u32) -> String {
    let values = (0..64).filter(|value| set & 1 << value != 0);
    values
        .map(|value| (value + shift).to_string())
        .collect::<Vec<_>>()
        .join(",")
}
