//! Executions, as callers and operators see them.

use super::job::job_ref;
use super::listing::{Page, numbered_page, page};
use super::{TableRow, fetch, needed};
use crate::error::{Result, or_raise};
use crate::{execution, job, sql};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// Fails unless a workspace has an execution.
fn find(workspace: Option<&str>, execution_id: Option<Uuid>) -> Result<Uuid> {
    let workspace_id = job::find_workspace(needed("workspace", workspace)?)?;
    let execution_id = needed("execution_id", execution_id)?;
    let statement = "select from kronos.executions where workspace_id = $1 and execution_id = $2";
    if sql::exists(statement, &[workspace_id.into(), execution_id.into()])? {
        Ok(execution_id)
    } else {
        Err(execution::execution_not_found(execution_id))
    }
}

/// The row of an execution.
pub fn execution_row(execution_id: Uuid) -> Result<TableRow> {
    fetch(
        "select d from kronos.execution_details d where execution_id = $1",
        &[execution_id.into()],
    )
}

/// One execution.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn get_execution(
    workspace: Option<&str>,
    execution_id: Option<Uuid>,
) -> pgrx::composite_type!('static, "kronos.execution_details") {
    or_raise(find(workspace, execution_id).and_then(execution_row))
}

/// Cancels an execution; see [`execution::cancel`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn cancel_execution(
    workspace: Option<&str>,
    execution_id: Option<Uuid>,
    request_stop: default!(Option<bool>, "false"),
) -> pgrx::composite_type!('static, "kronos.execution_details") {
    or_raise((|| {
        let workspace_id = job::find_workspace(needed("workspace", workspace)?)?;
        let execution_id = needed("execution_id", execution_id)?;
        let request_stop = needed("request_stop", request_stop)?;
        execution::cancel(workspace_id, execution_id, request_stop)?;
        execution_row(execution_id)
    })())
}

const LIST: &str = "
select d
from kronos.execution_details d
where {SCOPE} = $1 and ($2 is null or d.execution_id < $2)
  and ($4 is null or d.status = $4)
  and ($5 is null or d.origin = $5)
  and ($6 is null or d.endpoint_type = $6)
  and ($7 is null or d.execution_id >= kronos.uuid_v7_at($7))
  and ($8 is null or d.execution_id < kronos.uuid_v7_at($8))
order by d.execution_id desc
limit $3";

/// The executions of a workspace, or of one job through all its versions; newest first.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn list_executions(
    workspace: Option<&str>,
    job_id: default!(Option<Uuid>, "NULL"),
    job_name: default!(Option<&str>, "NULL"),
    status: default!(Option<&str>, "NULL"),
    origin: default!(Option<&str>, "NULL"),
    endpoint_type: default!(Option<&str>, "NULL"),
    created_from: default!(Option<TimestampWithTimeZone>, "NULL"),
    created_before: default!(Option<TimestampWithTimeZone>, "NULL"),
    max: default!(Option<i32>, "100"),
    after_cursor: default!(Option<&str>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.execution_details")> {
    SetOfIterator::new(or_raise((|| {
        let workspace = needed("workspace", workspace)?;
        let (scope, scope_id) = match (job_id, job_name) {
            (None, None) => ("d.workspace_id", job::find_workspace(workspace)?),
            _ => {
                let (_, lineage_id) = job::find_job(workspace, job_ref(job_id, job_name)?)?;
                ("d.lineage_id", lineage_id)
            }
        };
        let Page { max, after } = page(max, after_cursor)?;
        let args = [
            scope_id.into(),
            after.into(),
            max.into(),
            status.into(),
            origin.into(),
            endpoint_type.into(),
            created_from.into(),
            created_before.into(),
        ];
        sql::composites(&LIST.replace("{SCOPE}", scope), &args)
    })()))
}

const LIST_ATTEMPTS: &str = "
select d
from kronos.attempt_details d
where d.execution_id = $1 and ($2 is null or d.attempt > $2) and ($4 is null or d.outcome = $4)
order by d.attempt
limit $3";

/// The attempts at an execution, first to last.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn list_attempts(
    workspace: Option<&str>,
    execution_id: Option<Uuid>,
    outcome: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after_cursor: default!(Option<&str>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.attempt_details")> {
    SetOfIterator::new(or_raise((|| {
        let execution_id = find(workspace, execution_id)?;
        let Page { max, after } = numbered_page(max, after_cursor)?;
        sql::composites(
            LIST_ATTEMPTS,
            &[
                execution_id.into(),
                after.into(),
                max.into(),
                outcome.into(),
            ],
        )
    })()))
}

const LIST_LOGS: &str = "
select d
from kronos.log_details d
where d.execution_id = $1 and ($2 is null or d.line > $2)
  and ($4 is null or d.attempt = $4) and ($5 is null or d.level = $5)
order by d.line
limit $3";

/// What workers have logged about an execution, first to last.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn list_logs(
    workspace: Option<&str>,
    execution_id: Option<Uuid>,
    attempt: default!(Option<i32>, "NULL"),
    level: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after_cursor: default!(Option<&str>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.log_details")> {
    SetOfIterator::new(or_raise((|| {
        let execution_id = find(workspace, execution_id)?;
        let Page { max, after } = numbered_page(max, after_cursor)?;
        sql::composites(
            LIST_LOGS,
            &[
                execution_id.into(),
                after.into(),
                max.into(),
                attempt.into(),
                level.into(),
            ],
        )
    })()))
}
