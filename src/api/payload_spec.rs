//! Payload specs.

use super::listing::{Page, page};
use super::{TableRow, fetch, needed};
use crate::error::{Result, or_raise};
use crate::{endpoint, job, sql};
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

fn payload_spec_row(payload_spec_id: Uuid) -> Result<TableRow> {
    fetch(
        "select d from kronos.payload_spec_details d where payload_spec_id = $1",
        &[payload_spec_id.into()],
    )
}

/// Makes a payload spec; see [`endpoint::create_payload_spec`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn create_payload_spec(
    workspace: Option<&str>,
    name: Option<&str>,
    schema: Option<JsonB>,
) -> pgrx::composite_type!('static, "kronos.payload_spec_details") {
    or_raise((|| {
        payload_spec_row(endpoint::create_payload_spec(
            needed("workspace", workspace)?,
            needed("name", name)?,
            needed("schema", schema)?,
        )?)
    })())
}

/// Gives a payload spec another schema; see [`endpoint::update_payload_spec`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn update_payload_spec(
    workspace: Option<&str>,
    name: Option<&str>,
    schema: Option<JsonB>,
) -> pgrx::composite_type!('static, "kronos.payload_spec_details") {
    or_raise((|| {
        payload_spec_row(endpoint::update_payload_spec(
            needed("workspace", workspace)?,
            needed("name", name)?,
            needed("schema", schema)?,
        )?)
    })())
}

/// Deletes a payload spec; see [`endpoint::delete_payload_spec`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn delete_payload_spec(
    workspace: Option<&str>,
    name: Option<&str>,
) -> pgrx::composite_type!('static, "kronos.payload_spec_details") {
    or_raise((|| {
        let (workspace, name) = (needed("workspace", workspace)?, needed("name", name)?);
        let workspace_id = job::find_workspace(workspace)?;
        let row = payload_spec_row(endpoint::find_payload_spec(workspace_id, workspace, name)?)?;
        endpoint::delete_payload_spec(workspace, name).map(|()| row)
    })())
}

/// One payload spec.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn get_payload_spec(
    workspace: Option<&str>,
    name: Option<&str>,
) -> pgrx::composite_type!('static, "kronos.payload_spec_details") {
    or_raise((|| {
        let (workspace, name) = (needed("workspace", workspace)?, needed("name", name)?);
        let workspace_id = job::find_workspace(workspace)?;
        payload_spec_row(endpoint::find_payload_spec(workspace_id, workspace, name)?)
    })())
}

const LIST: &str = "
select d
from kronos.payload_spec_details d
where d.workspace_id = $1 and ($2 is null or d.payload_spec_id < $2)
order by d.payload_spec_id desc
limit $3";

/// The payload specs of a workspace, newest first.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn list_payload_specs(
    workspace: Option<&str>,
    max: default!(Option<i32>, "100"),
    after_cursor: default!(Option<&str>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.payload_spec_details")> {
    SetOfIterator::new(or_raise((|| {
        let workspace_id = job::find_workspace(needed("workspace", workspace)?)?;
        let Page { max, after } = page(max, after_cursor)?;
        sql::composites(LIST, &[workspace_id.into(), after.into(), max.into()])
    })()))
}
