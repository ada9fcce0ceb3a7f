//! The ticks of a cron expression in a time zone.

use super::clock::Clock;
use super::expr::{CronExpr, Rule};
use super::zone::Zone;
use chrono::{DateTime, Duration, Utc};
use std::ops::Range;

/// The instant at which a schedule comes due.
pub type Tick = DateTime<Utc>;

/// A cron expression read in a time zone.
pub struct Timing {
    pub expr: CronExpr,
    pub zone: Zone,
}

impl Timing {
    /// The first tick after an instant, or None if there is none up to the year 2100.
    ///
    /// When the clock is set back or forward, Vixie cron's rule applies (crontab(5), "daylight saving time"). A
    /// schedule that [recurs](super::fields::Fields::recurs) follows real time: it does not tick at skipped times, and
    /// ticks twice at repeated times. Any other schedule ticks once for a skipped time, right after the gap, and once
    /// for a repeated time, the first time.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<Tick> {
        match &self.expr.rule {
            Rule::Seconds(seconds) => next_on_grid((*seconds).into(), after),
            Rule::Clock(times) if times.fields.recurs => self.next_in_real_time(times, after),
            Rule::Clock(times) => self.next_on_clock(times, after),
        }
    }

    /// Between two changes of the zone's offset, real time and the clock differ by a constant, so the search goes from
    /// change to change.
    fn next_in_real_time(&self, times: &Clock, after: DateTime<Utc>) -> Option<Tick> {
        let mut after = after;
        let mut segment = after.timestamp();
        loop {
            let offset = Duration::seconds(self.zone.offset_at(segment));
            let local = after.checked_add_signed(offset)?;
            let tick = times.next_after(local)?.checked_sub_signed(offset)?;
            match self.zone.next_change(segment) {
                Some(change) if tick.timestamp() >= change => {
                    segment = change;
                    after = DateTime::from_timestamp(change, 0)? - Duration::microseconds(1);
                }
                _ => return Some(tick),
            }
        }
    }

    /// Goes through the matching wall-clock times. A time in a repeated hour maps to its first occurrence, and every
    /// time within a gap maps to the end of the gap, so the tick of a time may not be after `after`.
    fn next_on_clock(&self, times: &Clock, after: DateTime<Utc>) -> Option<Tick> {
        let offset = Duration::seconds(self.zone.offset_at(after.timestamp()));
        let mut local = after.checked_add_signed(offset)?;
        loop {
            local = times.next_after(local)?;
            let tick = self.zone.first_instant_of(local)?;
            if tick > after {
                return Some(tick);
            }
        }
    }

    /// The ticks after `after`, up to and including `until`.
    pub fn ticks(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = Tick> {
        std::iter::successors(self.next_after(after), |tick| self.next_after(*tick))
            .take_while(move |tick| *tick <= until)
    }

    /// The first tick at or after an instant.
    pub fn next_at_or_after(&self, instant: DateTime<Utc>) -> Option<Tick> {
        let before = instant.checked_sub_signed(Duration::microseconds(1));
        self.next_after(before.unwrap_or(instant))
    }

    /// The ticks of a half-open range.
    pub fn ticks_in(&self, range: Range<DateTime<Utc>>) -> impl Iterator<Item = Tick> {
        std::iter::successors(self.next_at_or_after(range.start), |tick| {
            self.next_after(*tick)
        })
        .take_while(move |tick| *tick < range.end)
    }

    /// The last tick after `after`, up to and including `until`. The search begins with the hour before `until` and
    /// goes back in steps that double.
    pub fn last_tick(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<Tick> {
        let mut span = Duration::hours(1);
        let mut end = until;
        while end > after {
            let start = end
                .checked_sub_signed(span)
                .map_or(after, |start| start.max(after));
            if let Some(tick) = self.ticks(start, end).last() {
                return Some(tick);
            }
            end = start;
            span = span * 2;
        }
        None
    }

    /// Whether an instant is a tick.
    pub fn is_tick(&self, instant: DateTime<Utc>) -> bool {
        self.next_at_or_after(instant) == Some(instant)
    }
}

/// The first multiple of `seconds` since 1970 after an instant. On this fixed grid ticks do not drift, whatever wakes
/// Kronos, and a schedule that is deleted and created again keeps its ticks.
fn next_on_grid(seconds: i64, after: DateTime<Utc>) -> Option<Tick> {
    DateTime::from_timestamp((after.timestamp().div_euclid(seconds) + 1) * seconds, 0)
}
