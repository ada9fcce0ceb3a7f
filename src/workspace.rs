//! Workspaces: finding and creating tenants.

use crate::args;
use crate::error::{self, KronosError, Result, workspace_not_found};
use crate::id::WorkspaceId;
use crate::settings;
use crate::sql::{self, Composite};
use pgrx::datum::Interval;
use serde_json::json;
use std::cell::RefCell;

/// The workspace that exists as soon as a call needs it.
const DEFAULT: &str = "default";

/// A tenant.
#[derive(Clone)]
pub struct Workspace {
    pub workspace_id: WorkspaceId,
    pub name: String,
}

/// The workspace of a call: the one named, or that of setting `kronos.workspace`.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`.
pub fn find(name: Option<&str>) -> Result<Workspace> {
    let name = name.map_or_else(settings::workspace, str::to_owned);
    match find_id(&name)? {
        Some(workspace_id) => {
            let found = Workspace { workspace_id, name };
            LAST.set(Some(found.clone()));
            Ok(found)
        }
        None => Err(workspace_not_found(&name)),
    }
}

thread_local! {
    static LAST: RefCell<Option<Workspace>> = const { RefCell::new(None) };
}

/// The workspace of a call, which is not looked up again if the session's last call was for the same. It may have vanished
/// since: a caller that finds nothing in it asks [`find`].
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`.
pub fn recall(name: Option<&str>) -> Result<Workspace> {
    let name = name.map_or_else(settings::workspace, str::to_owned);
    let last = LAST.with_borrow(|last| last.clone().filter(|last| last.name == name));
    last.map_or_else(|| find(Some(&name)), Ok)
}

fn find_id(name: &str) -> Result<Option<WorkspaceId>> {
    sql::row(
        "select workspace_id from kronos_internal.workspaces where name = $1",
        &[name.into()],
        |row| sql::get(row, "workspace_id"),
    )
}

/// The same for calls that make what belongs to a workspace: they create the workspace `default`. CREATE EXTENSION
/// cannot, since a row that it wrote would make the restore of a dump fail.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`.
pub fn find_or_create_default(name: Option<&str>) -> Result<Workspace> {
    let name = name.map_or_else(settings::workspace, str::to_owned);
    match find(Some(&name)) {
        Err(_) if name == DEFAULT => {
            create_default()?;
            find(Some(&name))
        }
        found => found,
    }
}

/// Creates the workspace `default` unless it exists.
pub fn create_default() -> Result<()> {
    create(DEFAULT, true).map(|_| ())
}

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
        None if if_not_exists => find_id(name)?.ok_or_else(error::concurrent_change),
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
order by workspace_id desc
limit $2";

/// The rows of the workspaces, newest first, at most `max`, after the one with the id `after`.
///
/// # Errors
/// Fails only if SQL does.
pub fn list(max: i64, after: Option<WorkspaceId>) -> Result<Vec<Composite>> {
    sql::composites(LIST, &[after.into(), max.into()])
}

/// The longest retention: for ever. PostgreSQL's arithmetic on timestamps holds for it.
const FOR_EVER: i64 = 1000 * args::YEAR;

const SET_RETENTION: &str = "
update kronos_internal.workspaces
set execution_retention = coalesce($2, execution_retention), job_retention = coalesce($3, job_retention)
where workspace_id = $1";

/// Sets how long a workspace keeps its history, 1 day at least; None keeps the old value, and anything beyond 1000
/// years means for ever.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn set_retention(
    workspace_id: WorkspaceId,
    execution_retention: Option<Interval>,
    job_retention: Option<Interval>,
) -> Result<()> {
    let read = |argument: &str, retention: Option<Interval>| {
        retention.map(|retention| {
            if args::micros(&retention) > FOR_EVER.into() && retention.months() >= 0 {
                return Ok(Interval::new(0, 0, FOR_EVER).expect("1000 years fit an interval"));
            }
            args::duration(
                argument,
                &retention,
                args::DAY..=FOR_EVER,
                "must be at least 1 day",
            )
        })
    };
    let executions = read("execution_retention", execution_retention).transpose()?;
    let jobs = read("job_retention", job_retention).transpose()?;
    sql::run(
        SET_RETENTION,
        &[workspace_id.into(), executions.into(), jobs.into()],
    )
    .map(|_| ())
}
