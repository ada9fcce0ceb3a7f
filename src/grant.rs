//! Grants: which roles may do what in which workspaces.

use crate::authority::{Authorised, Capability};
use crate::error::{KronosError, Result, invalid_argument};
use crate::id::WorkspaceId;
use crate::named::Named;
use crate::sql::{self, Composite};
use pgrx::pg_sys;

/// The workspaces of a grant.
pub enum Place<'a> {
    One(&'a Authorised),
    /// All workspaces, also those to come.
    All,
}

impl Place<'_> {
    fn workspace_id(&self) -> Option<WorkspaceId> {
        match self {
            Place::One(workspace) => Some(workspace.workspace_id),
            Place::All => None,
        }
    }
}

fn find_role(name: &str) -> Result<pg_sys::Oid> {
    sql::find_role(name)?
        .ok_or_else(|| invalid_argument("role", "must name a role").with("value", name))
}

const GRANT: &str = "
insert into kronos_internal.workspace_grants (role, workspace_id, capability, granted_by)
values ($1::oid::regrole, $2, $3, $4::oid::regrole)
on conflict do nothing";

const GET: &str = "
select row(w.name, pg_get_userbyid(g.role::oid), g.capability, pg_get_userbyid(g.granted_by::oid), g.granted_at
           )::kronos.workspace_grants
from kronos_internal.workspace_grants g
left join kronos_internal.workspaces w using (workspace_id)
where g.role::oid = $1::oid and g.workspace_id is not distinct from $2 and g.capability = $3";

/// Grants a capability to a role, and returns the row of the grant. A grant that exists already stays as it is.
///
/// # Errors
/// `INVALID_ARGUMENT` for a role that does not exist.
pub fn grant(
    place: &Place,
    role: &str,
    capability: Capability,
    granted_by: pg_sys::Oid,
) -> Result<Composite> {
    let role = find_role(role)?;
    let (workspace_id, capability) = (place.workspace_id(), capability.name());
    let args = [
        role.into(),
        workspace_id.into(),
        capability.into(),
        granted_by.into(),
    ];
    sql::run(GRANT, &args)?;
    sql::composite(GET, &[role.into(), workspace_id.into(), capability.into()])?
        .ok_or_else(|| KronosError::internal("the grant has vanished"))
}

const REVOKE: &str = "
delete from kronos_internal.workspace_grants
where role::oid = $1::oid and workspace_id is not distinct from $2 and capability = $3";

/// Revokes a capability of a role, and returns whether the role had it.
///
/// # Errors
/// `INVALID_ARGUMENT` for a role that does not exist.
pub fn revoke(place: &Place, role: &str, capability: Capability) -> Result<bool> {
    let args = [
        find_role(role)?.into(),
        place.workspace_id().into(),
        capability.name().into(),
    ];
    Ok(sql::run(REVOKE, &args)? > 0)
}
