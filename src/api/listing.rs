//! Lists in pages. A page begins after a cursor, the key of a row, so that rows inserted or deleted meanwhile neither
//! repeat nor hide other rows.

use crate::args::{range, require};
use crate::error::{Result, invalid_argument};
use crate::sql;
use chrono::{DateTime, Utc};
use pgrx::Uuid;

/// A page of a list: at most `max` rows, after the row with the key `after`.
pub struct Page<K> {
    pub max: i64,
    pub after: Option<K>,
}

/// A page of a list by id.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn page(max: Option<i32>, after_cursor: Option<&str>) -> Result<Page<Uuid>> {
    page_by(max, after_cursor, |bytes| {
        Some(Uuid::from_bytes(bytes.try_into().ok()?))
    })
}

/// A page of a list by number.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn numbered_page(max: Option<i32>, after_cursor: Option<&str>) -> Result<Page<i32>> {
    page_by(max, after_cursor, |bytes| {
        Some(i32::from_be_bytes(bytes.try_into().ok()?))
    })
}

/// A page of a list by time.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn timed_page(max: Option<i32>, after_cursor: Option<&str>) -> Result<Page<DateTime<Utc>>> {
    page_by(max, after_cursor, |bytes| {
        let micros = i64::from_be_bytes(bytes.try_into().ok()?);
        DateTime::from_timestamp_micros(micros.checked_add(946_684_800_000_000)?)
    })
}

fn page_by<K>(
    max: Option<i32>,
    after_cursor: Option<&str>,
    key: impl Fn(&[u8]) -> Option<K>,
) -> Result<Page<K>> {
    let max = i64::from(require("max", max)?);
    range("max", max, 1..=10_000)?;
    let after =
        match after_cursor {
            None => None,
            Some(cursor) => Some(decode(cursor).and_then(|bytes| key(&bytes)).ok_or_else(
                || invalid_argument("after_cursor", "must be the cursor of a row of this list"),
            )?),
        };
    Ok(Page { max, after })
}

/// Decodes a cursor, which PostgreSQL has encoded as base64.
fn decode(cursor: &str) -> Option<Vec<u8>> {
    let decode = || {
        sql::row(
            "select decode($1, 'base64') as bytes",
            &[cursor.into()],
            |row| sql::get::<Vec<u8>>(row, "bytes"),
        )
    };
    sql::in_subtransaction(decode).ok().flatten()
}
