//! When a schedule ticks: pg_cron's dialect, zones, and the ticks that follow from both. Knows nothing of tables.

mod alarm;
mod expr;
mod zone;

pub use alarm::alarm_for;
pub use expr::{CronExpr, Fields, ParseErrorKind};
pub use zone::Zone;

use chrono::{DateTime, Duration, Utc};

/// The instant at which a schedule comes due.
pub type Tick = DateTime<Utc>;

/// A cron expression read in a time zone.
pub struct Timing {
    pub expr: CronExpr,
    pub zone: Zone,
}

impl Timing {
    /// The timing of an expression and a zone that were accepted before: None only if this server no longer takes them.
    pub fn stored(cron: &str, timezone: &str) -> Option<Timing> {
        Some(Timing {
            expr: CronExpr::parse(cron).ok()?,
            zone: Zone::named(timezone)?,
        })
    }

    /// The first tick after an instant, or None if there is none before the year 2100.
    ///
    /// Where the clock is set back or forward the rule is Vixie cron's (crontab(5), "daylight saving time"). A schedule
    /// that [recurs](CronExpr::recurs) follows real time: what the clock skips does not tick, what comes twice ticks
    /// twice. Any other ticks once for a time that is skipped, right after the gap, and once for a time that comes twice,
    /// the first time.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<Tick> {
        if self.expr.recurs() {
            self.next_in_real_time(after)
        } else {
            self.next_on_the_clock(after)
        }
    }

    /// Between two changes of the zone's offset real time and the clock differ by a constant, so the search goes from
    /// change to change.
    fn next_in_real_time(&self, after: DateTime<Utc>) -> Option<Tick> {
        let mut after = after;
        let mut stretch = after.timestamp();
        loop {
            let offset = Duration::seconds(self.zone.offset_at(stretch));
            let local = after.checked_add_signed(offset)?;
            let tick = self.expr.next_after(local)?.checked_sub_signed(offset)?;
            match self.zone.next_change(stretch) {
                Some(change) if tick.timestamp() >= change => {
                    stretch = change;
                    after = DateTime::from_timestamp(change, 0)? - Duration::microseconds(1);
                }
                _ => return Some(tick),
            }
        }
    }

    /// Goes through the matching times of the clock. Those of the hour that comes twice lead back to its first coming,
    /// and those within a gap all to its end, so some of them may not lie after `after`.
    fn next_on_the_clock(&self, after: DateTime<Utc>) -> Option<Tick> {
        let offset = Duration::seconds(self.zone.offset_at(after.timestamp()));
        let mut local = after.checked_add_signed(offset)?;
        loop {
            local = self.expr.next_after(local)?;
            let tick = self.zone.first_instant_of(local)?;
            if tick > after {
                return Some(tick);
            }
        }
    }

    /// The ticks after `after`, up to and including `until`.
    pub fn ticks(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Tick> {
        let mut next = self.next_after(after);
        std::iter::from_fn(|| {
            let tick = next.filter(|tick| *tick <= until)?;
            next = self.next_after(tick);
            Some(tick)
        })
        .collect()
    }

    /// Whether an instant is a tick.
    pub fn is_tick(&self, instant: DateTime<Utc>) -> bool {
        self.next_after(instant - Duration::microseconds(1)) == Some(instant)
    }
}
