//! Workspaces.

use super::Result;
use crate::args::{page_size, require};
use crate::id::WorkspaceId;
use crate::workspace;
use pgrx::datum::Interval;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// Creates a workspace.
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn create_workspace(
    name: Option<&str>,
    if_not_exists: default!(Option<bool>, "false"),
) -> Result<pgrx::composite_type!('static, "kronos.workspaces")> {
    let name = require("name", name)?;
    let if_not_exists = require("if_not_exists", if_not_exists)?;
    Ok(workspace::row(workspace::create(name, if_not_exists)?)?)
}

/// One workspace.
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn get_workspace(
    name: Option<&str>,
) -> Result<pgrx::composite_type!('static, "kronos.workspaces")> {
    let found = workspace::find(Some(require("name", name)?))?;
    Ok(workspace::row(found.workspace_id)?)
}

/// The workspaces, newest first.
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn list_workspaces(
    max: default!(Option<i32>, "100"),
    after: default!(Option<WorkspaceId>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.workspaces")>> {
    let max = page_size(max)?;
    Ok(SetOfIterator::new(workspace::list(max, after)?))
}

/// Sets how long a workspace keeps its history; see [`workspace::set_retention`].
#[pg_extern(schema = "kronos", security_definer, requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn set_retention(
    execution_retention: default!(Option<Interval>, "NULL"),
    job_retention: default!(Option<Interval>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.workspaces")> {
    let workspace_id = workspace::find_or_create_default(workspace)?.workspace_id;
    workspace::set_retention(workspace_id, execution_retention, job_retention)?;
    Ok(workspace::row(workspace_id)?)
}
