//! Payload specs.

use super::Result;
use crate::args::{page_size, require};
use crate::authority::{Capability, authorise, authorise_or_create};
use crate::endpoint;
use crate::sql::Jsonb;
use pgrx::Uuid;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// Creates a payload spec; see [`endpoint::create_payload_spec`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn create_payload_spec(
    name: Option<&str>,
    schema: Option<Jsonb>,
    if_not_exists: default!(Option<bool>, "false"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.payload_specs")> {
    let (name, schema) = (require("name", name)?, require("schema", schema)?);
    let if_not_exists = require("if_not_exists", if_not_exists)?;
    Ok(authorise_or_create(
        workspace,
        Capability::Admin,
        |workspace| {
            let created = endpoint::create_payload_spec(workspace, name, schema, if_not_exists)?;
            endpoint::payload_spec_row(created)
        },
    )?)
}

/// Replaces the schema of a payload spec; see [`endpoint::update_payload_spec`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn update_payload_spec(
    name: Option<&str>,
    schema: Option<Jsonb>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.payload_specs")> {
    let (name, schema) = (require("name", name)?, require("schema", schema)?);
    Ok(authorise(workspace, Capability::Admin, |workspace| {
        endpoint::payload_spec_row(endpoint::update_payload_spec(workspace, name, schema)?)
    })?)
}

/// Deletes a payload spec; see [`endpoint::delete_payload_spec`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn delete_payload_spec(
    name: Option<&str>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.payload_specs")> {
    let name = require("name", name)?;
    Ok(authorise(workspace, Capability::Admin, |workspace| {
        let payload_spec_id = endpoint::find_payload_spec(workspace, name)?;
        let deleted = endpoint::payload_spec_row(payload_spec_id)?;
        endpoint::delete_payload_spec(workspace, name, payload_spec_id)?;
        Ok(deleted)
    })?)
}

/// One payload spec.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn get_payload_spec(
    name: Option<&str>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.payload_specs")> {
    let name = require("name", name)?;
    Ok(authorise(workspace, Capability::Viewer, |workspace| {
        endpoint::payload_spec_row(endpoint::find_payload_spec(workspace, name)?)
    })?)
}

/// The payload specs of a workspace, newest first.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn list_payload_specs(
    max: default!(Option<i32>, "100"),
    after: default!(Option<Uuid>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.payload_specs")>> {
    let listed = authorise(workspace, Capability::Viewer, |workspace| {
        let max = page_size(max)?;
        endpoint::list_payload_specs(workspace, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}
