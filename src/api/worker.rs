//! What workers call.

use super::execution::execution_row;
use super::{TableRow, needed};
use crate::error::{self, KronosError, Result, or_raise};
use crate::execution::{self, Claimed, Ending, Lease, Line, Report, Wanted};
use crate::job;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::json;

/// The most executions that one call claims.
const MAX_CLAIM: i32 = 10_000;

fn claimed(
    workspace_id: Option<Uuid>,
    worker_id: Option<&str>,
    max: Option<i32>,
    lease: Option<Interval>,
    endpoint_types: Option<Vec<Option<String>>>,
) -> Result<Vec<Claimed>> {
    let worker_id = needed("worker_id", worker_id)?;
    job::check_length("worker_id", worker_id, 200)?;
    let max = needed("max", max)?;
    if !(1..=MAX_CLAIM).contains(&max) {
        return Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            format!("max must be from 1 to {MAX_CLAIM}"),
            json!({ "argument": "max", "max": max }),
        ));
    }
    let wanted = Wanted {
        worker_id,
        max: max as usize,
        lease: Lease::new(needed("lease", lease)?)?,
        endpoint_types: types(endpoint_types),
    };
    execution::claim(workspace_id, &wanted)
}

fn types(endpoint_types: Option<Vec<Option<String>>>) -> Option<Vec<String>> {
    endpoint_types.map(|types| types.into_iter().flatten().collect())
}

/// Takes executions of one workspace; see [`execution::claim`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn claim_executions(
    workspace: Option<&str>,
    worker_id: Option<&str>,
    max: default!(Option<i32>, "1"),
    lease: default!(Option<Interval>, "'1 minute'"),
    endpoint_types: default!(Option<Vec<Option<String>>>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.claimed_execution")> {
    SetOfIterator::new(or_raise((|| {
        let workspace_id = job::find_workspace(needed("workspace", workspace)?)?;
        claimed(Some(workspace_id), worker_id, max, lease, endpoint_types)
    })()))
}

/// Takes executions of all workspaces; see [`execution::claim`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn claim_any_executions(
    worker_id: Option<&str>,
    max: default!(Option<i32>, "1"),
    lease: default!(Option<Interval>, "'1 minute'"),
    endpoint_types: default!(Option<Vec<Option<String>>>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.claimed_execution")> {
    SetOfIterator::new(or_raise(claimed(
        None,
        worker_id,
        max,
        lease,
        endpoint_types,
    )))
}

/// When an idle worker should look again; see [`execution::next_wakeup`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn next_wakeup(
    workspace: default!(Option<&str>, "NULL"),
    endpoint_types: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Option<TimestampWithTimeZone> {
    or_raise((|| {
        let workspace_id = workspace.map(job::find_workspace).transpose()?;
        execution::next_wakeup(workspace_id, types(endpoint_types))
    })())
}

/// Extends leases; see [`execution::heartbeat`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn heartbeat_executions(
    worker_id: Option<&str>,
    executions: Option<JsonB>,
    lease: default!(Option<Interval>, "'1 minute'"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")> {
    SetOfIterator::new(or_raise((|| {
        execution::heartbeat(
            needed("worker_id", worker_id)?,
            needed("executions", executions)?,
            Lease::new(needed("lease", lease)?)?,
        )
    })()))
}

fn key(execution_id: Option<Uuid>, attempt: Option<i32>) -> Result<(Uuid, i32)> {
    Ok((
        needed("execution_id", execution_id)?,
        needed("attempt", attempt)?,
    ))
}

fn finished(
    ending: Ending,
    key: (Uuid, i32),
    worker_id: Option<&str>,
    execution: serde_json::Value,
) -> Result<TableRow> {
    execution::finish_one(ending, needed("worker_id", worker_id)?, execution, key)?;
    execution_row(key.0)
}

fn finished_all(
    ending: Ending,
    worker_id: Option<&str>,
    executions: Option<JsonB>,
) -> Result<Vec<Report>> {
    execution::finish(
        ending,
        needed("worker_id", worker_id)?,
        needed("executions", executions)?,
    )
}

/// Ends an attempt in success; see [`execution::finish_one`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn complete_execution(
    execution_id: Option<Uuid>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
    output: default!(Option<JsonB>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.execution_details") {
    or_raise((|| {
        let key = key(execution_id, attempt)?;
        let output = output.map(|output| output.0);
        finished(
            Ending::Complete,
            key,
            worker_id,
            json!({ "output": output }),
        )
    })())
}

/// Ends an attempt in failure; see [`execution::finish_one`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn fail_execution(
    execution_id: Option<Uuid>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
    error: Option<&str>,
    retryable: default!(Option<bool>, "true"),
    retry_at: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.execution_details") {
    or_raise((|| {
        let key = key(execution_id, attempt)?;
        let execution = json!({
            "error": needed("error", error)?,
            "retryable": needed("retryable", retryable)?,
            "retry_at": retry_at.map(|at| at.to_iso_string()),
        });
        finished(Ending::Fail, key, worker_id, execution)
    })())
}

/// Gives an attempt back; see [`execution::finish_one`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn release_execution(
    execution_id: Option<Uuid>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
) -> pgrx::composite_type!('static, "kronos.execution_details") {
    or_raise((|| {
        let key = key(execution_id, attempt)?;
        finished(Ending::Release, key, worker_id, json!({}))
    })())
}

/// Ends attempts in success; see [`execution::finish`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn complete_executions(
    worker_id: Option<&str>,
    executions: Option<JsonB>,
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")> {
    SetOfIterator::new(or_raise(finished_all(
        Ending::Complete,
        worker_id,
        executions,
    )))
}

/// Ends attempts in failure; see [`execution::finish`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn fail_executions(
    worker_id: Option<&str>,
    executions: Option<JsonB>,
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")> {
    SetOfIterator::new(or_raise(finished_all(Ending::Fail, worker_id, executions)))
}

/// Gives attempts back; see [`execution::finish`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn release_executions(
    worker_id: Option<&str>,
    executions: Option<JsonB>,
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_report")> {
    SetOfIterator::new(or_raise(finished_all(
        Ending::Release,
        worker_id,
        executions,
    )))
}

/// Appends a line to an execution's log; see [`execution::append_log`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn log_execution(
    execution_id: Option<Uuid>,
    attempt: Option<i32>,
    worker_id: Option<&str>,
    message: Option<&str>,
    level: default!(Option<&str>, "'INFO'"),
    data: default!(Option<JsonB>, "NULL"),
) -> i32 {
    or_raise((|| {
        let key = key(execution_id, attempt)?;
        let line = Line {
            level: needed("level", level)?,
            message: needed("message", message)?,
            data,
        };
        execution::append_log(needed("worker_id", worker_id)?, key, line)
    })())
}
