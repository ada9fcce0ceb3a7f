//! Workspaces.

use super::Result;
use crate::args::{page_size, require};
use crate::authority::{
    Capability, authorise, authorise_instance, authorise_or_create, authorise_scope,
};
use crate::id::WorkspaceId;
use crate::{upkeep, workspace};
use pgrx::datum::Interval;
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::prelude::*;

/// Creates a workspace.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn create_workspace(
    name: Option<&str>,
    if_not_exists: default!(Option<bool>, "false"),
) -> Result<pgrx::composite_type!('static, "kronos.workspaces")> {
    let name = require("name", name)?;
    let if_not_exists = require("if_not_exists", if_not_exists)?;
    Ok(authorise_instance(Capability::Admin, || {
        workspace::row(workspace::create(name, if_not_exists)?)
    })?)
}

/// Deletes a workspace; see [`upkeep::delete_workspace`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn delete_workspace(
    name: Option<&str>,
    cancel: default!(Option<bool>, "false"),
) -> Result<TableIterator<'static, (name!(jobs, i64), name!(executions, i64))>> {
    let name = require("name", name)?;
    let cancel = require("cancel", cancel)?;
    let live = authorise_instance(Capability::Admin, || upkeep::delete_workspace(name, cancel))?;
    Ok(TableIterator::once((live.jobs, live.executions)))
}

/// One workspace.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn get_workspace(
    name: Option<&str>,
) -> Result<pgrx::composite_type!('static, "kronos.workspaces")> {
    let name = require("name", name)?;
    Ok(authorise(Some(name), Capability::Any, |workspace| {
        workspace::row(workspace.workspace_id)
    })?)
}

/// The workspaces, newest first.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn list_workspaces(
    max: default!(Option<i32>, "100"),
    after: default!(Option<WorkspaceId>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.workspaces")>> {
    let max = page_size(max)?;
    let listed = authorise_scope(Capability::Viewer, |scope| {
        workspace::list(scope, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}

/// Sets how long a workspace keeps its history; see [`workspace::set_retention`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn set_retention(
    execution_retention: default!(Option<Interval>, "NULL"),
    job_retention: default!(Option<Interval>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.workspaces")> {
    Ok(authorise_or_create(
        workspace,
        Capability::Admin,
        |workspace| {
            workspace::set_retention(workspace, execution_retention, job_retention)?;
            workspace::row(workspace.workspace_id)
        },
    )?)
}
