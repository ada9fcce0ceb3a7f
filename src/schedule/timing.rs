//! Parses the caller's cron expression and time zone.

use crate::calendar::{
    self, ParseError, ParseErrorKind, Rule, Timing, TimingError, Zone, entry_for, timing,
};
use crate::error::{self, KronosError, Result};
use crate::pg_cron;
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use std::rc::Rc;

/// The names of UTC in the tz database. All of them are stored as `UTC`, so that their jobs share schedules.
const UTC_NAMES: [&str; 18] = [
    "UTC",
    "GMT",
    "Etc/UTC",
    "Etc/GMT",
    "Zulu",
    "Etc/Zulu",
    "Universal",
    "Etc/Universal",
    "UCT",
    "Etc/UCT",
    "Greenwich",
    "Etc/Greenwich",
    "GMT0",
    "Etc/GMT0",
    "GMT+0",
    "Etc/GMT+0",
    "GMT-0",
    "Etc/GMT-0",
];

/// Parses a caller's expression and zone, and returns the timing with the name under which the zone is stored.
///
/// # Errors
/// `INVALID_CRON`, `CRON_NOT_SUPPORTED`, `INVALID_TIMEZONE`.
pub fn parse_timing(cron: &str, timezone: &str) -> Result<(Rc<Timing>, String)> {
    let timing = timing(cron, timezone).map_err(|error| match error {
        TimingError::Cron(error) => invalid_cron(cron, &error),
        TimingError::Zone => invalid_timezone(timezone),
    })?;
    let name = timing.zone.name();
    let name = if UTC_NAMES.contains(&name) {
        "UTC"
    } else {
        name
    };
    let name = name.to_owned();
    Ok((timing, name))
}

/// Describes a schedule in plain English, with the stored name of its zone.
///
/// # Errors
/// As [`parse_timing`].
pub fn describe(cron: &str, timezone: &str) -> Result<String> {
    let (timing, zone) = parse_timing(cron, timezone)?;
    calendar::describe(&timing, &zone).ok_or_else(|| {
        KronosError::new(
            &error::INTERNAL_ERROR,
            format!("{cron:?} cannot be described"),
            json!({ "cron": cron }),
        )
    })
}

fn invalid_cron(cron: &str, problem: &ParseError) -> KronosError {
    let kind = match problem.kind {
        ParseErrorKind::Malformed => &error::INVALID_CRON,
        ParseErrorKind::NotSupported => &error::CRON_NOT_SUPPORTED,
    };
    let detail = json!({
        "cron": cron, "field": problem.field, "text": problem.text, "allowed": problem.allowed,
    });
    KronosError::new(kind, format!("cron expression: {problem}"), detail)
        .with_hint(format!("Use {}.", problem.allowed))
}

/// How far ahead an entry covers its schedule's ticks, under the zones' current rules.
const HORIZON: Duration = Duration::days(2 * 366);

/// The zone in which pg_cron runs.
pub fn pg_cron_zone() -> Result<Zone> {
    let name = pg_cron::timezone()?;
    Zone::named(&name).ok_or_else(|| invalid_timezone(&name))
}

/// Fails if the server's pg_cron cannot wake Kronos for a schedule.
///
/// # Errors
/// `CRON_NOT_SUPPORTED` with the version that the schedule needs.
pub fn check_supported(timing: &Timing) -> Result<()> {
    match timing.expr.rule {
        Rule::Seconds(_) => pg_cron::require_seconds(timing.expr.text()),
        Rule::Clock(_) => Ok(()),
    }
}

/// The expression of a schedule's pg_cron entry, in pg_cron's zone. It fires at every tick from an instant on.
pub fn entry_cron(timing: &Timing, pg_cron_zone: &Zone, from: DateTime<Utc>) -> String {
    entry_for(timing, pg_cron_zone, from, from + HORIZON)
}

fn invalid_timezone(name: &str) -> KronosError {
    KronosError::new(
        &error::INVALID_TIMEZONE,
        format!("time zone {name:?} is not known to this server"),
        json!({ "timezone": name }),
    )
    .with_hint("pg_timezone_names lists the names.")
}
