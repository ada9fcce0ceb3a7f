//! Executions as callers and operators see them.

use super::log::LEVELS;
use crate::args;
use crate::authority::Authorised;
use crate::error::{self, Result};
use crate::id::{ExecutionId, JobId};
use crate::named::Named;
use crate::sql::{self, Composite};
use crate::status::{Outcome, Status};
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;

const ORIGINS: [&str; 5] = ["TICK", "TRIGGER", "BACKFILL", "ENQUEUE", "ON_FAILURE"];
const GET: &str =
    "select d from kronos.execution_details d where d.workspace = $1 and d.execution_id = $2";

/// The row of an execution.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`.
pub fn get(workspace: &Authorised, execution_id: ExecutionId) -> Result<Composite> {
    let args = [workspace.name.as_str().into(), execution_id.into()];
    sql::by_index(|| sql::composite(GET, &args))?
        .ok_or_else(|| error::execution_not_found(execution_id))
}

/// Which executions a list is about.
pub struct Filter<'a> {
    pub job_id: Option<JobId>,
    pub status: Option<Status>,
    pub origin: Option<&'a str>,
    pub endpoint_type: Option<&'a str>,
    pub created_from: Option<TimestampWithTimeZone>,
    pub created_before: Option<TimestampWithTimeZone>,
}

/// An instant between 1970 and 2200: no execution was created outside, and ids cannot stand for infinity.
fn clamp(at: Option<TimestampWithTimeZone>, otherwise: DateTime<Utc>) -> TimestampWithTimeZone {
    sql::to_pg(at.map_or(otherwise, sql::from_pg).clamp(first(), last()))
}

fn first() -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH
}

fn last() -> DateTime<Utc> {
    DateTime::from_timestamp_secs(7_258_118_400).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn check_filter(argument: &str, value: Option<&str>, allowed: &[&str]) -> Result<()> {
    match value {
        Some(value) => args::one_of(argument, value, allowed).map(|_| ()),
        None => Ok(()),
    }
}

/// The executions of a workspace, or of one job through all its versions, newest first: at most `max`, after the one with the
/// id `after`.
///
/// # Errors
/// `INVALID_ARGUMENT` for a filter that no execution can pass.
pub fn list(
    workspace: &Authorised,
    filter: &Filter,
    max: i64,
    after: Option<ExecutionId>,
) -> Result<Vec<Composite>> {
    check_filter("origin", filter.origin, &ORIGINS)?;
    let (statement, scope_id) = match filter.job_id {
        None => (
            include_str!("list_executions.sql"),
            workspace.workspace_id.into(),
        ),
        Some(job_id) => (include_str!("list_job_executions.sql"), job_id.into()),
    };
    let args = [
        scope_id,
        workspace.name.as_str().into(),
        filter.status.map(Status::name).into(),
        filter.origin.into(),
        filter.endpoint_type.into(),
        clamp(filter.created_from, first()).into(),
        clamp(filter.created_before, last()).into(),
        max.into(),
        after.into(),
    ];
    sql::by_index(|| sql::composites(statement, &args))
}

/// The attempts of an execution, first to last: at most `max`, after number `after`.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`, `INVALID_ARGUMENT`.
pub fn list_attempts(
    workspace: &Authorised,
    execution_id: ExecutionId,
    outcome: Option<Outcome>,
    max: i64,
    after: Option<i32>,
) -> Result<Vec<Composite>> {
    find(workspace, execution_id)?;
    let args = [
        workspace.workspace_id.into(),
        execution_id.into(),
        outcome.map(Outcome::name).into(),
        max.into(),
        after.into(),
    ];
    sql::by_index(|| sql::composites(include_str!("list_attempts.sql"), &args))
}

/// What workers have logged about an execution, first to last: at most `max` lines, after number `after`.
///
/// # Errors
/// `EXECUTION_NOT_FOUND`, `INVALID_ARGUMENT`.
pub fn list_logs(
    workspace: &Authorised,
    execution_id: ExecutionId,
    attempt: Option<i32>,
    level: Option<&str>,
    max: i64,
    after: Option<i32>,
) -> Result<Vec<Composite>> {
    check_filter("level", level, &LEVELS)?;
    find(workspace, execution_id)?;
    let args = [
        execution_id.into(),
        attempt.into(),
        level.into(),
        max.into(),
        after.into(),
    ];
    sql::by_index(|| sql::composites(include_str!("list_logs.sql"), &args))
}

const FIND: &str = "
select from kronos_internal.live_executions where execution_id = $2 and workspace_id = $1
union all
select from kronos_internal.history where workspace_id = $1 and execution_id = $2";

/// Fails unless a workspace has an execution.
fn find(workspace: &Authorised, execution_id: ExecutionId) -> Result<()> {
    let args = [workspace.workspace_id.into(), execution_id.into()];
    if sql::by_index(|| sql::exists(FIND, &args))? {
        Ok(())
    } else {
        Err(error::execution_not_found(execution_id))
    }
}
