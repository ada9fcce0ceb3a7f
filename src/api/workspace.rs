//! Workspaces.

use super::{TableRow, fetch, needed};
use crate::error::{self, KronosError, Result, or_raise};
use crate::{job, sql};
use pgrx::datum::Interval;
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

/// Sets for how long a workspace keeps its history.
#[pg_extern(security_definer, requires = ["tables"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn set_retention(
    workspace: Option<&str>,
    executions: default!(Option<Interval>, "NULL"),
    jobs: default!(Option<Interval>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.workspaces") {
    or_raise((|| {
        let workspace_id = job::find_workspace(needed("workspace", workspace)?)?;
        sql::convert_errors(
            || {
                fetch(
                    SET_RETENTION,
                    &[workspace_id.into(), executions.into(), jobs.into()],
                )
            },
            |report| {
                let refused = report
                    .message()
                    .contains("workspaces_retention_at_least_a_day");
                refused.then(|| {
                    KronosError::new(
                        &error::INVALID_ARGUMENT,
                        "executions and jobs must be at least 1 day",
                        json!({ "argument": "executions, jobs" }),
                    )
                })
            },
        )
    })())
}

const SET_RETENTION: &str = "
update kronos.workspaces w
set execution_retention = coalesce($2, execution_retention), job_retention = coalesce($3, job_retention)
where workspace_id = $1
returning w";
