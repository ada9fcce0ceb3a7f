//! Leases that expire.

use super::ending::{Ended, end};
use crate::error::Result;
use crate::named::Named;
use crate::sql;
use crate::status::Outcome;

/// Fails the attempt of every execution whose lease has expired, `max` at most, and returns how many there were. Later
/// reports from the previous holder are rejected.
///
/// # Errors
/// Fails only if SQL does.
pub fn expire_leases(max: i64) -> Result<i64> {
    let expired = sql::by_index(|| {
        sql::rows(include_str!("lock_expired.sql"), &[max.into()], |row| {
            Ok(Ended {
                execution_id: sql::get(row, "execution_id")?,
                outcome: Outcome::read(row)?,
                error: sql::get_opt(row, "error")?,
                is_retryable: true,
                retry_at: None,
            })
        })
    })?;
    if !expired.is_empty() {
        end(&expired)?;
    }
    Ok(expired.len() as i64)
}
