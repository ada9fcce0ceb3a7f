//! Derives a schedule's pg_cron entry: an expression in pg_cron's own zone that covers the schedule's ticks.

use super::clock::Clock;
use super::expr::Rule;
use super::fields::{Fields, Set};
use super::timing::Timing;
use super::zone::Zone;
use chrono::{DateTime, Datelike, Timelike, Utc};

const EVERY_MINUTE: &str = "* * * * *";
const MINUTES_OF_DAY: i64 = 24 * 60;
/// The days that can be the last day of a month.
const LAST_DAYS: Set = 0b1111 << 28;

/// A cron expression for pg_cron, which runs in `zone`. It fires at every tick of the schedule between two instants,
/// and at few other times.
///
/// pg_cron converts each minute of real time to its zone and matches it there, without any rule for daylight saving. So
/// at a tick, pg_cron's clock shows the time of the schedule's own clock, shifted by the difference of the two zones'
/// offsets at that instant. Each field becomes the union over all differences that occur. A tick right after a gap does
/// not match the schedule's own fields, so it is added separately.
pub fn entry_for(
    timing: &Timing,
    zone: &Zone,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> String {
    let Rule::Clock(clock_times) = &timing.expr.rule else {
        return timing.expr.text().into();
    };
    let fields = &clock_times.fields;
    let differences = offset_differences(&timing.zone, zone, from.timestamp(), until.timestamp());
    if differences.iter().any(|seconds| seconds % 60 != 0) {
        return EVERY_MINUTE.into();
    }
    let gap_ends: Vec<DateTime<Utc>> = gap_ends(clock_times, &timing.zone, from, until)
        .iter()
        .map(|unix| local_time(zone, *unix))
        .collect();
    if differences == [0] && gap_ends.is_empty() && !fields.last_day {
        return timing.expr.text().into();
    }
    let mut own = Fields {
        last_day: false,
        ..fields.clone()
    };
    if fields.last_day {
        own.days |= LAST_DAYS;
    }
    let mut covering = Fields {
        minutes: 0,
        hours: 0,
        ..own.clone()
    };
    for seconds in differences {
        let minutes = seconds / 60;
        covering.minutes |= moved_minutes(&own, minutes);
        covering.hours |= moved_hours(&own, minutes);
        add_moved_days(&own, minutes, &mut covering);
    }
    for time in gap_ends {
        covering.minutes |= 1 << time.minute();
        covering.hours |= 1 << time.hour();
        covering.days |= 1 << time.day();
        covering.months |= 1 << time.month();
        covering.week_days |= 1 << time.weekday().num_days_from_sunday();
    }
    format_fields(&covering)
}

/// The differences (in seconds) between two zones' clocks that occur between two instants, in ascending order: `to`
/// minus `from_zone`.
fn offset_differences(from_zone: &Zone, to: &Zone, from: i64, until: i64) -> Vec<i64> {
    let mut found = vec![];
    let mut at = from;
    while at <= until {
        found.push(to.offset_at(at) - from_zone.offset_at(at));
        let changes = [from_zone.next_change(at), to.next_change(at)];
        match changes.into_iter().flatten().min() {
            Some(change) => at = change,
            None => break,
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The ends of the gaps in a schedule's zone at which the schedule ticks for a skipped time.
fn gap_ends(times: &Clock, zone: &Zone, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<i64> {
    if times.fields.recurs {
        return vec![];
    }
    let mut ends = vec![];
    let mut at = from.timestamp();
    while let Some(change) = zone.next_change(at).filter(|it| *it <= until.timestamp()) {
        let before = change + zone.offset_at(change - 1);
        let after = change + zone.offset_at(change);
        let skipped = DateTime::from_timestamp(before - 1, 0)
            .and_then(|start| times.next_after(start))
            .is_some_and(|time| time.timestamp() < after);
        if skipped {
            ends.push(change);
        }
        at = change;
    }
    ends
}

/// The time that a zone's clock shows at an instant, as if it were UTC.
fn local_time(zone: &Zone, unix: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(unix + zone.offset_at(unix), 0).unwrap_or_default()
}

fn members(set: Set) -> impl Iterator<Item = i64> {
    (0..64).filter(move |value| set & 1 << value != 0)
}

/// The minutes of the day at which a schedule may tick.
fn minutes_of_day(fields: &Fields) -> impl Iterator<Item = i64> {
    members(fields.hours)
        .flat_map(|hour| members(fields.minutes).map(move |minute| hour * 60 + minute))
}

fn moved_minutes(fields: &Fields, by: i64) -> Set {
    members(fields.minutes).fold(0, |set, minute| set | 1 << (minute + by).rem_euclid(60))
}

fn moved_hours(fields: &Fields, by: i64) -> Set {
    minutes_of_day(fields).fold(0, |set, time| {
        set | 1 << ((time + by).rem_euclid(MINUTES_OF_DAY) / 60)
    })
}

/// Adds to `covering` the neighbouring days and months that the times of `fields` reach when they move `by` minutes.
fn add_moved_days(fields: &Fields, by: i64, covering: &mut Fields) {
    let (mut to_day_before, mut to_day_after) = (false, false);
    for time in minutes_of_day(fields) {
        to_day_before |= time + by < 0;
        to_day_after |= time + by >= MINUTES_OF_DAY;
    }
    // Unless both day fields must match, a week day may match on any day of the month.
    let on_first = fields.days & 1 << 1 != 0;
    let on_last = fields.days & LAST_DAYS != 0;
    if to_day_before {
        covering.week_days |= fields.week_days >> 1 | (fields.week_days & 1) << 6;
        covering.days |= fields.days >> 1 & !1 | if on_first { LAST_DAYS } else { 0 };
        if on_first || !fields.both_days {
            covering.months |= fields.months >> 1 & !1 | (fields.months >> 1 & 1) << 12;
        }
    }
    if to_day_after {
        covering.week_days |= (fields.week_days << 1 | fields.week_days >> 6) & 0x7f;
        covering.days |= fields.days << 1 & ((1 << 32) - 1) | (on_last as Set) << 1;
        if on_last || !fields.both_days {
            covering.months |= fields.months << 1 & ((1 << 13) - 1) | (fields.months >> 12) << 1;
        }
    }
}

/// The expression of a set of fields. pg_cron requires both day fields to match if one of them begins with `*`, and
/// otherwise either. So if either may match and one of them is every day, both are written as `*`.
fn format_fields(fields: &Fields) -> String {
    let (days, week_days) = (
        format_field(fields.days, 1, 31),
        format_field(fields.week_days, 0, 6),
    );
    let every_day = !fields.both_days && (days == "*" || week_days == "*");
    let (days, week_days) = if every_day {
        ("*", "*")
    } else {
        (days.as_str(), week_days.as_str())
    };
    let minutes = format_field(fields.minutes, 0, 59);
    let hours = format_field(fields.hours, 0, 23);
    let months = format_field(fields.months, 1, 12);
    format!("{minutes} {hours} {days} {months} {week_days}")
}

/// The text of a field: `*`, or its values, with runs of three or more as ranges.
fn format_field(set: Set, low: i64, high: i64) -> String {
    if members(set).count() as i64 == high - low + 1 {
        return "*".into();
    }
    let mut ranges: Vec<(i64, i64)> = vec![];
    for value in members(set) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == value => *last = value,
            _ => ranges.push((value, value)),
        }
    }
    let texts = ranges.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    texts.collect::<Vec<_>>().join(",")
}
