//! Endpoints and payload specs as callers see them: rows of the views `kronos.endpoints` and `kronos.payload_specs`.

use crate::authority::Authorised;
use crate::error::{KronosError, Result};
use crate::id::EndpointId;
use crate::sql::{self, Composite};
use pgrx::Uuid;

const ROW: &str = "
select case when $2 then d else jsonb_populate_record(d, '{\"spec\": null}') end
from kronos.endpoints d
where d.endpoint_id = $1";

/// The row of an endpoint. Its spec may hold secrets, so only an admin of the workspace sees it.
///
/// # Errors
/// Fails only if SQL does.
pub fn row(workspace: &Authorised, endpoint_id: EndpointId) -> Result<Composite> {
    sql::composite(ROW, &[endpoint_id.into(), workspace.is_admin.into()])?
        .ok_or_else(|| KronosError::internal("the endpoint's row has vanished"))
}

/// The row of a payload spec.
///
/// # Errors
/// Fails only if SQL does.
pub fn payload_spec_row(payload_spec_id: Uuid) -> Result<Composite> {
    sql::composite(
        "select d from kronos.payload_specs d where payload_spec_id = $1",
        &[payload_spec_id.into()],
    )?
    .ok_or_else(|| KronosError::internal("the payload spec's row has vanished"))
}

/// The rows of a workspace's live endpoints, newest first: at most `max`, after the endpoint with the id `after`.
///
/// # Errors
/// Fails only if SQL does.
pub fn list(
    workspace: &Authorised,
    endpoint_type: Option<&str>,
    max: i64,
    after: Option<EndpointId>,
) -> Result<Vec<Composite>> {
    let args = [
        workspace.workspace_id.into(),
        after.into(),
        endpoint_type.into(),
        max.into(),
        workspace.is_admin.into(),
    ];
    sql::composites(include_str!("list_endpoints.sql"), &args)
}

/// The rows of a workspace's payload specs, newest first: at most `max`, after the payload spec with the id `after`.
///
/// # Errors
/// Fails only if SQL does.
pub fn list_payload_specs(
    workspace: &Authorised,
    max: i64,
    after: Option<Uuid>,
) -> Result<Vec<Composite>> {
    let args = [workspace.workspace_id.into(), after.into(), max.into()];
    sql::composites(include_str!("list_payload_specs.sql"), &args)
}
