//! The end of attempts that did not succeed, by a worker's report or by an expired lease, and the next state of their
//! executions.

use super::held::Report;
use super::wakeup::Startable;
use crate::error::Result;
use crate::id::{ExecutionId, WorkspaceId};
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
/// CANCELLED if its worker was asked to stop. A failed execution gives the endpoint that handles its failures an
/// execution.
///
/// # Errors
/// Fails only if SQL does.
pub fn end(ended: &[Ended]) -> Result<Vec<Report>> {
    let now = sql::now_pg();
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
        now.into(),
    ];
    let mut startable = Startable::default();
    let mut handled: Vec<(WorkspaceId, ExecutionId)> = vec![];
    let reports = sql::by_index(|| {
        sql::rows(include_str!("end_attempts.sql"), &args, |row| {
            startable.add(row)?;
            let report = Report::read(row)?;
            if sql::get(row, "is_handled")? {
                handled.push((sql::get(row, "workspace_id")?, report.key.execution_id));
            }
            Ok(report)
        })
    })?;
    if !handled.is_empty() {
        handle_failures(handled, now, &mut startable)?;
    }
    startable.notify();
    Ok(reports)
}

/// Gives the endpoints that handle failures an execution for each failed execution. An execution of origin ON_FAILURE is
/// none of these, so that failures do not go round.
///
/// As a part of the statement before it, this took 15 of 70 µs of a report even if no endpoint handled failures.
fn handle_failures(
    failed: Vec<(WorkspaceId, ExecutionId)>,
    now: TimestampWithTimeZone,
    startable: &mut Startable,
) -> Result<()> {
    let (workspace_ids, execution_ids): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
    let args = [workspace_ids.into(), execution_ids.into(), now.into()];
    sql::by_index(|| {
        sql::rows(include_str!("handle_failures.sql"), &args, |row| {
            startable.add(row)
        })
    })
    .map(|_| ())
}
