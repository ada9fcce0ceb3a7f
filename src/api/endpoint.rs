//! Endpoints.

use super::listing::{Page, page};
use super::{TableRow, fetch, needed};
use crate::endpoint::{self, Changes, NewEndpoint};
use crate::error::{Result, or_raise};
use crate::{job, sql};
use pgrx::datum::Interval;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};

fn endpoint_row(endpoint_id: Uuid) -> Result<TableRow> {
    fetch(
        "select d from kronos.endpoint_details d where endpoint_id = $1",
        &[endpoint_id.into()],
    )
}

/// Makes an endpoint in a workspace. (Its SQL is written out because pgrx cannot name an argument `type`.)
#[pg_extern(
    requires = ["views"],
    sql = "
create function kronos.create_endpoint(workspace text, name text, type text, spec jsonb default '{}',
                                       retry_policy jsonb default '{}', attempt_timeout interval default null,
                                       payload_spec text default null)
returns kronos.endpoint_details
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
    retry_policy: Option<JsonB>,
    attempt_timeout: Option<Interval>,
    payload_spec: Option<&str>,
) -> pgrx::composite_type!('static, "kronos.endpoint_details") {
    or_raise((|| {
        endpoint_row(endpoint::create(NewEndpoint {
            workspace: needed("workspace", workspace)?,
            name: needed("name", name)?,
            kind: needed("type", kind)?,
            spec: needed("spec", spec)?,
            retry_policy: needed("retry_policy", retry_policy)?,
            attempt_timeout,
            payload_spec,
        })?)
    })())
}

/// Changes an endpoint; see [`endpoint::update`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn update_endpoint(
    workspace: Option<&str>,
    name: Option<&str>,
    spec: default!(Option<JsonB>, "NULL"),
    retry_policy: default!(Option<JsonB>, "NULL"),
    attempt_timeout: default!(Option<Interval>, "NULL"),
    payload_spec: default!(Option<&str>, "NULL"),
    new_name: default!(Option<&str>, "NULL"),
) -> pgrx::composite_type!('static, "kronos.endpoint_details") {
    let changes = Changes {
        name: new_name,
        spec,
        retry_policy,
        attempt_timeout,
        payload_spec,
    };
    or_raise((|| {
        endpoint_row(endpoint::update(
            needed("workspace", workspace)?,
            needed("name", name)?,
            changes,
        )?)
    })())
}

/// Deletes an endpoint; see [`endpoint::delete`].
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn delete_endpoint(
    workspace: Option<&str>,
    name: Option<&str>,
) -> pgrx::composite_type!('static, "kronos.endpoint_details") {
    or_raise((|| {
        endpoint_row(endpoint::delete(
            needed("workspace", workspace)?,
            needed("name", name)?,
        )?)
    })())
}

/// One endpoint.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn get_endpoint(
    workspace: Option<&str>,
    name: Option<&str>,
) -> pgrx::composite_type!('static, "kronos.endpoint_details") {
    or_raise((|| {
        let workspace = needed("workspace", workspace)?;
        let workspace_id = job::find_workspace(workspace)?;
        let found = endpoint::find(workspace_id, workspace, needed("name", name)?)?;
        endpoint_row(found.endpoint_id)
    })())
}

const LIST: &str = "
select d
from kronos.endpoint_details d
where d.workspace_id = $1 and d.deleted_at is null and ($4 is null or d.type = $4)
  and ($2 is null or d.endpoint_id < $2)
order by d.endpoint_id desc
limit $3";

/// The endpoints of a workspace, newest first.
#[pg_extern(security_definer, requires = ["views"])]
#[search_path(pg_catalog, kronos, pg_temp)]
fn list_endpoints(
    workspace: Option<&str>,
    endpoint_type: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after_cursor: default!(Option<&str>, "NULL"),
) -> SetOfIterator<'static, pgrx::composite_type!('static, "kronos.endpoint_details")> {
    SetOfIterator::new(or_raise((|| {
        let workspace_id = job::find_workspace(needed("workspace", workspace)?)?;
        let Page { max, after } = page(max, after_cursor)?;
        sql::composites(
            LIST,
            &[
                workspace_id.into(),
                after.into(),
                max.into(),
                endpoint_type.into(),
            ],
        )
    })()))
}
