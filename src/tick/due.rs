//! The due ticks of a schedule, and which of them a job runs.

use super::jobs::Job;
use crate::calendar::{Tick, Timing};
use crate::policy::CatchupPolicy;
use crate::sql;
use chrono::{DateTime, Duration, Utc};
use std::ops::Range;
use std::rc::Rc;

/// Ticks handled within this delay count as on time: a briefly lost wake-up is caught up by the next one and is not
/// subject to `catchup_policy`.
const ON_TIME: Duration = Duration::minutes(5);

/// The most missed ticks of a schedule that `catchup_policy` 'all' runs: the latest ones, whatever the window.
const MAX_MISSED: usize = 10_000;

/// The ticks of a schedule that came due in a pass, in ascending order.
pub struct DueTicks {
    /// The end of the pass. It decides which ticks are missed, and where catch-up windows begin.
    until: DateTime<Utc>,
    on_time: Vec<Tick>,
    missed: Option<Missed>,
}

/// Ticks that are handled more than [`ON_TIME`] late.
struct Missed {
    timing: Rc<Timing>,
    /// The first and the last tick before `latest`, if `latest` does not reach back to the first tick.
    earlier: Option<(Tick, Tick)>,
    /// The latest missed ticks, at most [`MAX_MISSED`].
    latest: Vec<Tick>,
}

/// The due ticks of one job.
#[derive(Default)]
pub struct JobTicks {
    pub run: Vec<Tick>,
    /// The first and the last tick that the job's catchup_policy drops.
    pub dropped: Option<(Tick, Tick)>,
}

impl DueTicks {
    /// The ticks after `after`, up to and including `until`.
    pub fn new(timing: &Rc<Timing>, after: DateTime<Utc>, until: DateTime<Utc>) -> DueTicks {
        let on_time_from = (until - ON_TIME).max(after);
        DueTicks {
            until,
            on_time: timing.ticks(on_time_from, until).collect(),
            missed: Missed::new(timing, after, on_time_from),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.on_time.is_empty() && self.missed.is_none()
    }

    /// How many ticks a job of the schedule can have.
    pub fn len(&self) -> usize {
        self.on_time.len() + self.missed.as_ref().map_or(0, |missed| missed.latest.len())
    }

    /// Whether every job of the schedule has at most one tick.
    pub fn is_single(&self) -> bool {
        self.missed.is_none() && self.on_time.len() <= 1
    }

    /// The tick, if there is one and it is on time.
    pub fn single(&self) -> Option<Tick> {
        self.on_time.first().copied().filter(|_| self.is_single())
    }

    /// The ticks that a job has, by its window and its catchup_policy.
    pub fn of(&self, job: &Job) -> JobTicks {
        let mut ticks = match &self.missed {
            Some(missed) => missed.of(job, self.until),
            None => JobTicks::default(),
        };
        ticks
            .run
            .extend(self.on_time.iter().filter(|tick| job.has(**tick)));
        ticks
    }
}

impl Missed {
    fn new(timing: &Rc<Timing>, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<Missed> {
        let first = timing.next_after(after).filter(|tick| *tick <= until)?;
        let latest = latest_ticks(timing, after, until);
        let oldest = *latest.first()?;
        let before_latest = timing.last_tick(after, oldest - Duration::microseconds(1));
        Some(Missed {
            timing: Rc::clone(timing),
            earlier: before_latest.map(|last| (first, last)),
            latest,
        })
    }

    fn of(&self, job: &Job, now: DateTime<Utc>) -> JobTicks {
        let mut range = job.range();
        let from = range.start.max(now - job.catchup_window);
        let run: Vec<Tick> = match job.catchup_policy {
            CatchupPolicy::None => vec![],
            CatchupPolicy::Last => {
                let last = self.first_and_last_in(&range).map(|(_, last)| last);
                last.filter(|last| *last >= from).into_iter().collect()
            }
            CatchupPolicy::All => self.latest_in(&(from..range.end)).to_vec(),
        };
        if let Some(first_run) = run.first() {
            range.end = *first_run;
        }
        JobTicks {
            run,
            dropped: self.first_and_last_in(&range),
        }
    }

    /// The latest ticks of a range.
    fn latest_in(&self, range: &Range<DateTime<Utc>>) -> &[Tick] {
        let place = |instant| self.latest.partition_point(|tick| *tick < instant);
        let (start, end) = (place(range.start), place(range.end));
        self.latest.get(start..end).unwrap_or_default()
    }

    fn first_and_last_in(&self, range: &Range<DateTime<Utc>>) -> Option<(Tick, Tick)> {
        let earlier = self.earlier_in(range);
        let latest = self.latest_in(range);
        let first = earlier.map(|(first, _)| first);
        let last = earlier.map(|(_, last)| last);
        Some((
            first.or(latest.first().copied())?,
            latest.last().copied().or(last)?,
        ))
    }

    /// The first and the last tick of a range before the latest ticks.
    fn earlier_in(&self, range: &Range<DateTime<Utc>>) -> Option<(Tick, Tick)> {
        let (first, last) = self.earlier?;
        if range.contains(&first) && range.contains(&last) {
            return Some((first, last));
        }
        let last = last.min(range.end - Duration::microseconds(1));
        let first = self.timing.next_at_or_after(range.start.max(first))?;
        let last = self
            .timing
            .last_tick(first - Duration::microseconds(1), last)?;
        Some((first, last))
    }
}

/// The latest ticks after `after`, up to and including `until`, at most [`MAX_MISSED`]. The search goes back from
/// `until` in steps that double, so the work is bounded by the number of ticks returned, however long ago `after` is.
fn latest_ticks(timing: &Timing, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Tick> {
    let mut span = Duration::hours(1);
    loop {
        sql::check_for_interrupts();
        let start = until
            .checked_sub_signed(span)
            .map_or(after, |start| start.max(after));
        let mut ticks: Vec<Tick> = timing.ticks(start, until).collect();
        if ticks.len() >= MAX_MISSED {
            return ticks.split_off(ticks.len() - MAX_MISSED);
        }
        if start == after {
            return ticks;
        }
        span = span * 2;
    }
}
