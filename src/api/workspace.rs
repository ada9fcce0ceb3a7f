//! Workspaces.

use super::{TableRow, needed};
use crate::error::{self, KronosError, Result, or_raise};
use crate::{job, sql};
use pgrx::prelude::*;
use serde_json::json;

/// Makes a workspace.
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn create_workspace(name: Option<&str>) -> pgrx::composite_type!('static, "kronos.workspaces") {
    or_raise(create(name))
}

fn create(name: Option<&str>) -> Result<TableRow> {
    let name = needed("name", name)?;
    job::check_length("name", name, 200)?;
    sql::composite(
        "insert into kronos.workspaces as w (name) values ($1) on conflict (name) do nothing returning w",
        &[name.into()],
    )?
    .ok_or_else(|| {
        KronosError::new(
            &error::WORKSPACE_EXISTS,
            format!("workspace {name:?} exists already"),
            json!({ "workspace": name }),
        )
    })
}
