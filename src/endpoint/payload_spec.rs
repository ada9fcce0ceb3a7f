//! Payload specs: named JSON Schemas of a workspace.

use super::schema::check_schema;
use crate::error::{self, KronosError, Result};
use crate::job::{check_length, find_workspace};
use crate::sql;
use pgrx::{JsonB, Uuid};
use serde_json::json;

const INSERT: &str = "
insert into kronos.payload_specs (workspace_id, name, schema)
values ($1, $2, $3)
on conflict (workspace_id, name) do nothing
returning payload_spec_id";

/// Makes a payload spec, and returns its id.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, `INVALID_ARGUMENT`, `INVALID_PAYLOAD_SPEC`, `PAYLOAD_SPEC_EXISTS`.
pub fn create(workspace: &str, name: &str, schema: JsonB) -> Result<Uuid> {
    check_length("name", name, 200)?;
    let workspace_id = find_workspace(workspace)?;
    check_schema(&schema.0)?;
    let args = [workspace_id.into(), name.into(), schema.into()];
    sql::row(INSERT, &args, |row| sql::get(row, "payload_spec_id"))?.ok_or_else(|| {
        KronosError::new(
            &error::PAYLOAD_SPEC_EXISTS,
            format!("payload spec {name:?} exists already in workspace {workspace:?}"),
            json!({ "workspace": workspace, "payload_spec": name }),
        )
    })
}

/// The id of a workspace's payload spec.
///
/// # Errors
/// `PAYLOAD_SPEC_NOT_FOUND`.
pub fn find(workspace_id: Uuid, workspace: &str, name: &str) -> Result<Uuid> {
    sql::row(
        "select payload_spec_id from kronos.payload_specs where workspace_id = $1 and name = $2",
        &[workspace_id.into(), name.into()],
        |row| sql::get(row, "payload_spec_id"),
    )?
    .ok_or_else(|| {
        KronosError::new(
            &error::PAYLOAD_SPEC_NOT_FOUND,
            format!("payload spec {name:?} does not exist in workspace {workspace:?}"),
            json!({ "workspace": workspace, "payload_spec": name }),
        )
    })
}

const UPDATE: &str = "
update kronos.payload_specs
set schema = $2, revision_id = kronos.uuid_v7(), updated_at = clock_timestamp()
where payload_spec_id = $1";

/// Gives a payload spec another schema, and returns its id. Inputs that are there already are left alone; those that come
/// after the commit, in any session, must satisfy it.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, `PAYLOAD_SPEC_NOT_FOUND`, `INVALID_PAYLOAD_SPEC`.
pub fn update(workspace: &str, name: &str, schema: JsonB) -> Result<Uuid> {
    let payload_spec_id = find(find_workspace(workspace)?, workspace, name)?;
    check_schema(&schema.0)?;
    sql::run(UPDATE, &[payload_spec_id.into(), schema.into()])?;
    Ok(payload_spec_id)
}

/// Deletes a payload spec; PostgreSQL's foreign key refuses it while an endpoint uses it.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, `PAYLOAD_SPEC_NOT_FOUND`, `PAYLOAD_SPEC_IN_USE`.
pub fn delete(workspace: &str, name: &str) -> Result<()> {
    let payload_spec_id = find(find_workspace(workspace)?, workspace, name)?;
    let (workspace, name) = (workspace.to_owned(), name.to_owned());
    sql::convert_errors(
        || {
            sql::run(
                "delete from kronos.payload_specs where payload_spec_id = $1",
                &[payload_spec_id.into()],
            )
        },
        move |report| {
            let used = report
                .message()
                .contains("endpoints_payload_spec_in_same_workspace");
            used.then(|| {
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
