//! Executions as callers and operators see them.

use super::Result;
use crate::args::{page_size, require};
use crate::authority::{Capability, authorise};
use crate::execution::{self, Filter};
use crate::id::{ExecutionId, JobId};
use crate::job::{self, JobRef};
use crate::named::Named;
use crate::status::{Outcome, Status};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// One execution.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn get_execution(
    execution_id: Option<ExecutionId>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.execution_details")> {
    let execution_id = require("execution_id", execution_id)?;
    Ok(authorise(workspace, Capability::Viewer, |workspace| {
        execution::get(workspace, execution_id)
    })?)
}

/// Cancels an execution; see [`execution::cancel`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn cancel_execution(
    execution_id: Option<ExecutionId>,
    request_stop: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.execution_details")> {
    let execution_id = require("execution_id", execution_id)?;
    let request_stop = require("request_stop", request_stop)?;
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        execution::cancel(workspace, execution_id, request_stop)?;
        execution::get(workspace, execution_id)
    })?)
}

/// The executions of a workspace, or of one job through all its versions; newest first.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn list_executions(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    status: default!(Option<&str>, "NULL"),
    origin: default!(Option<&str>, "NULL"),
    endpoint_type: default!(Option<&str>, "NULL"),
    created_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    created_before: default!(Option<TimestampWithTimeZone>, "NULL"),
    max: default!(Option<i32>, "100"),
    after: default!(Option<ExecutionId>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_details")>> {
    let listed = authorise(workspace, Capability::Viewer, |workspace| {
        let job_id = match (job_id, job_name) {
            (None, None) => None,
            _ => Some(job::find(workspace, JobRef::new(job_id, job_name)?)?),
        };
        let filter = Filter {
            job_id,
            status: status.map(Status::parse).transpose()?,
            origin,
            endpoint_type,
            created_from,
            created_before,
        };
        let max = page_size(max)?;
        execution::list(workspace, &filter, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}

/// The attempts of an execution, first to last.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn list_attempts(
    execution_id: Option<ExecutionId>,
    outcome: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after: default!(Option<i32>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.attempts")>> {
    let execution_id = require("execution_id", execution_id)?;
    let listed = authorise(workspace, Capability::Viewer, |workspace| {
        let max = page_size(max)?;
        let outcome = outcome.map(Outcome::parse).transpose()?;
        execution::list_attempts(workspace, execution_id, outcome, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}

/// The log lines of an execution, first to last.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn list_logs(
    execution_id: Option<ExecutionId>,
    attempt: default!(Option<i32>, "NULL"),
    level: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after: default!(Option<i32>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_logs")>> {
    let execution_id = require("execution_id", execution_id)?;
    let listed = authorise(workspace, Capability::Viewer, |workspace| {
        let max = page_size(max)?;
        execution::list_logs(workspace, execution_id, attempt, level, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}
