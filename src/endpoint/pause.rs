//! Pauses and resumes endpoints.

use crate::args;
use crate::authority::Authorised;
use crate::error::{self, KronosError, Result, endpoint_not_found};
use crate::id::EndpointId;
use crate::sql;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use serde_json::json;

/// Pauses an endpoint and returns its id. Once the transaction commits, no claim starts an execution of the endpoint.
/// Running executions go on.
///
/// # Errors
/// `INVALID_ARGUMENT`, `ENDPOINT_NOT_FOUND`, `ENDPOINT_PAUSED`.
pub fn pause(
    workspace: &Authorised,
    name: &str,
    reason: Option<&str>,
    paused_by: pg_sys::Oid,
) -> Result<EndpointId> {
    if let Some(reason) = reason {
        args::length("reason", reason, 1000)?;
    }
    let args = [
        workspace.workspace_id.into(),
        name.into(),
        reason.into(),
        paused_by.into(),
    ];
    match sql::row(include_str!("pause_endpoint.sql"), &args, |row| {
        sql::get(row, "endpoint_id")
    })? {
        Some(endpoint_id) => Ok(endpoint_id),
        None => Err(paused_or_missing(workspace, name)?),
    }
}

/// Resumes a paused endpoint, and returns its id.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`, `ENDPOINT_NOT_PAUSED`; `PERMISSION_DENIED` for an SQL endpoint whose role the caller does not have.
pub fn resume(workspace: &Authorised, name: &str) -> Result<EndpointId> {
    super::find(workspace, name)?.require_use(workspace)?;
    let args = [workspace.workspace_id.into(), name.into()];
    let resumed = sql::row(include_str!("resume_endpoint.sql"), &args, |row| {
        sql::get(row, "endpoint_id")
    })?;
    if let Some(endpoint_id) = resumed {
        return Ok(endpoint_id);
    }
    Err(KronosError::new(
        &error::ENDPOINT_NOT_PAUSED,
        format!(
            "endpoint {name:?} of workspace {:?} is not paused",
            workspace.name
        ),
        json!({ "workspace": workspace.name, "endpoint": name }),
    ))
}

const PAUSED_AT: &str = "
select paused_at
from kronos_internal.endpoints
where workspace_id = $1 and name = $2 and deleted_at is null and paused_at is not null";

/// The error for an endpoint that is paused or does not exist.
///
/// # Errors
/// Fails only if SQL does.
pub(super) fn paused_or_missing(workspace: &Authorised, name: &str) -> Result<KronosError> {
    let args = [workspace.workspace_id.into(), name.into()];
    let since = sql::row(PAUSED_AT, &args, |row| {
        sql::get::<TimestampWithTimeZone>(row, "paused_at")
    })?;
    Ok(match since.map(sql::iso) {
        Some(since) => KronosError::new(
            &error::ENDPOINT_PAUSED,
            format!(
                "endpoint {name:?} of workspace {:?} has been paused since {since}",
                workspace.name
            ),
            json!({ "workspace": workspace.name, "endpoint": name, "paused_at": since }),
        ),
        None => endpoint_not_found(&workspace.name, name),
    })
}
