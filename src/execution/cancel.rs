//! Cancelling executions.

use super::handled::{Found, Handled, Range, find_endpoint};
use super::wakeup::{Startable, wake_sql_workers};
use crate::args;
use crate::authority::Authorised;
use crate::error::{self, KronosError, Result};
use crate::id::{ExecutionId, JobId, WorkspaceId};
use crate::named::Named;
use crate::sql;
use crate::status::Status;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::json;
use std::collections::HashMap;

const LOCK: &str = "
select status, worker_id
from kronos_internal.live_executions
where execution_id = $2 and workspace_id = $1
for no key update";

const FINISHED: &str = "
select status, finished_at from kronos_internal.history where workspace_id = $1 and execution_id = $2";

const REQUEST_STOP: &str = "
update kronos_internal.live_executions
set stop_requested_at = coalesce(stop_requested_at, clock_timestamp()), status_reason = 'cancelled'
where execution_id = any ($1)
returning endpoint_type = 'SQL' as is_sql";

/// Cancels a waiting execution. With `request_stop`, asks the worker of a running execution to stop: the worker learns
/// of it at its next heartbeat (the server stops an SQL statement at once), and the execution ends as CANCELLED unless
/// the worker completes it.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`, `EXECUTION_FINISHED`; `EXECUTION_RUNNING` for a running execution without `request_stop`.
pub fn cancel(workspace: &Authorised, execution_id: ExecutionId, request_stop: bool) -> Result<()> {
    match lock_unfinished(workspace, execution_id)? {
        None => cancel_waiting(vec![execution_id]),
        Some(_) if request_stop => stop_running(vec![execution_id]),
        Some(running) => Err(running.with_hint("request_stop => true asks its worker to stop.")),
    }
}

/// Moves waiting executions that are locked to history.
fn cancel_waiting(execution_ids: Vec<ExecutionId>) -> Result<()> {
    let mut startable = Startable::default();
    sql::by_index(|| {
        sql::rows(include_str!("cancel.sql"), &[execution_ids.into()], |row| {
            startable.add(row)
        })
    })?;
    startable.notify();
    Ok(())
}

/// Asks the workers of running executions that are locked to stop. Those of SQL executions learn of it at once.
fn stop_running(execution_ids: Vec<ExecutionId>) -> Result<()> {
    let are_sql: Vec<bool> = sql::by_index(|| {
        sql::rows(REQUEST_STOP, &[execution_ids.into()], |row| {
            sql::get(row, "is_sql")
        })
    })?;
    if are_sql.contains(&true) {
        wake_sql_workers(sql::now());
    }
    Ok(())
}

/// Locks an unfinished execution. Returns the error for a caller that needs a waiting one, if a worker is running it.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`, `EXECUTION_FINISHED`.
pub fn lock_unfinished(
    workspace: &Authorised,
    execution_id: ExecutionId,
) -> Result<Option<KronosError>> {
    let args = [workspace.workspace_id.into(), execution_id.into()];
    let live = sql::by_index(|| {
        sql::row(LOCK, &args, |row| {
            Ok((
                Status::read(row)?,
                sql::get_opt::<String>(row, "worker_id")?,
            ))
        })
    })?;
    let id = execution_id.to_string();
    match live {
        None => Err(not_live(workspace.workspace_id, execution_id)),
        Some((Status::Running, worker_id)) => Ok(Some(KronosError::new(
            &error::EXECUTION_RUNNING,
            format!("execution {id} is running"),
            json!({ "execution_id": id, "status": Status::Running.name(), "held_by": worker_id }),
        ))),
        Some(_) => Ok(None),
    }
}

/// The error for an execution that is not live.
fn not_live(workspace_id: WorkspaceId, execution_id: ExecutionId) -> KronosError {
    let args = [workspace_id.into(), execution_id.into()];
    let finished = sql::row(FINISHED, &args, |row| {
        Ok((
            sql::get::<String>(row, "status")?,
            sql::get::<TimestampWithTimeZone>(row, "finished_at")?,
        ))
    });
    match finished {
        Err(error) => error,
        Ok(None) => error::execution_not_found(execution_id),
        Ok(Some((status, finished_at))) => KronosError::new(
            &error::EXECUTION_FINISHED,
            format!("execution {execution_id} has finished: {status}"),
            json!({
                "execution_id": execution_id.to_string(), "status": status, "finished_at": sql::iso(finished_at),
            }),
        ),
    }
}

/// Which unfinished executions to cancel. None is any.
pub struct Cancellable<'a> {
    pub job_id: Option<JobId>,
    pub endpoint: Option<&'a str>,
    pub status: Option<Status>,
    pub run: Range,
    pub created: Range,
}

const LOCK_MANY: &str = "
select execution_id, status
from kronos_internal.live_executions
where execution_id = any ($1)
for no key update skip locked";

/// Cancels the waiting executions that pass a filter, the first due first, and reports each: CANCEL, or SKIP with the
/// reason. With `request_stop`, also asks the workers of the running ones to stop, and reports REQUEST_STOP. It waits for
/// no other session.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`, `INVALID_ARGUMENT`.
pub fn cancel_many(
    workspace: &Authorised,
    filter: &Cancellable,
    request_stop: bool,
    max: i64,
) -> Result<Vec<Handled>> {
    let found = find(workspace, filter, request_stop, max)?;
    let ids: Vec<ExecutionId> = found.iter().map(|found| found.execution_id).collect();
    let locked = sql::by_index(|| {
        sql::rows(LOCK_MANY, &[ids.into()], |row| {
            Ok((sql::get(row, "execution_id")?, Status::read(row)?))
        })
    })?;
    let (running, waiting): (Vec<_>, Vec<_>) = locked
        .iter()
        .partition(|(_, status)| *status == Status::Running);
    let ids = |locked: Vec<(ExecutionId, Status)>| locked.into_iter().map(|(id, _)| id).collect();
    cancel_waiting(ids(waiting))?;
    if request_stop {
        stop_running(ids(running))?;
    }
    let locked: HashMap<ExecutionId, Status> = locked.into_iter().collect();
    let report = |found: Found| match locked.get(&found.execution_id) {
        None => found.contended(),
        Some(Status::Running) if request_stop => found.done("REQUEST_STOP"),
        Some(Status::Running) => found.skipped("a worker is running it"),
        Some(_) => found.done("CANCEL"),
    };
    Ok(found.into_iter().map(report).collect())
}

fn find(
    workspace: &Authorised,
    filter: &Cancellable,
    request_stop: bool,
    max: i64,
) -> Result<Vec<Found>> {
    let unfinished = [
        Status::Pending,
        Status::Queued,
        Status::Running,
        Status::Retrying,
    ]
    .map(Status::name);
    let status = filter.status.map(Status::name);
    if let Some(status) = status {
        args::one_of("status", status, &unfinished)?;
    }
    if filter.status == Some(Status::Running) && !request_stop {
        return Err(error::invalid_argument(
            "status",
            "can be RUNNING only with request_stop => true",
        ));
    }
    let args = [
        workspace.workspace_id.into(),
        filter.job_id.into(),
        find_endpoint(workspace, filter.endpoint)?.into(),
        status.into(),
        filter.run.start().into(),
        filter.run.end().into(),
        filter.created.start().into(),
        filter.created.end().into(),
        request_stop.into(),
        max.into(),
    ];
    // It may read all executions of the workspace, in whatever way is cheapest for the size that they have now.
    sql::rows_planned_anew(include_str!("find_cancellable.sql"), &args, Found::read)
}
