//! Checks of arguments that apply in every module: presence, length, range, size.

use crate::error::{Result, invalid_argument, null_argument, value_too_large};
use crate::sql::{self, Jsonb};
use chrono::{DateTime, Utc};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use serde_json::Value;
use std::ops::RangeInclusive;

/// The largest input of an execution and the largest output of an attempt, in bytes of JSON text.
pub const MAX_INPUT_BYTES: usize = 256 * 1024;
/// The largest spec of an endpoint, schema of a payload spec, or data of a log line.
pub const MAX_SPEC_BYTES: usize = 64 * 1024;
/// The priority of a job or execution for which the caller gives none.
pub const DEFAULT_PRIORITY: i32 = 5;
/// The largest metadata of a job or an execution.
pub const MAX_METADATA_BYTES: usize = 8 * 1024;

pub const SECOND: i64 = 1_000_000;
pub const HOUR: i64 = 3600 * SECOND;
pub const DAY: i64 = 24 * HOUR;
/// A leap year, the longest that "1 year" can mean.
pub const YEAR: i64 = 366 * DAY;

/// The value of an argument that must not be NULL.
///
/// # Errors
/// `NULL_ARGUMENT`.
pub fn require<T>(argument: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| null_argument(argument))
}

/// Fails unless a text has between 1 and `limit` characters.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn length(argument: &str, text: &str, limit: usize) -> Result<()> {
    let length = text.chars().count();
    if (1..=limit).contains(&length) {
        return Ok(());
    }
    Err(invalid_argument(
        argument,
        &format!("must have 1 to {limit} characters, not {length}"),
    )
    .with("length", length)
    .with("limit", limit))
}

/// Fails unless a number lies in a range.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn range(argument: &str, value: i64, range: RangeInclusive<i64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = (range.start(), range.end());
    Err(invalid_argument(
        argument,
        &format!("must be from {low} to {high}, not {value}"),
    )
    .with("value", value))
}

/// The number of rows that a page of a list has at most.
///
/// # Errors
/// `NULL_ARGUMENT`; `INVALID_ARGUMENT` for a number that is not from 1 to 10,000.
pub fn page_size(max: Option<i32>) -> Result<i64> {
    let max = i64::from(require("max", max)?);
    range("max", max, 1..=10_000)?;
    Ok(max)
}

/// The index of a text among the allowed values.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn one_of(argument: &str, value: &str, allowed: &[&str]) -> Result<usize> {
    let index = allowed.iter().position(|allowed| *allowed == value);
    index.ok_or_else(|| {
        invalid_argument(argument, &format!("must be one of {}", allowed.join(", ")))
            .with("value", value)
            .with("allowed", Value::from(allowed.to_vec()))
    })
}

/// An interval in microseconds. A month counts as 30 days and a day as 24 hours, as in PostgreSQL's comparisons.
pub fn micros(interval: &Interval) -> i128 {
    i128::from(interval.micros())
        + i128::from(DAY) * (i128::from(interval.days()) + 30 * i128::from(interval.months()))
}

/// Converts an interval within a range (in microseconds) to a duration without months and days, so that comparing it
/// and adding it in PostgreSQL agree. Refuses an interval with parts of different signs.
///
/// # Errors
/// `INVALID_ARGUMENT` with `rule`, which names the range: `must be from 1 second to 1 day`.
pub fn duration(
    argument: &str,
    interval: &Interval,
    range: RangeInclusive<i64>,
    rule: &str,
) -> Result<Interval> {
    let parts = [
        i64::from(interval.months()),
        i64::from(interval.days()),
        interval.micros(),
    ];
    let mixed = parts.iter().any(|part| *part > 0) && parts.iter().any(|part| *part < 0);
    let micros = i64::try_from(micros(interval))
        .ok()
        .filter(|micros| range.contains(micros));
    match micros {
        Some(micros) if !mixed => {
            Interval::new(0, 0, micros).map_err(|_| invalid_argument(argument, rule))
        }
        _ => Err(invalid_argument(argument, rule)),
    }
}

/// 1970-01-01 and 2200-01-01: Kronos stores only instants from the first until before the second.
const FIRST_INSTANT: i64 = 0;
const END_OF_INSTANTS: i64 = 7_258_118_400;

/// Fails unless a timestamp lies in the years 1970 to 2199.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn instant(argument: &str, timestamp: TimestampWithTimeZone) -> Result<TimestampWithTimeZone> {
    let seconds = sql::from_pg(timestamp).timestamp();
    if sql::is_finite(timestamp) && (FIRST_INSTANT..END_OF_INSTANTS).contains(&seconds) {
        return Ok(timestamp);
    }
    Err(invalid_argument(
        argument,
        "must be a finite time in the years 1970 to 2199",
    ))
}

/// Like [`instant`], but accepts infinity and -infinity.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn instant_or_infinity(
    argument: &str,
    timestamp: TimestampWithTimeZone,
) -> Result<TimestampWithTimeZone> {
    if sql::is_finite(timestamp) {
        instant(argument, timestamp)
    } else {
        Ok(timestamp)
    }
}

/// Parses a timestamp in a JSON argument: ISO 8601 with an offset (RFC 3339), so that its meaning does not depend on
/// the session's TimeZone and DateStyle; or `infinity` or `-infinity`.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn iso_instant(argument: &str, text: &str) -> Result<TimestampWithTimeZone> {
    let parsed = match text {
        "infinity" => DateTime::<Utc>::MAX_UTC,
        "-infinity" => DateTime::<Utc>::MIN_UTC,
        _ => DateTime::parse_from_rfc3339(text)
            .map_err(|_| {
                invalid_argument(
                    argument,
                    "must be ISO 8601 with an offset, such as 2026-01-31T09:00:00+01:00",
                )
                .with("value", text)
            })?
            .with_timezone(&Utc),
    };
    instant_or_infinity(argument, sql::to_pg(parsed))
}

/// Fails if the text of a JSON value is longer than `limit` bytes.
///
/// # Errors
/// `VALUE_TOO_LARGE`.
pub fn json_size(argument: &str, value: Jsonb, limit: usize) -> Result<()> {
    let bytes = value.text().len();
    if bytes <= limit {
        Ok(())
    } else {
        Err(value_too_large(argument, bytes, limit))
    }
}

/// Fails unless `metadata` is a JSON object of at most 8 kB.
///
/// # Errors
/// `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`.
pub fn metadata(metadata: Jsonb) -> Result<()> {
    let text = metadata.text();
    if !text.starts_with('{') {
        return Err(invalid_argument("metadata", "must be a JSON object"));
    }
    if text.len() > MAX_METADATA_BYTES {
        return Err(value_too_large("metadata", text.len(), MAX_METADATA_BYTES));
    }
    Ok(())
}

/// Fails unless a concurrency key has 1 to 200 characters.
///
/// # Errors
/// `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`.
pub fn concurrency_key(key: Option<&str>) -> Result<()> {
    key.map_or(Ok(()), |key| length("concurrency_key", key, 200))
}

/// Fails unless a priority is from 0 (most urgent) to 9.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn priority(priority: i32) -> Result<()> {
    range("priority", priority.into(), 0..=9)
}
