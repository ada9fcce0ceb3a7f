//! Cron expressions read minute by minute, by the rules of docs/time.md and with no code of the extension. Instants are
//! minutes since 1970; a wall-clock time is such a number too, as if the clock showed UTC.

use chrono::{DateTime, Datelike};
use postgres::Client;
use std::ops::Range;

/// The fields of an expression, one bit per value.
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    week_days: u64,
    is_last_day: bool,
    needs_both_days: bool,
    /// The schedule follows real time when the clock changes.
    recurs: bool,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEK_DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Fields {
    /// Reads a valid expression.
    pub fn read(cron: &str) -> Fields {
        let five = match cron {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            five => five,
        };
        let fields: Vec<&str> = five.split(' ').collect();
        let [minute, hour, day, month, week_day] = fields[..] else {
            panic!("{cron:?} has not five fields");
        };
        let week_days = set(week_day, 0..8, &WEEK_DAYS);
        let is_last_day = day == "$";
        Fields {
            minutes: set(minute, 0..60, &[]),
            hours: set(hour, 0..24, &[]),
            days: if is_last_day { 0 } else { set(day, 1..32, &[]) },
            months: set(month, 1..13, &MONTHS),
            // 7 is Sunday too.
            week_days: if week_days & 1 << 7 == 0 {
                week_days
            } else {
                week_days | 1
            },
            is_last_day,
            needs_both_days: day.starts_with('*') || week_day.starts_with('*'),
            recurs: minute.starts_with('*') || hour.starts_with('*'),
        }
    }

    fn has_time(&self, wall: i64) -> bool {
        let (hour, minute) = (wall.rem_euclid(24 * 60) / 60, wall.rem_euclid(60));
        self.minutes & 1 << minute != 0 && self.hours & 1 << hour != 0
    }

    fn has_date(&self, wall: i64) -> bool {
        let date = |wall: i64| DateTime::from_timestamp(wall * 60, 0).unwrap().date_naive();
        let today = date(wall);
        let is_last = date(wall + 24 * 60).day() == 1;
        let in_days = self.days & 1 << today.day() != 0 || self.is_last_day && is_last;
        let in_week_days = self.week_days & 1 << today.weekday().num_days_from_sunday() != 0;
        let is_day = if self.needs_both_days {
            in_days && in_week_days
        } else {
            in_days || in_week_days
        };
        is_day && self.months & 1 << today.month() != 0
    }

    fn has(&self, wall: i64) -> bool {
        self.has_time(wall) && self.has_date(wall)
    }

    /// The ticks of a range.
    pub fn ticks(&self, zone: &Zone, range: Range<i64>) -> Vec<i64> {
        // The latest time that the zone's clock has shown or skipped.
        let mut latest = zone.wall(range.start - 1);
        let mut ticks = vec![];
        for minute in range {
            let wall = zone.wall(minute);
            let is_tick = if self.recurs {
                self.has(wall)
            } else {
                // The times that the clock has reached for the first time, those that it has skipped included.
                (latest + 1..=wall).any(|wall| self.has(wall))
            };
            if is_tick {
                ticks.push(minute);
            }
            latest = latest.max(wall);
        }
        ticks
    }

    /// Whether pg_cron, which knows no rule for daylight saving, fires an entry in a zone at an instant.
    pub fn fires_at(&self, zone: &Zone, minute: i64) -> bool {
        self.has(zone.wall(minute))
    }
}

fn set(field: &str, range: Range<u64>, names: &[&str]) -> u64 {
    let value = |text: &str| {
        let name = text.to_lowercase();
        match names.iter().position(|it| *it == name) {
            Some(place) => range.start + place as u64,
            None => text.parse().unwrap(),
        }
    };
    let mut set = 0;
    for item in field.split(',') {
        let (values, step) = item.split_once('/').unwrap_or((item, "1"));
        let (first, last) = match values.split_once('-') {
            _ if values == "*" => (range.start, range.end - 1),
            Some((first, last)) => (value(first), value(last)),
            None => (value(values), value(values)),
        };
        for value in (first..=last).step_by(step.parse().unwrap()) {
            set |= 1 << value;
        }
    }
    set
}

/// A time zone.
pub struct Zone {
    pub name: &'static str,
    /// The offsets from UTC in minutes, each with the instant from which on it holds, the latest first.
    offsets: Vec<(i64, i64)>,
}

/// The offset of a zone at the first instant of a range, and at each instant at which it changes: first the hours are
/// found, then the minutes.
const OFFSETS: &str = "
with hours as (
    select h.m, o.shift, lead(o.shift) over (order by h.m) as next_shift
    from generate_series($2::bigint, $3::bigint + 60, 60) h (m)
    cross join lateral (select (to_timestamp(h.m * 60) at time zone $1) - (to_timestamp(h.m * 60) at time zone 'UTC')) o (shift)
),
minutes as (
    select n.m, o.shift, lag(o.shift) over (order by n.m) as previous_shift
    from hours h
    cross join lateral generate_series(h.m, h.m + 60) n (m)
    cross join lateral (select (to_timestamp(n.m * 60) at time zone $1) - (to_timestamp(n.m * 60) at time zone 'UTC')) o (shift)
    where h.shift <> h.next_shift or h.m = $2
)
select m, extract(epoch from shift)::bigint / 60
from minutes
where shift is distinct from previous_shift
order by m desc";

impl Zone {
    /// Reads a zone from the server, for a range of instants.
    pub fn read(session: &mut Client, name: &'static str, range: &Range<i64>) -> Zone {
        let rows = session
            .query(OFFSETS, &[&name, &(range.start - 1), &range.end])
            .unwrap();
        Zone {
            name,
            offsets: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        }
    }

    /// The time that the zone's clock shows at an instant.
    fn wall(&self, minute: i64) -> i64 {
        let held = self.offsets.iter().find(|(from, _)| *from <= minute);
        minute + held.expect("the instant is in the range").1
    }
}
