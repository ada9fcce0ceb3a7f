//! Lists by pages. A page goes on behind a cursor, which stands for the key of a row: what is inserted or deleted
//! meanwhile neither repeats nor hides other rows.

use super::needed;
use crate::error::{self, KronosError, Result};
use crate::sql;
use pgrx::Uuid;
use serde_json::json;

/// What a list returns of all its rows: at most `max`, behind the one with the key `after`.
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

fn page_by<K>(
    max: Option<i32>,
    after_cursor: Option<&str>,
    key: impl Fn(&[u8]) -> Option<K>,
) -> Result<Page<K>> {
    let max = needed("max", max)?;
    if !(1..=10_000).contains(&max) {
        return Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            "max must be from 1 to 10000",
            json!({ "argument": "max", "max": max }),
        ));
    }
    let after = after_cursor.map(|cursor| read(cursor).and_then(|bytes| key(&bytes)));
    match after {
        Some(None) => Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            "after_cursor must be the cursor of a row of this list",
            json!({ "argument": "after_cursor" }),
        )),
        after => Ok(Page {
            max: max.into(),
            after: after.flatten(),
        }),
    }
}

/// The bytes of a cursor, which PostgreSQL has written as base64.
fn read(cursor: &str) -> Option<Vec<u8>> {
    let decode = || {
        sql::row(
            "select decode($1, 'base64') as bytes",
            &[cursor.into()],
            |row| sql::get::<Vec<u8>>(row, "bytes"),
        )
    };
    sql::in_subtransaction(decode).ok().flatten()
}
