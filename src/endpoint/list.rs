//! Endpoints and payload specs as callers see them: rows of the views `kronos.endpoints` and `kronos.payload_specs`.

use crate::error::{KronosError, Result};
use crate::id::EndpointId;
use crate::sql::{self, Composite};
use crate::workspace::Workspace;
use pgrx::Uuid;

/// The row of an endpoint.
///
/// # Errors
/// Fails only if SQL does.
pub fn row(endpoint_id: EndpointId) -> Result<Composite> {
    sql::composite(
        "select d from kronos.endpoints d where endpoint_id = $1",
        &[endpoint_id.into()],
    )?
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
    workspace: &Workspace,
    endpoint_type: Option<&str>,
    max: i64,
    after: Option<EndpointId>,
) -> Result<Vec<Composite>> {
    let args = [
        workspace.workspace_id.into(),
        after.into(),
        endpoint_type.into(),
        max.into(),
    ];
    sql::composites(include_str!("list_endpoints.sql"), &args)
}

/// The rows of a workspace's payload specs, newest first: at most `max`, after the payload spec with the id `after`.
///
/// # Errors
/// Fails only if SQL does.
pub fn list_payload_specs(
    workspace: &Workspace,
    max: i64,
    after: Option<Uuid>,
) -> Result<Vec<Composite>> {
    let args = [workspace.workspace_id.into(), after.into(), max.into()];
    sql::composites(include_str!("list_payload_specs.sql"), &args)
}
