//! From the caller's cron expression and time zone to ticks.

use crate::calendar::{CronExpr, ParseErrorKind, Timing, Zone};
use crate::error::{self, KronosError, Result};
use crate::pg_cron;
use serde_json::json;

/// The names under which PostgreSQL has UTC; one is stored for all, so that their jobs share schedules.
const UTC_NAMES: &[&str] = &[
    "utc",
    "gmt",
    "etc/utc",
    "etc/gmt",
    "zulu",
    "etc/zulu",
    "universal",
    "etc/universal",
    "uct",
    "etc/uct",
    "greenwich",
    "etc/greenwich",
    "gmt0",
    "etc/gmt0",
    "gmt+0",
    "etc/gmt+0",
    "gmt-0",
    "etc/gmt-0",
];

fn canonical_zone(name: &str) -> &str {
    if UTC_NAMES.iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
        "UTC"
    } else {
        name
    }
}

/// Reads a caller's expression and zone, and returns them with the zone's stored name.
///
/// # Errors
/// `INVALID_CRON`, `CRON_NOT_SUPPORTED`, `INVALID_TIMEZONE`, `TIMEZONE_NOT_SUPPORTED`.
pub fn parse_timing(cron: &str, timezone: &str) -> Result<(Timing, String)> {
    let expr = CronExpr::parse(cron).map_err(|refused| {
        let kind = match refused.kind {
            ParseErrorKind::Malformed => &error::INVALID_CRON,
            ParseErrorKind::NotSupported => &error::CRON_NOT_SUPPORTED,
        };
        let detail = json!({
            "cron": cron, "field": refused.field, "text": refused.text, "allowed": refused.allowed,
        });
        KronosError::new(kind, format!("cron expression: {refused}"), detail)
            .with_hint(format!("Allowed there: {}.", refused.allowed))
    })?;
    let zone = Zone::named(timezone).ok_or_else(|| {
        KronosError::new(
            &error::INVALID_TIMEZONE,
            format!("time zone {timezone:?} is not known to this server"),
            json!({ "timezone": timezone }),
        )
        .with_hint("pg_timezone_names lists the names.")
    })?;
    let stored = pg_cron_timezone()?;
    if !canonical_zone(timezone).eq_ignore_ascii_case(&stored) {
        return Err(KronosError::new(
            &error::TIMEZONE_NOT_SUPPORTED,
            format!("time zone {timezone:?} is not supported yet: pg_cron runs in {stored}"),
            json!({ "timezone": timezone, "pg_cron_timezone": stored }),
        ));
    }
    Ok((Timing { expr, zone }, stored))
}

/// The zone in which pg_cron runs, by the name under which schedules have it.
pub fn pg_cron_timezone() -> Result<String> {
    Ok(canonical_zone(&pg_cron::timezone()?).to_owned())
}
