//! Payload specs: named JSON Schemas of a workspace.

use super::schema;
use crate::args;
use crate::authority::Authorised;
use crate::error::{self, KronosError, Result};
use crate::sql::{self, Jsonb};
use pgrx::{PgSqlErrorCode, Uuid};
use serde_json::json;

const INSERT: &str = "
insert into kronos_internal.payload_specs (workspace_id, name, schema)
values ($1, $2, $3)
on conflict (workspace_id, name) do nothing
returning payload_spec_id";

/// Creates a payload spec and returns its id. With `if_not_exists`, an existing payload spec of that name is left
/// unchanged.
///
/// # Errors
/// `INVALID_ARGUMENT`, `VALUE_TOO_LARGE`, `INVALID_PAYLOAD_SPEC`; `PAYLOAD_SPEC_EXISTS` unless `if_not_exists`.
pub fn create(
    workspace: &Authorised,
    name: &str,
    schema: Jsonb,
    if_not_exists: bool,
) -> Result<Uuid> {
    args::length("name", name, 200)?;
    schema::check_schema(schema)?;
    let args = [workspace.workspace_id.into(), name.into(), schema.into()];
    match sql::row(INSERT, &args, |row| sql::get(row, "payload_spec_id"))? {
        Some(payload_spec_id) => Ok(payload_spec_id),
        None if if_not_exists => find_id(workspace, name)?.ok_or_else(error::concurrent_change),
        None => Err(KronosError::new(
            &error::PAYLOAD_SPEC_EXISTS,
            format!(
                "payload spec {name:?} already exists in workspace {:?}",
                workspace.name
            ),
            json!({ "workspace": workspace.name, "payload_spec": name }),
        )),
    }
}

const FIND: &str = "
select payload_spec_id from kronos_internal.payload_specs where workspace_id = $1 and name = $2";

fn find_id(workspace: &Authorised, name: &str) -> Result<Option<Uuid>> {
    let args = [workspace.workspace_id.into(), name.into()];
    sql::row(FIND, &args, |row| sql::get(row, "payload_spec_id"))
}

/// The id of a workspace's payload spec.
///
/// # Errors
/// `PAYLOAD_SPEC_NOT_FOUND`.
pub fn find(workspace: &Authorised, name: &str) -> Result<Uuid> {
    find_id(workspace, name)?.ok_or_else(|| not_found(workspace, name))
}

pub(super) fn not_found(workspace: &Authorised, name: &str) -> KronosError {
    KronosError::new(
        &error::PAYLOAD_SPEC_NOT_FOUND,
        format!(
            "payload spec {name:?} does not exist in workspace {:?}",
            workspace.name
        ),
        json!({ "workspace": workspace.name, "payload_spec": name }),
    )
}

const UPDATE: &str = "
update kronos_internal.payload_specs
set schema = $3, revision_id = kronos.uuid_v7(), updated_at = clock_timestamp()
where workspace_id = $1 and name = $2
returning payload_spec_id";

/// Replaces the schema of a payload spec and returns its id. Stored inputs are not checked again. Inputs that arrive
/// after the commit, in any session, must satisfy the new schema.
///
/// # Errors
/// `VALUE_TOO_LARGE`, `INVALID_PAYLOAD_SPEC`, `PAYLOAD_SPEC_NOT_FOUND`.
pub fn update(workspace: &Authorised, name: &str, schema: Jsonb) -> Result<Uuid> {
    schema::check_schema(schema)?;
    let args = [workspace.workspace_id.into(), name.into(), schema.into()];
    sql::row(UPDATE, &args, |row| sql::get(row, "payload_spec_id"))?
        .ok_or_else(|| not_found(workspace, name))
}

const DELETE: &str = "delete from kronos_internal.payload_specs where payload_spec_id = $1";

/// Deletes a payload spec.
///
/// # Errors
/// `PAYLOAD_SPEC_IN_USE` while an endpoint uses it.
pub fn delete(workspace: &Authorised, name: &str, payload_spec_id: Uuid) -> Result<()> {
    let (workspace, name) = (workspace.name.clone(), name.to_owned());
    sql::convert_errors(
        || sql::run(DELETE, &[payload_spec_id.into()]),
        move |report| {
            error::violates(
                report,
                PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION,
                "endpoints_payload_spec_in_same_workspace",
            )
            .then(|| {
                KronosError::new(
                    &error::PAYLOAD_SPEC_IN_USE,
                    format!(
                        "payload spec {name:?} is used by endpoints of workspace {workspace:?}"
                    ),
                    json!({ "workspace": workspace, "payload_spec": name }),
                )
            })
        },
    )
    .map(|_| ())
}
