//! Retrying executions that have finished without success. Each keeps its id, and with it the idempotency key that
//! workers send to receivers. Its attempts go on counting, so that a late report from its earlier life is refused.

use super::handled::{Found, Handled, Range, find_endpoint};
use super::wakeup::Startable;
use crate::args;
use crate::authority::Authorised;
use crate::error::{self, KronosError, Result};
use crate::id::{ExecutionId, JobId};
use crate::named::Named;
use crate::sql;
use crate::status::Status;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use serde_json::json;
use std::collections::HashSet;

/// When to retry, and for whom.
pub struct Retry {
    /// None for now.
    pub run_at: Option<TimestampWithTimeZone>,
    pub retried_by: pg_sys::Oid,
}

impl Retry {
    /// Moves executions that are locked back to live_executions, and returns the ones that it has moved.
    fn start(
        &self,
        workspace: &Authorised,
        execution_ids: Vec<ExecutionId>,
    ) -> Result<HashSet<ExecutionId>> {
        let now = sql::now_pg();
        let run_at = self.run_at.unwrap_or(now);
        let args = [
            workspace.workspace_id.into(),
            execution_ids.into(),
            run_at.into(),
            now.into(),
            self.retried_by.into(),
        ];
        let mut startable = Startable::default();
        let moved = sql::by_index(|| {
            sql::rows(include_str!("retry.sql"), &args, |row| {
                startable.add(row)?;
                sql::get(row, "execution_id")
            })
        })?;
        startable.notify();
        Ok(moved.into_iter().collect())
    }

    fn check(&self) -> Result<()> {
        match self.run_at {
            Some(run_at) => args::instant("run_at", run_at).map(|_| ()),
            None => Ok(()),
        }
    }
}

const LOCK: &str = "
select h.status, h.key, e.name as endpoint, e.run_as::oid as run_as
from kronos_internal.history h
left join kronos_internal.endpoints e on e.endpoint_id = h.endpoint_id and e.deleted_at is null
where h.workspace_id = $1 and h.execution_id = $2
for update of h";

/// Retries an execution that FAILED or was CANCELLED.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`, `EXECUTION_UNFINISHED`, `EXECUTION_SUCCEEDED`, `INVALID_ARGUMENT`; `ENDPOINT_NOT_FOUND` if
/// the endpoint was deleted; `KEY_IN_USE` if its key names an unfinished execution; `PERMISSION_DENIED` for an SQL
/// endpoint whose role the caller does not have.
pub fn retry(workspace: &Authorised, execution_id: ExecutionId, retry: &Retry) -> Result<()> {
    retry.check()?;
    let args = [workspace.workspace_id.into(), execution_id.into()];
    let finished = sql::by_index(|| {
        sql::row(LOCK, &args, |row| {
            Ok((
                Status::read(row)?,
                sql::get_opt::<String>(row, "endpoint")?,
                sql::get_opt(row, "run_as")?,
                sql::get_opt::<String>(row, "key")?,
            ))
        })
    })?;
    let detail = json!({ "execution_id": execution_id.to_string() });
    match finished {
        None => Err(unfinished(workspace, execution_id)),
        Some((Status::Succeeded, ..)) => Err(KronosError::new(
            &error::EXECUTION_SUCCEEDED,
            format!("execution {execution_id} has succeeded"),
            detail,
        )
        .with_hint("Only FAILED and CANCELLED executions can be retried.")),
        Some((_, None, ..)) => Err(KronosError::new(
            &error::ENDPOINT_NOT_FOUND,
            format!("the endpoint of execution {execution_id} was deleted"),
            detail,
        )),
        Some((_, Some(endpoint), run_as, key)) => {
            if let Some(role) = run_as {
                workspace.require_role(role, &endpoint)?;
            }
            match (retry.start(workspace, vec![execution_id])?.is_empty(), key) {
                (false, _) => Ok(()),
                (true, Some(key)) => Err(key_in_use(workspace, &key)),
                (true, None) => Err(error::concurrent_change()),
            }
        }
    }
}

/// The error for an execution whose key names another one, which has not finished.
fn key_in_use(workspace: &Authorised, key: &str) -> KronosError {
    KronosError::new(
        &error::KEY_IN_USE,
        format!(
            "key {key:?} names an unfinished execution of workspace {:?}",
            workspace.name
        ),
        json!({ "key": key }),
    )
}

const FIND_LIVE: &str = "
select status from kronos_internal.live_executions where execution_id = $2 and workspace_id = $1";

/// The error for an execution that is not in history.
fn unfinished(workspace: &Authorised, execution_id: ExecutionId) -> KronosError {
    let args = [workspace.workspace_id.into(), execution_id.into()];
    match sql::by_index(|| sql::row(FIND_LIVE, &args, Status::read)) {
        Err(error) => error,
        Ok(None) => error::execution_not_found(execution_id),
        Ok(Some(status)) => KronosError::new(
            &error::EXECUTION_UNFINISHED,
            format!(
                "execution {execution_id} has not finished: it is {}",
                status.name()
            ),
            json!({ "execution_id": execution_id.to_string(), "status": status.name() }),
        ),
    }
}

/// Which finished executions to retry. None is any.
pub struct Retryable<'a> {
    pub job_id: Option<JobId>,
    pub endpoint: Option<&'a str>,
    /// FAILED or CANCELLED.
    pub status: Option<&'a str>,
    pub finished: Range,
    pub error_contains: Option<&'a str>,
}

const LOCK_MANY: &str = "
select h.execution_id
from kronos_internal.history h
where h.workspace_id = $1 and h.execution_id = any ($2)
for update skip locked";

/// Retries the executions that pass a filter, the first to finish first, and reports each: RETRY, or SKIP with the
/// reason. It waits for no other session.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`, `INVALID_ARGUMENT`.
pub fn retry_many(
    workspace: &Authorised,
    filter: &Retryable,
    max: i64,
    retry: &Retry,
) -> Result<Vec<Handled>> {
    retry.check()?;
    let found = find(workspace, filter, max)?;
    let candidates: Vec<ExecutionId> = found
        .iter()
        .filter(|(_, obstacle)| obstacle.is_none())
        .map(|(found, _)| found.execution_id)
        .collect();
    let args = [workspace.workspace_id.into(), candidates.into()];
    let locked =
        sql::by_index(|| sql::rows(LOCK_MANY, &args, |row| sql::get(row, "execution_id")))?;
    let is_locked: HashSet<ExecutionId> = locked.iter().copied().collect();
    let moved = retry.start(workspace, locked)?;
    let report = |(found, obstacle): (Found, Option<&'static str>)| {
        if let Some(obstacle) = obstacle {
            found.skipped(obstacle)
        } else if moved.contains(&found.execution_id) {
            found.done("RETRY")
        } else if is_locked.contains(&found.execution_id) {
            found.skipped("its key names an unfinished execution")
        } else {
            found.contended()
        }
    };
    Ok(found.into_iter().map(report).collect())
}

/// The executions that pass a filter, each with what keeps the caller from retrying it.
fn find(
    workspace: &Authorised,
    filter: &Retryable,
    max: i64,
) -> Result<Vec<(Found, Option<&'static str>)>> {
    if let Some(status) = filter.status {
        let retryable = [Status::Failed.name(), Status::Cancelled.name()];
        args::one_of("status", status, &retryable)?;
    }
    if let Some(text) = filter.error_contains {
        args::length("error_contains", text, 1000)?;
    }
    let args = [
        workspace.workspace_id.into(),
        filter.job_id.into(),
        find_endpoint(workspace, filter.endpoint)?.into(),
        filter.status.into(),
        filter.finished.start().into(),
        filter.finished.end().into(),
        filter.error_contains.into(),
        max.into(),
        workspace.user.into(),
    ];
    sql::by_index(|| {
        sql::rows(include_str!("find_retryable.sql"), &args, |row| {
            let obstacle = if sql::get(row, "is_endpoint_gone")? {
                Some("its endpoint was deleted")
            } else if sql::get(row, "is_foreign")? {
                Some("its statement runs as a role whose privileges the caller does not have")
            } else {
                None
            };
            Ok((Found::read(row)?, obstacle))
        })
    })
}
