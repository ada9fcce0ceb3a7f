//! Creates and lists workspaces, and sets their retention.

use crate::args;
use crate::authority::{Authorised, Scope};
use crate::error::{self, KronosError, Result};
use crate::id::WorkspaceId;
use crate::sql::{self, Composite};
use pgrx::datum::Interval;
use serde_json::json;

const FIND: &str = "select workspace_id from kronos_internal.workspaces where name = $1";

/// Creates a workspace and returns its id.
///
/// # Errors
/// `INVALID_ARGUMENT`; `WORKSPACE_EXISTS` unless `if_not_exists`.
pub fn create(name: &str, if_not_exists: bool) -> Result<WorkspaceId> {
    args::length("name", name, 200)?;
    let created = sql::row(
        "insert into kronos_internal.workspaces (name) values ($1) on conflict (name) do nothing returning workspace_id",
        &[name.into()],
        |row| sql::get(row, "workspace_id"),
    )?;
    match created {
        Some(workspace_id) => Ok(workspace_id),
        None if if_not_exists => {
            sql::row(FIND, &[name.into()], |row| sql::get(row, "workspace_id"))?
                .ok_or_else(error::concurrent_change)
        }
        None => Err(KronosError::new(
            &error::WORKSPACE_EXISTS,
            format!("workspace {name:?} already exists"),
            json!({ "workspace": name }),
        )),
    }
}

/// The row of a workspace in the view `kronos.workspaces`.
///
/// # Errors
/// Fails only if SQL does.
pub fn row(workspace_id: WorkspaceId) -> Result<Composite> {
    sql::composite(
        "select d from kronos.workspaces d where workspace_id = $1",
        &[workspace_id.into()],
    )?
    .ok_or_else(|| KronosError::internal("the workspace's row has vanished"))
}

const LIST: &str = "
select d
from kronos.workspaces d
where workspace_id < coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
  and ($3::uuid[] is null or workspace_id = any ($3))
order by workspace_id desc
limit $2";

/// The rows of the workspaces of a scope, newest first: at most `max`, after the workspace with the id `after`.
///
/// # Errors
/// Fails only if SQL does.
pub fn list(scope: &Scope, max: i64, after: Option<WorkspaceId>) -> Result<Vec<Composite>> {
    sql::composites(LIST, &[after.into(), max.into(), scope.ids().into()])
}

/// The longest retention, which means forever. PostgreSQL can still add it to a timestamp and subtract it.
const FOREVER: i64 = 1000 * args::YEAR;

const SET_RETENTION: &str = "
update kronos_internal.workspaces
set execution_retention = coalesce($2, execution_retention), job_retention = coalesce($3, job_retention)
where workspace_id = $1";

/// Sets how long a workspace keeps its history, at least 1 day. None keeps the old value. More than 1000 years means
/// forever.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn set_retention(
    workspace: &Authorised,
    execution_retention: Option<Interval>,
    job_retention: Option<Interval>,
) -> Result<()> {
    let read = |argument: &str, retention: Option<Interval>| {
        retention.map(|retention| {
            if args::micros(&retention) > FOREVER.into() && retention.months() >= 0 {
                return Ok(Interval::new(0, 0, FOREVER).expect("1000 years fit an interval"));
            }
            args::duration(
                argument,
                &retention,
                args::DAY..=FOREVER,
                "must be at least 1 day",
            )
        })
    };
    let executions = read("execution_retention", execution_retention).transpose()?;
    let jobs = read("job_retention", job_retention).transpose()?;
    sql::run(
        SET_RETENTION,
        &[
            workspace.workspace_id.into(),
            executions.into(),
            jobs.into(),
        ],
    )
    .map(|_| ())
}
