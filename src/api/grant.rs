//! Grants.

use super::Result;
use crate::args::require;
use crate::authority::{
    self, Capability, authorise_instance, authorise_or_create, authorise_scope,
};
use crate::error;
use crate::grant::{self, Place};
use crate::id::WorkspaceId;
use crate::named::Named;
use crate::upkeep;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// Runs `work` in the workspace of a grant, or for all workspaces.
fn in_place<T>(
    all_workspaces: Option<bool>,
    workspace: Option<&str>,
    work: impl FnOnce(&Place) -> error::Result<T>,
) -> Result<T> {
    Ok(if require("all_workspaces", all_workspaces)? {
        authorise_instance(Capability::Admin, || work(&Place::All))?
    } else {
        authorise_or_create(workspace, Capability::Admin, |workspace| {
            work(&Place::One(workspace))
        })?
    })
}

/// Grants a capability to a role; see [`grant::grant`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn grant_workspace(
    role: Option<&str>,
    capability: Option<&str>,
    all_workspaces: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.workspace_grants")> {
    let role = require("role", role)?;
    let capability = Capability::parse(require("capability", capability)?)?;
    let granted_by = authority::caller();
    in_place(all_workspaces, workspace, |place| {
        grant::grant(place, role, capability, granted_by)
    })
}

/// Revokes a capability of a role; see [`grant::revoke`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn revoke_workspace(
    role: Option<&str>,
    capability: Option<&str>,
    all_workspaces: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<bool> {
    let role = require("role", role)?;
    let capability = Capability::parse(require("capability", capability)?)?;
    in_place(all_workspaces, workspace, |place| {
        grant::revoke(place, role, capability)
    })
}

/// Moves Kronos to another owner; see [`upkeep::set_owner`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn set_owner(role: Option<&str>) -> Result<()> {
    Ok(upkeep::set_owner(require("role", role)?)?)
}

/// The ids of the workspaces in which the effective user has a capability. Row-level security calls it once per query.
#[pg_extern(schema = "kronos", stable, requires = ["tenants"])]
#[search_path(pg_catalog, pg_temp)]
pub fn my_workspaces(
    capability: default!(Option<&str>, "'viewer'"),
) -> Result<SetOfIterator<'static, WorkspaceId>> {
    let capability = Capability::parse(require("capability", capability)?)?;
    let ids = authorise_scope(capability, authority::list_ids)?;
    Ok(SetOfIterator::new(ids))
}

/// Whether the effective user has a capability in all workspaces.
#[pg_extern(
    requires = ["tenants"],
    sql = "
create function kronos_internal.has_everywhere(capability text) returns boolean
language c stable strict as 'MODULE_PATHNAME', 'has_everywhere_wrapper'
set search_path = pg_catalog, pg_temp;"
)]
pub fn has_everywhere(capability: &str) -> Result<bool> {
    Ok(authority::has_everywhere(Capability::parse(capability)?)?)
}
