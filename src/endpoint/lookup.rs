//! Finds endpoints, and checks inputs for them.

use super::schema;
use crate::args;
use crate::authority::Authorised;
use crate::error::{
    self, KronosError, Result, endpoint_not_found, invalid_argument, value_too_large,
};
use crate::id::EndpointId;
use crate::sql::{self, Jsonb, Row};
use pgrx::{Uuid, pg_sys};

/// An endpoint, with the columns that other modules need.
pub struct Endpoint {
    pub endpoint_id: EndpointId,
    pub name: String,
    pub endpoint_type: String,
    /// The role of an SQL endpoint.
    pub run_as: Option<pg_sys::Oid>,
    payload_spec: Option<PayloadSpec>,
}

/// The payload spec of an endpoint: its name, and the revision of its schema.
struct PayloadSpec {
    name: String,
    revision_id: Uuid,
}

impl Endpoint {
    /// Whether inputs must satisfy a payload spec.
    pub fn has_payload_spec(&self) -> bool {
        self.payload_spec.is_some()
    }

    /// Whether the server itself runs its executions.
    pub fn is_sql(&self) -> bool {
        self.run_as.is_some()
    }

    /// Fails unless the caller may have executions of the endpoint run. One of type SQL needs the privileges of its role.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub fn require_use(&self, workspace: &Authorised) -> Result<()> {
        match self.run_as {
            Some(role) => workspace.require_role(role, &self.name),
            None => Ok(()),
        }
    }

    /// The id of the endpoint, to be stored as `on_failure`. Kronos writes the inputs of failures, and does not check them
    /// against a payload spec.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an endpoint with a payload spec; those of [`Endpoint::require_use`].
    pub fn as_handler(&self, workspace: &Authorised) -> Result<EndpointId> {
        self.require_use(workspace)?;
        if !self.has_payload_spec() {
            return Ok(self.endpoint_id);
        }
        Err(
            invalid_argument("on_failure", "must be an endpoint without a payload spec")
                .with("endpoint", self.name.as_str()),
        )
    }

    /// Fails unless an input is small enough and satisfies the endpoint's payload spec. Without a payload spec, the
    /// input is measured but not parsed.
    ///
    /// # Errors
    /// `VALUE_TOO_LARGE`, `INVALID_INPUT`.
    pub fn check_input(&self, input: Jsonb) -> Result<()> {
        let text = input.text();
        if text.len() > args::MAX_INPUT_BYTES {
            return Err(value_too_large("input", text.len(), args::MAX_INPUT_BYTES));
        }
        match &self.payload_spec {
            None => Ok(()),
            Some(spec) => schema::check_input(&spec.name, spec.revision_id, &text),
        }
    }
}

fn read(row: &Row) -> Result<Endpoint> {
    let payload_spec: Option<String> = sql::get_opt(row, "payload_spec")?;
    Ok(Endpoint {
        endpoint_id: sql::get(row, "endpoint_id")?,
        name: sql::get(row, "name")?,
        endpoint_type: sql::get(row, "endpoint_type")?,
        run_as: sql::get_opt(row, "run_as")?,
        payload_spec: match payload_spec {
            Some(name) => Some(PayloadSpec {
                name,
                revision_id: sql::get(row, "revision_id")?,
            }),
            None => None,
        },
    })
}

/// The live endpoint with a name.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`.
pub fn find(workspace: &Authorised, name: &str) -> Result<Endpoint> {
    find_many(workspace, &[name])?
        .pop()
        .ok_or_else(|| endpoint_not_found(&workspace.name, name))
}

/// The id of the live endpoint with a name, to be stored as `on_failure`.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`; `INVALID_ARGUMENT` for an endpoint with a payload spec.
pub fn find_handler(workspace: &Authorised, name: &str) -> Result<EndpointId> {
    find(workspace, name)?.as_handler(workspace)
}

/// The endpoint with an id, even if it is deleted.
///
/// # Errors
/// `CONCURRENT_CHANGE` if the transaction's snapshot does not show the endpoint.
pub fn find_by_id(endpoint_id: EndpointId) -> Result<Endpoint> {
    let statement = include_str!("find_endpoint_by_id.sql");
    sql::row(statement, &[endpoint_id.into()], read)?.ok_or_else(error::concurrent_change)
}

/// The live endpoints with the given names, in any order. Names that do not exist are left out.
///
/// # Errors
/// Fails only if SQL does.
pub fn find_many(workspace: &Authorised, names: &[&str]) -> Result<Vec<Endpoint>> {
    let args = [workspace.workspace_id.into(), names.to_vec().into()];
    sql::rows(include_str!("find_endpoints.sql"), &args, read)
}

/// The error for an endpoint name that is taken.
pub(super) fn endpoint_exists(workspace: &str, endpoint: &str) -> KronosError {
    KronosError::new(
        &error::ENDPOINT_EXISTS,
        format!("endpoint {endpoint:?} already exists in workspace {workspace:?}"),
        serde_json::json!({ "workspace": workspace, "endpoint": endpoint }),
    )
}
