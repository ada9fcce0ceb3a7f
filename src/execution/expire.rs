//! Leases that expire.

use super::ending::{Ended, end};
use crate::authority::Authorised;
use crate::error::Result;
use crate::named::Named;
use crate::sql;
use crate::status::Outcome;
use pgrx::datum::DatumWithOid;

/// Fails the attempt of every execution whose lease has expired, `max` at most, and returns how many there were. Later
/// reports from the previous holder are rejected.
///
/// # Errors
/// Fails only if SQL does.
pub fn expire_leases(max: i64) -> Result<i64> {
    expire(include_str!("lock_expired.sql"), &[max.into()])
}

/// Like [`expire_leases`], for the oldest expired leases of one workspace. The rows stay locked until the caller's
/// transaction ends, so a claim for one workspace must not touch those of another.
///
/// # Errors
/// Fails only if SQL does.
pub fn expire_leases_of(workspace: &Authorised, max: i64) -> Result<i64> {
    let args = [max.into(), workspace.workspace_id.into()];
    expire(include_str!("lock_expired_of_workspace.sql"), &args)
}

fn expire(lock_expired: &'static str, args: &[DatumWithOid]) -> Result<i64> {
    let expired = sql::by_index(|| {
        sql::rows(lock_expired, args, |row| {
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
