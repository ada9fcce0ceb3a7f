//! The definition of a job version: as a caller requests it, as checked, and as stored.

use super::error::{invalid_window, never_fires};
use crate::args::{self, instant_or_infinity};
use crate::calendar::{Tick, Timing};
use crate::error::Result;
use crate::id::EndpointId;
use crate::named::Named;
use crate::policy::{CatchupPolicy, OverlapPolicy};
use crate::schedule::parse_timing;
use crate::sql::{self, Row};
use chrono::{DateTime, Utc};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use std::ops::Range;
use std::rc::Rc;

/// The times between which a job may tick: starts_at <= tick < ends_at. None means no bound.
#[derive(Clone, Copy, PartialEq)]
pub struct Window {
    pub starts_at: Option<TimestampWithTimeZone>,
    pub ends_at: Option<TimestampWithTimeZone>,
}

impl Window {
    /// Creates a window from the caller's bounds. `-infinity` and `infinity` mean no bound.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bound beyond the years that Kronos stores; `INVALID_WINDOW` if the window is empty.
    fn new(
        starts_at: Option<TimestampWithTimeZone>,
        ends_at: Option<TimestampWithTimeZone>,
    ) -> Result<Window> {
        for (argument, bound) in [("starts_at", starts_at), ("ends_at", ends_at)] {
            if let Some(bound) = bound {
                instant_or_infinity(argument, bound)?;
            }
        }
        let given = Window { starts_at, ends_at };
        let Range { start, end } = given.range();
        if end <= start {
            let rule = "ends_at must be after starts_at";
            return Err(invalid_window(rule, starts_at, ends_at));
        }
        Ok(Window {
            starts_at: starts_at.filter(|bound| sql::is_finite(*bound)),
            ends_at: ends_at.filter(|bound| sql::is_finite(*bound)),
        })
    }

    /// The window as a half-open range.
    pub fn range(&self) -> Range<DateTime<Utc>> {
        let start = self
            .starts_at
            .map_or(DateTime::<Utc>::MIN_UTC, sql::from_pg);
        let end = self.ends_at.map_or(DateTime::<Utc>::MAX_UTC, sql::from_pg);
        start..end
    }

    /// Whether the window has ended at an instant.
    pub fn is_past(&self, now: DateTime<Utc>) -> bool {
        self.range().end <= now
    }

    /// The first tick of a timing that lies in the window and after an instant.
    ///
    /// # Errors
    /// `INVALID_WINDOW` for a window that is past, `NEVER_FIRES`.
    pub fn first_tick(&self, timing: &Timing, after: DateTime<Utc>) -> Result<Tick> {
        if self.is_past(after) {
            let rule = "ends_at must not be past";
            return Err(invalid_window(rule, self.starts_at, self.ends_at));
        }
        let Range { start, end } = self.range();
        let tick = if start > after {
            timing.next_at_or_after(start)
        } else {
            timing.next_after(after)
        };
        tick.filter(|tick| *tick < end)
            .ok_or_else(|| never_fires(timing.expr.text(), self.starts_at, self.ends_at, tick))
    }
}

/// A caller's request for a job, except its endpoint, input and metadata. Defaults are filled in.
pub struct Request<'a> {
    pub name: Option<&'a str>,
    pub cron: &'a str,
    pub timezone: &'a str,
    pub starts_at: Option<TimestampWithTimeZone>,
    pub ends_at: Option<TimestampWithTimeZone>,
    pub catchup_policy: CatchupPolicy,
    /// How far back missed ticks are caught up: 0 to 1 year.
    pub catchup_window: Interval,
    pub overlap_policy: OverlapPolicy,
    /// The longest time between a tick and its execution's run_at: 0 to 1 day.
    pub jitter: Interval,
    /// 0 (most urgent) to 9.
    pub priority: i32,
    /// How many failures in a row pause the job; None for any number.
    pub max_consecutive_failures: Option<i32>,
    pub concurrency_key: Option<&'a str>,
}

/// A checked request, in the form in which it is stored.
pub struct Terms<'a> {
    pub name: Option<&'a str>,
    pub timing: Rc<Timing>,
    pub timezone: String,
    pub window: Window,
    pub catchup_policy: CatchupPolicy,
    pub catchup_window: Interval,
    pub overlap_policy: OverlapPolicy,
    pub jitter: Interval,
    pub priority: i32,
    /// The endpoint that handles failures.
    pub on_failure_id: Option<EndpointId>,
    pub max_consecutive_failures: Option<i32>,
    pub concurrency_key: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Checks every rule that does not depend on the clock. The caller has looked up the endpoint that handles failures.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `INVALID_CRON`, `CRON_NOT_SUPPORTED`, `INVALID_TIMEZONE`, `INVALID_WINDOW`.
    pub fn check(self, on_failure_id: Option<EndpointId>) -> Result<Terms<'a>> {
        let (timing, timezone) = parse_timing(self.cron, self.timezone)?;
        if let Some(name) = self.name {
            args::length("name", name, 200)?;
        }
        let window = Window::new(self.starts_at, self.ends_at)?;
        let catchup_window = args::duration(
            "catchup_window",
            &self.catchup_window,
            0..=args::YEAR,
            "must be from 0 to 1 year",
        )?;
        let jitter = args::duration(
            "jitter",
            &self.jitter,
            0..=args::DAY,
            "must be from 0 to 1 day",
        )?;
        args::priority(self.priority)?;
        if let Some(times) = self.max_consecutive_failures {
            args::range("max_consecutive_failures", times.into(), 1..=1000)?;
        }
        args::concurrency_key(self.concurrency_key)?;
        Ok(Terms {
            name: self.name,
            timing,
            timezone,
            window,
            catchup_policy: self.catchup_policy,
            catchup_window,
            overlap_policy: self.overlap_policy,
            jitter,
            priority: self.priority,
            on_failure_id,
            max_consecutive_failures: self.max_consecutive_failures,
            concurrency_key: self.concurrency_key,
        })
    }
}

impl Terms<'_> {
    pub fn cron(&self) -> &str {
        self.timing.expr.text()
    }
}

/// A stored version of a job, except its input and metadata.
pub struct Definition {
    pub name: Option<String>,
    pub endpoint_id: EndpointId,
    pub cron: String,
    pub timezone: String,
    pub window: Window,
    pub catchup_policy: CatchupPolicy,
    pub catchup_window: Interval,
    pub overlap_policy: OverlapPolicy,
    pub jitter: Interval,
    pub priority: i32,
    pub on_failure_id: Option<EndpointId>,
    pub max_consecutive_failures: Option<i32>,
    pub concurrency_key: Option<String>,
}

impl Definition {
    pub fn read(row: &Row) -> Result<Definition> {
        Ok(Definition {
            name: sql::get_opt(row, "name")?,
            endpoint_id: sql::get(row, "endpoint_id")?,
            cron: sql::get(row, "cron")?,
            timezone: sql::get(row, "timezone")?,
            window: Window {
                starts_at: sql::get_opt(row, "starts_at")?,
                ends_at: sql::get_opt(row, "ends_at")?,
            },
            catchup_policy: CatchupPolicy::read(row)?,
            catchup_window: sql::get(row, "catchup_window")?,
            overlap_policy: OverlapPolicy::read(row)?,
            jitter: sql::get(row, "jitter")?,
            priority: sql::get(row, "priority")?,
            on_failure_id: sql::get_opt(row, "on_failure_id")?,
            max_consecutive_failures: sql::get_opt(row, "max_consecutive_failures")?,
            concurrency_key: sql::get_opt(row, "concurrency_key")?,
        })
    }

    /// The names of the arguments in which this version differs from a request. SQL has compared the input and the
    /// metadata.
    pub fn differences(
        &self,
        terms: &Terms,
        endpoint_id: EndpointId,
        same_input: bool,
        same_metadata: bool,
    ) -> Vec<String> {
        let differing = [
            ("endpoint", self.endpoint_id != endpoint_id),
            ("cron", self.cron != terms.cron()),
            ("input", !same_input),
            ("name", self.name.as_deref() != terms.name),
            ("timezone", self.timezone != terms.timezone),
            ("starts_at", self.window.starts_at != terms.window.starts_at),
            ("ends_at", self.window.ends_at != terms.window.ends_at),
            (
                "catchup_policy",
                self.catchup_policy != terms.catchup_policy,
            ),
            (
                "catchup_window",
                args::micros(&self.catchup_window) != args::micros(&terms.catchup_window),
            ),
            (
                "overlap_policy",
                self.overlap_policy != terms.overlap_policy,
            ),
            (
                "jitter",
                args::micros(&self.jitter) != args::micros(&terms.jitter),
            ),
            ("priority", self.priority != terms.priority),
            ("metadata", !same_metadata),
            ("on_failure", self.on_failure_id != terms.on_failure_id),
            (
                "max_consecutive_failures",
                self.max_consecutive_failures != terms.max_consecutive_failures,
            ),
            (
                "concurrency_key",
                self.concurrency_key.as_deref() != terms.concurrency_key,
            ),
        ];
        let named = |(argument, differs)| -> Option<String> {
            Some(argument).filter(|_| differs).map(str::to_owned)
        };
        differing.into_iter().filter_map(named).collect()
    }
}
