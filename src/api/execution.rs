//! Executions as callers and operators see them.

use super::{Result, run_or_rehearse};
use crate::args::{page_size, require};
use crate::authority::{self, Authorised, Capability, authorise};
use crate::error;
use crate::execution::{self, Cancellable, Filter, Handled, Range, Retry, Retryable};
use crate::id::{ExecutionId, JobId};
use crate::job::{self, JobRef};
use crate::named::Named;
use crate::status::{Outcome, Status};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::{SetOfIterator, TableIterator};
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

/// Changes when and how urgently an execution starts; see [`execution::reschedule`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn reschedule_execution(
    execution_id: Option<ExecutionId>,
    run_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    priority: default!(Option<i32>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.execution_details")> {
    let execution_id = require("execution_id", execution_id)?;
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        execution::reschedule(workspace, execution_id, run_at, priority)?;
        execution::get(workspace, execution_id)
    })?)
}

/// Retries an execution; see [`execution::retry`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn retry_execution(
    execution_id: Option<ExecutionId>,
    run_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.execution_details")> {
    let execution_id = require("execution_id", execution_id)?;
    let retried_by = authority::caller();
    let retry = Retry { run_at, retried_by };
    Ok(authorise(workspace, Capability::Producer, |workspace| {
        execution::retry(workspace, execution_id, &retry)?;
        execution::get(workspace, execution_id)
    })?)
}

/// A row about each execution of a call by filter.
fn report(
    handled: Vec<Handled>,
) -> impl Iterator<
    Item = (
        ExecutionId,
        Option<String>,
        Option<String>,
        &'static str,
        &'static str,
        Option<&'static str>,
    ),
> {
    handled.into_iter().map(|handled| {
        let found = handled.found;
        (
            found.execution_id,
            found.job_name,
            found.endpoint,
            found.status.name(),
            handled.action,
            handled.reason,
        )
    })
}

/// Retries the executions that pass a filter; see [`execution::retry_many`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn retry_executions(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    endpoint: default!(Option<&str>, "NULL"),
    status: default!(Option<&str>, "'FAILED'"),
    finished_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    finished_before: default!(Option<TimestampWithTimeZone>, "NULL"),
    error_contains: default!(Option<&str>, "NULL"),
    run_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    max: default!(Option<i32>, "1000"),
    dry_run: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(execution_id, ExecutionId),
            name!(job_name, Option<String>),
            name!(endpoint, Option<String>),
            name!(status, &'static str),
            name!(action, &'static str),
            name!(reason, Option<&'static str>),
        ),
    >,
> {
    let max = page_size(max)?;
    let dry_run = require("dry_run", dry_run)?;
    let retried_by = authority::caller();
    let retry = Retry { run_at, retried_by };
    let handled = authorise(workspace, Capability::Producer, |workspace| {
        let filter = Retryable {
            job_id: find_job(workspace, job_id, job_name)?,
            endpoint,
            status,
            finished: Range {
                from: finished_from,
                before: finished_before,
            },
            error_contains,
        };
        run_or_rehearse(dry_run, || {
            execution::retry_many(workspace, &filter, max, &retry)
        })
    })?;
    Ok(TableIterator::new(report(handled)))
}

/// Cancels the executions that pass a filter; see [`execution::cancel_many`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn cancel_executions(
    job_id: default!(Option<JobId>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    endpoint: default!(Option<&str>, "NULL"),
    status: default!(Option<&str>, "NULL"),
    run_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    run_before: default!(Option<TimestampWithTimeZone>, "NULL"),
    created_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    created_before: default!(Option<TimestampWithTimeZone>, "NULL"),
    request_stop: default!(Option<bool>, "false"),
    max: default!(Option<i32>, "1000"),
    dry_run: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(execution_id, ExecutionId),
            name!(job_name, Option<String>),
            name!(endpoint, Option<String>),
            name!(status, &'static str),
            name!(action, &'static str),
            name!(reason, Option<&'static str>),
        ),
    >,
> {
    let max = page_size(max)?;
    let request_stop = require("request_stop", request_stop)?;
    let dry_run = require("dry_run", dry_run)?;
    let handled = authorise(workspace, Capability::Producer, |workspace| {
        let filter = Cancellable {
            job_id: find_job(workspace, job_id, job_name)?,
            endpoint,
            status: status.map(Status::parse).transpose()?,
            run: Range {
                from: run_from,
                before: run_before,
            },
            created: Range {
                from: created_from,
                before: created_before,
            },
        };
        run_or_rehearse(dry_run, || {
            execution::cancel_many(workspace, &filter, request_stop, max)
        })
    })?;
    Ok(TableIterator::new(report(handled)))
}

/// The job that a filter names.
fn find_job(
    workspace: &Authorised,
    job_id: Option<JobId>,
    job_name: Option<&str>,
) -> error::Result<Option<JobId>> {
    match (job_id, job_name) {
        (None, None) => Ok(None),
        _ => job::find(workspace, JobRef::new(job_id, job_name)?).map(Some),
    }
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
        let filter = Filter {
            job_id: find_job(workspace, job_id, job_name)?,
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
