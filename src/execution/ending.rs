//! The end of attempts that did not succeed, by a worker's report or by an expired lease, and the next state of their
//! executions.

use super::held::Report;
use super::wakeup::Startable;
use crate::error::Result;
use crate::id::ExecutionId;
use crate::named::Named;
use crate::sql;
use crate::status::Outcome;
use pgrx::datum::TimestampWithTimeZone;

/// The end of an attempt whose execution is locked.
pub struct Ended {
    pub execution_id: ExecutionId,
    /// Neither RUNNING nor SUCCEEDED.
    pub outcome: Outcome,
    pub error: Option<String>,
    pub is_retryable: bool,
    /// When the execution may start again. None to follow the endpoint's retry policy; for a released one, now.
    pub retry_at: Option<TimestampWithTimeZone>,
}

/// Ends attempts, and returns a report about each execution: RETRYING, QUEUED or PENDING (released), FAILED, or
/// CANCELLED if its worker was asked to stop.
///
/// # Errors
/// Fails only if SQL does.
pub fn end(ended: &[Ended]) -> Result<Vec<Report>> {
    let args = [
        ended
            .iter()
            .map(|one| one.execution_id)
            .collect::<Vec<_>>()
            .into(),
        ended
            .iter()
            .map(|one| one.outcome.name())
            .collect::<Vec<_>>()
            .into(),
        ended
            .iter()
            .map(|one| one.error.as_deref())
            .collect::<Vec<_>>()
            .into(),
        ended
            .iter()
            .map(|one| one.is_retryable)
            .collect::<Vec<_>>()
            .into(),
        ended
            .iter()
            .map(|one| one.retry_at)
            .collect::<Vec<_>>()
            .into(),
        sql::now_pg().into(),
    ];
    let mut startable = Startable::default();
    let reports = sql::by_index(|| {
        sql::rows(include_str!("end_attempts.sql"), &args, |row| {
            startable.add(row)?;
            Report::read(row)
        })
    })?;
    startable.notify();
    Ok(reports)
}
