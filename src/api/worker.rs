//! The functions that workers call.

use super::Result;
use crate::args::{self, range, require};
use crate::authority::{
    Capability, authorise, authorise_instance, authorise_recalled, authorise_scope,
};
use crate::error::invalid_argument;
use crate::execution::{self, AttemptKey, Ending, Line, Wanted};
use crate::id::ExecutionId;
use crate::sql::{Composite, Jsonb};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// The most executions that one call may claim.
const MAX_CLAIM: i64 = 10_000;

pub fn check_worker_id(worker_id: Option<&str>) -> Result<&str> {
    let worker_id = require("worker_id", worker_id)?;
    args::length("worker_id", worker_id, 200)?;
    if worker_id.starts_with(execution::SERVER_WORKERS) {
        let rule = "must not begin with \"sql \": the server's own workers are named like this";
        return Err(invalid_argument("worker_id", rule).into());
    }
    Ok(worker_id)
}

/// Sorts endpoint types and removes duplicates and nulls.
fn sort_types(endpoint_types: Option<Vec<Option<String>>>) -> Option<Vec<String>> {
    endpoint_types.map(|types| {
        let mut types: Vec<String> = types.into_iter().flatten().collect();
        types.sort_unstable();
        types.dedup();
        types
    })
}

fn check_request(
    worker_id: Option<&str>,
    max: Option<i32>,
    lease: Option<Interval>,
    endpoint_types: Option<Vec<Option<String>>>,
) -> Result<Wanted<'_>> {
    let max = require("max", max)?;
    range("max", max.into(), 1..=MAX_CLAIM)?;
    let endpoint_types = sort_types(endpoint_types);
    if endpoint_types.iter().flatten().any(|one| one == "SQL") {
        let rule = "must not contain SQL: the server itself runs these executions";
        return Err(invalid_argument("endpoint_types", rule).into());
    }
    Ok(Wanted {
        worker_id: check_worker_id(worker_id)?,
        max: max as usize,
        lease: execution::lease(&require("lease", lease)?)?,
        endpoint_types,
        run_as: None,
    })
}

/// Claims executions of one workspace; see [`execution::claim`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn claim_executions(
    worker_id: Option<&str>,
    max: default!(Option<i32>, "1"),
    lease: default!(Option<Interval>, "'1 minute'"),
    endpoint_types: default!(Option<Vec<Option<String>>>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.claimed_execution")>> {
    let wanted = check_request(worker_id, max, lease, endpoint_types)?;
    let claimed = authorise_recalled(workspace, Capability::Worker, |workspace| {
        let claimed = execution::claim(Some(workspace), &wanted)?;
        Ok((!claimed.is_empty()).then_some(claimed))
    })?;
    Ok(SetOfIterator::new(claimed.unwrap_or_default()))
}

/// Claims executions of all workspaces; see [`execution::claim`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn claim_any_executions(
    worker_id: Option<&str>,
    max: default!(Option<i32>, "1"),
    lease: default!(Option<Interval>, "'1 minute'"),
    endpoint_types: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.claimed_execution")>> {
    let wanted = check_request(worker_id, max, lease, endpoint_types)?;
    let claimed = authorise_instance(Capability::Worker, || execution::claim(None, &wanted))?;
    Ok(SetOfIterator::new(claimed))
}

/// The time at which an idle worker should look for executions again; see [`execution::next_wakeup`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn next_wakeup(
    endpoint_types: default!(Option<Vec<Option<String>>>, "NULL"),
    all_workspaces: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<Option<TimestampWithTimeZone>> {
    let endpoint_types = sort_types(endpoint_types);
    Ok(if require("all_workspaces", all_workspaces)? {
        authorise_instance(Capability::Worker, || {
            execution::next_wakeup(None, endpoint_types)
        })?
    } else {
        authorise(workspace, Capability::Worker, |workspace| {
            execution::next_wakeup(Some(workspace.workspace_id), endpoint_types)
        })?
    })
}

/// Extends leases; see [`execution::heartbeat`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn heartbeat_executions(
    worker_id: Option<&str>,
    executions: Option<Jsonb>,
    lease: default!(Option<Interval>, "'1 minute'"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")>> {
    let lease = execution::lease(&require("lease", lease)?)?;
    let executions = require("executions", executions)?;
    let worker_id = check_worker_id(worker_id)?;
    let reports = authorise_scope(Capability::Worker, |scope| {
        execution::heartbeat(scope, worker_id, executions, lease)
    })?;
    Ok(SetOfIterator::new(reports))
}

fn attempt_key(execution_id: Option<ExecutionId>, attempt: Option<i32>) -> Result<AttemptKey> {
    Ok(AttemptKey {
        execution_id: require("execution_id", execution_id)?,
        attempt: require("attempt", attempt)?,
    })
}

/// Ends an attempt in success; see [`execution::complete`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn complete_execution(
    execution_id: Option<ExecutionId>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
    output: default!(Option<Jsonb>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.execution_report")> {
    let key = attempt_key(execution_id, attempt)?;
    let worker_id = check_worker_id(worker_id)?;
    Ok(authorise_scope(Capability::Worker, |scope| {
        execution::complete(scope, worker_id, key, output)
    })?)
}

/// Ends an attempt in failure; see [`execution::fail`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn fail_execution(
    execution_id: Option<ExecutionId>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
    error: Option<&str>,
    retryable: default!(Option<bool>, "true"),
    retry_at: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.execution_report")> {
    let key = attempt_key(execution_id, attempt)?;
    let error = require("error", error)?;
    let retryable = require("retryable", retryable)?;
    let worker_id = check_worker_id(worker_id)?;
    Ok(authorise_scope(Capability::Worker, |scope| {
        execution::fail(scope, worker_id, key, error, retryable, retry_at)
    })?)
}

/// Releases an attempt; see [`execution::release`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn release_execution(
    execution_id: Option<ExecutionId>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
) -> Result<pgrx::composite_type!('static, "kronos.execution_report")> {
    let key = attempt_key(execution_id, attempt)?;
    let worker_id = check_worker_id(worker_id)?;
    Ok(authorise_scope(Capability::Worker, |scope| {
        execution::release(scope, worker_id, key)
    })?)
}

/// Releases an attempt until a later time; see [`execution::postpone`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn postpone_execution(
    execution_id: Option<ExecutionId>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
    until: Option<TimestampWithTimeZone>,
) -> Result<pgrx::composite_type!('static, "kronos.execution_report")> {
    let key = attempt_key(execution_id, attempt)?;
    let worker_id = check_worker_id(worker_id)?;
    let until = require("until", until)?;
    Ok(authorise_scope(Capability::Worker, |scope| {
        execution::postpone(scope, worker_id, key, until)
    })?)
}

/// Ends attempts in success; see [`execution::complete_many`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn complete_executions(
    worker_id: Option<&str>,
    executions: Option<Jsonb>,
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")>> {
    let executions = require("executions", executions)?;
    let worker_id = check_worker_id(worker_id)?;
    let reports = authorise_scope(Capability::Worker, |scope| {
        execution::complete_many(scope, worker_id, executions)
    })?;
    Ok(SetOfIterator::new(reports))
}

fn end_many(
    ending: Ending,
    worker_id: Option<&str>,
    executions: Option<Jsonb>,
) -> Result<Vec<Composite>> {
    let executions = require("executions", executions)?;
    let worker_id = check_worker_id(worker_id)?;
    Ok(authorise_scope(Capability::Worker, |scope| {
        execution::end_many(scope, ending, worker_id, executions)
    })?)
}

/// Ends attempts in failure; see [`execution::end_many`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn fail_executions(
    worker_id: Option<&str>,
    executions: Option<Jsonb>,
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")>> {
    let reports = end_many(Ending::Fail, worker_id, executions)?;
    Ok(SetOfIterator::new(reports))
}

/// Releases attempts; see [`execution::end_many`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn release_executions(
    worker_id: Option<&str>,
    executions: Option<Jsonb>,
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")>> {
    let reports = end_many(Ending::Release, worker_id, executions)?;
    Ok(SetOfIterator::new(reports))
}

/// Appends a line to an execution's log; see [`execution::append_log`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn log_execution(
    execution_id: Option<ExecutionId>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
    message: Option<&str>,
    level: default!(Option<&str>, "'INFO'"),
    data: default!(Option<Jsonb>, "NULL"),
) -> Result<i32> {
    let key = attempt_key(execution_id, attempt)?;
    let line = Line {
        level: require("level", level)?,
        message: require("message", message)?,
        data,
    };
    let worker_id = check_worker_id(worker_id)?;
    Ok(authorise_scope(Capability::Worker, |scope| {
        execution::append_log(scope, worker_id, key, line)
    })?)
}
