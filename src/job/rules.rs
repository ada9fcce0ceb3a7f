//! What a job's arguments must satisfy, before anything is written.

use crate::calendar::Timing;
use crate::error::{self, KronosError, Result};
use crate::{settings, sql};
use chrono::{DateTime, Utc};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use serde_json::{Value, json};

/// The times between which a job may tick: starts_at <= tick < ends_at. None is no bound.
#[derive(Clone, Copy)]
pub struct Window {
    pub starts_at: Option<TimestampWithTimeZone>,
    pub ends_at: Option<TimestampWithTimeZone>,
}

impl Window {
    /// A window of the caller's bounds; an infinite one is none.
    ///
    /// # Errors
    /// `INVALID_WINDOW` if no time lies in it, or none that is still to come.
    pub fn new(
        starts_at: Option<TimestampWithTimeZone>,
        ends_at: Option<TimestampWithTimeZone>,
    ) -> Result<Window> {
        let refuse = |message: &str| {
            KronosError::new(
                &error::INVALID_WINDOW,
                message,
                json!({ "starts_at": shown(starts_at), "ends_at": shown(ends_at) }),
            )
        };
        let start = starts_at.map_or(DateTime::<Utc>::MIN_UTC, sql::from_pg);
        let end = ends_at.map_or(DateTime::<Utc>::MAX_UTC, sql::from_pg);
        if end <= start {
            return Err(refuse("ends_at must be after starts_at"));
        }
        if end <= sql::now() {
            return Err(refuse("ends_at must not be past"));
        }
        Ok(Window {
            starts_at: starts_at.filter(|_| start > DateTime::<Utc>::MIN_UTC),
            ends_at: ends_at.filter(|_| end < DateTime::<Utc>::MAX_UTC),
        })
    }
}

/// A timestamp for DETAIL.
pub fn shown(timestamp: Option<TimestampWithTimeZone>) -> Option<String> {
    timestamp.map(|timestamp| sql::from_pg(timestamp).to_rfc3339())
}

/// Fails if a schedule has no tick to come within the window.
///
/// # Errors
/// `NEVER_FIRES`.
pub fn check_fires(timing: &Timing, window: &Window) -> Result<()> {
    let microsecond = chrono::Duration::microseconds(1);
    let now = sql::now();
    let start = window
        .starts_at
        .map_or(now, |start| now.max(sql::from_pg(start) - microsecond));
    let tick = timing.next_after(start);
    let end = window
        .ends_at
        .map_or(DateTime::<Utc>::MAX_UTC, sql::from_pg);
    if tick.is_some_and(|tick| tick < end) {
        return Ok(());
    }
    let cron = timing.expr.text();
    let message = match tick {
        None => format!("{cron:?} never fires"),
        Some(_) => format!("{cron:?} does not fire between starts_at and ends_at"),
    };
    Err(KronosError::new(
        &error::NEVER_FIRES,
        message,
        json!({
            "cron": cron, "starts_at": shown(window.starts_at), "ends_at": shown(window.ends_at),
            "next_tick_at": shown(tick.map(sql::to_pg)),
        }),
    ))
}

/// What a job does about its ticks. None is the old value, in an update.
#[derive(Clone, Copy)]
pub struct Policies<'a> {
    /// Which missed ticks are made good: `none`, `last` or `all`.
    pub catchup_policy: Option<&'a str>,
    /// How far back they may lie, 0 to 1 year.
    pub catchup_window: Option<Interval>,
    /// What becomes of a tick while an execution is unfinished: `allow`, `skip`, `queue_one` or `replace`.
    pub overlap_policy: Option<&'a str>,
    /// Within what time after their tick executions start, 0 to 1 day.
    pub jitter: Option<Interval>,
}

const OUT_OF_RANGE: &str = "
select case when $1 not between interval '0' and interval '1 year' then 'catchup_window must be from 0 to 1 year'
            when $2 not between interval '0' and interval '1 day' then 'jitter must be from 0 to 1 day'
       end as problem";

impl Policies<'_> {
    /// Fails unless all that is given is what Kronos knows.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`.
    pub fn check(&self) -> Result<()> {
        let known = |argument: &str, value: Option<&str>, values: &[&str]| match value {
            Some(value) if !values.contains(&value) => Err(KronosError::new(
                &error::INVALID_ARGUMENT,
                format!("{argument} must be one of {}", values.join(", ")),
                json!({ "argument": argument, "value": value, "allowed": values }),
            )),
            _ => Ok(()),
        };
        known(
            "catchup_policy",
            self.catchup_policy,
            &["none", "last", "all"],
        )?;
        known(
            "overlap_policy",
            self.overlap_policy,
            &["allow", "skip", "queue_one", "replace"],
        )?;
        let args = [self.catchup_window.into(), self.jitter.into()];
        let problem = sql::row(OUT_OF_RANGE, &args, |row| {
            sql::get_opt::<String>(row, "problem")
        })?;
        match problem.flatten() {
            None => Ok(()),
            Some(problem) => {
                let argument = problem.split(' ').next().unwrap_or_default();
                let detail = json!({ "argument": argument });
                Err(KronosError::new(&error::INVALID_ARGUMENT, &problem, detail))
            }
        }
    }
}

/// Fails if an input is longer than Kronos keeps.
///
/// # Errors
/// `INPUT_TOO_LARGE`.
pub fn check_input(input: &Value) -> Result<()> {
    let bytes = serde_json::to_string(input).map_or(usize::MAX, |text| text.len());
    if bytes <= settings::MAX_INPUT_BYTES {
        return Ok(());
    }
    Err(KronosError::new(
        &error::INPUT_TOO_LARGE,
        format!(
            "input has {bytes} bytes; at most {} are allowed",
            settings::MAX_INPUT_BYTES
        ),
        json!({ "bytes": bytes, "limit": settings::MAX_INPUT_BYTES }),
    )
    .with_hint("Store large data in a table of your own, and pass its key."))
}

/// Fails unless a text has between 1 and `limit` characters.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn check_length(argument: &str, text: &str, limit: usize) -> Result<()> {
    let length = text.chars().count();
    if (1..=limit).contains(&length) {
        return Ok(());
    }
    Err(KronosError::new(
        &error::INVALID_ARGUMENT,
        format!("{argument} must have 1 to {limit} characters, not {length}"),
        json!({ "argument": argument, "length": length, "limit": limit }),
    ))
}

/// What a job has that is given no other.
pub const DEFAULT_PRIORITY: i32 = 5;

/// Fails unless a priority is one.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn check_priority(priority: i32) -> Result<()> {
    if (0..=9).contains(&priority) {
        return Ok(());
    }
    Err(KronosError::new(
        &error::INVALID_ARGUMENT,
        format!("priority must be from 0 (most urgent) to 9, not {priority}"),
        json!({ "argument": "priority", "priority": priority }),
    ))
}
