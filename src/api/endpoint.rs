//! Endpoints.

use super::{TableRow, needed};
use crate::error::{self, KronosError, Result, or_raise};
use crate::{job, sql};
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::json;

/// Makes an endpoint in a workspace. (Its SQL is written out because pgrx cannot name an argument `type`.)
#[pg_extern(
    requires = ["tables"],
    sql = "
create function kronos.create_endpoint(workspace text, name text, type text, spec jsonb default '{}')
returns kronos.endpoints
language c
security definer
set search_path to pg_catalog, kronos, pg_temp
as 'MODULE_PATHNAME', 'create_endpoint_wrapper';
"
)]
fn create_endpoint(
    workspace: Option<&str>,
    name: Option<&str>,
    kind: Option<&str>,
    spec: Option<JsonB>,
) -> pgrx::composite_type!('static, "kronos.endpoints") {
    or_raise(create(workspace, name, kind, spec))
}

const INSERT_ENDPOINT: &str = "
insert into kronos.endpoints as e (workspace_id, name, type, spec)
values ($1, $2, $3, $4)
on conflict (workspace_id, name) do nothing
returning e";

fn create(
    workspace: Option<&str>,
    name: Option<&str>,
    kind: Option<&str>,
    spec: Option<JsonB>,
) -> Result<TableRow> {
    let workspace = needed("workspace", workspace)?;
    let name = needed("name", name)?;
    let kind = needed("type", kind)?;
    let spec = needed("spec", spec)?;
    job::check_length("name", name, 200)?;
    job::check_length("type", kind, 100)?;
    if !spec.0.is_object() {
        return Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            "spec must be a JSON object",
            json!({ "argument": "spec" }),
        ));
    }
    let workspace_id = job::find_workspace(workspace)?;
    sql::composite(
        INSERT_ENDPOINT,
        &[workspace_id.into(), name.into(), kind.into(), spec.into()],
    )?
    .ok_or_else(|| {
        KronosError::new(
            &error::ENDPOINT_EXISTS,
            format!("endpoint {name:?} exists already in workspace {workspace:?}"),
            json!({ "workspace": workspace, "endpoint": name }),
        )
    })
}
