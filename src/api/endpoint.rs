//! Endpoints.

use super::Result;
use crate::args::{length, page_size, require};
use crate::authority::{self, Authorised, Capability, authorise, authorise_or_create};
use crate::endpoint::{self, Changes, Limits, NewEndpoint};
use crate::error;
use crate::execution;
use crate::id::EndpointId;
use crate::sql::Jsonb;
use pgrx::datum::Interval;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;

/// Creates an endpoint.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::too_many_arguments, reason = "SQL passes them by name")]
fn create_endpoint(
    name: Option<&str>,
    endpoint_type: Option<&str>,
    spec: default!(Option<Jsonb>, "'{}'"),
    retry_policy: default!(Option<Jsonb>, "'{}'"),
    attempt_timeout: default!(Option<Interval>, "NULL"),
    payload_spec: default!(Option<&str>, "NULL"),
    on_failure: default!(Option<&str>, "NULL"),
    if_not_exists: default!(Option<bool>, "false"),
    max_concurrent: default!(Option<i32>, "NULL"),
    rate_limit: default!(Option<i32>, "NULL"),
    rate_interval: default!(Option<Interval>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.endpoints")> {
    let new = NewEndpoint {
        name: require("name", name)?,
        endpoint_type: require("endpoint_type", endpoint_type)?,
        spec: require("spec", spec)?,
        retry_policy: require("retry_policy", retry_policy)?,
        attempt_timeout,
        payload_spec,
        on_failure,
        run_as: None,
        limits: Limits {
            max_concurrent,
            rate_limit,
            rate_interval,
        },
    };
    let if_not_exists = require("if_not_exists", if_not_exists)?;
    Ok(authorise_or_create(
        workspace,
        Capability::Admin,
        |workspace| endpoint::row(workspace, endpoint::create(workspace, new, if_not_exists)?),
    )?)
}

/// Changes an endpoint; see [`endpoint::update`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::too_many_arguments, reason = "SQL passes them by name")]
fn update_endpoint(
    name: Option<&str>,
    spec: default!(Option<Jsonb>, "NULL"),
    retry_policy: default!(Option<Jsonb>, "NULL"),
    attempt_timeout: default!(Option<Interval>, "NULL"),
    payload_spec: default!(Option<&str>, "NULL"),
    on_failure: default!(Option<&str>, "NULL"),
    new_name: default!(Option<&str>, "NULL"),
    max_concurrent: default!(Option<i32>, "NULL"),
    rate_limit: default!(Option<i32>, "NULL"),
    rate_interval: default!(Option<Interval>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.endpoints")> {
    let changes = Changes {
        name: new_name,
        spec,
        retry_policy,
        attempt_timeout,
        payload_spec,
        on_failure,
        limits: Limits {
            max_concurrent,
            rate_limit,
            rate_interval,
        },
    };
    let name = require("name", name)?;
    Ok(authorise(workspace, Capability::Admin, |workspace| {
        let has_limits = changes.limits.is_given();
        let endpoint_id = endpoint::update(workspace, name, changes)?;
        if has_limits {
            // A higher limit lets executions start.
            notify(workspace, endpoint_id)?;
        }
        endpoint::row(workspace, endpoint_id)
    })?)
}

/// Deletes an endpoint; see [`endpoint::delete`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn delete_endpoint(
    name: Option<&str>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.endpoints")> {
    let name = require("name", name)?;
    Ok(authorise(workspace, Capability::Admin, |workspace| {
        endpoint::row(workspace, endpoint::delete(workspace, name)?)
    })?)
}

/// Pauses an endpoint; see [`endpoint::pause`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn pause_endpoint(
    name: Option<&str>,
    reason: default!(Option<&str>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.endpoints")> {
    let name = require("name", name)?;
    let paused_by = authority::caller();
    Ok(authorise(workspace, Capability::Admin, |workspace| {
        endpoint::row(
            workspace,
            endpoint::pause(workspace, name, reason, paused_by)?,
        )
    })?)
}

/// Resumes an endpoint; see [`endpoint::resume`].
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn resume_endpoint(
    name: Option<&str>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.endpoints")> {
    let name = require("name", name)?;
    Ok(authorise(workspace, Capability::Admin, |workspace| {
        let endpoint_id = endpoint::resume(workspace, name)?;
        notify(workspace, endpoint_id)?;
        endpoint::row(workspace, endpoint_id)
    })?)
}

/// Notifies workers that executions of an endpoint may start.
fn notify(workspace: &Authorised, endpoint_id: EndpointId) -> error::Result<()> {
    let is_sql = endpoint::find_by_id(endpoint_id)?.is_sql();
    execution::notify_of_endpoint(workspace.workspace_id, is_sql);
    Ok(())
}

/// One endpoint.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn get_endpoint(
    name: Option<&str>,
    workspace: default!(Option<&str>, "NULL"),
) -> Result<pgrx::composite_type!('static, "kronos.endpoints")> {
    let name = require("name", name)?;
    Ok(authorise(workspace, Capability::Viewer, |workspace| {
        endpoint::row(workspace, endpoint::find(workspace, name)?.endpoint_id)
    })?)
}

/// The live endpoints of a workspace, newest first.
#[pg_extern(schema = "kronos", requires = ["views"])]
#[search_path(pg_catalog, pg_temp)]
fn list_endpoints(
    endpoint_type: default!(Option<&str>, "NULL"),
    max: default!(Option<i32>, "100"),
    after: default!(Option<EndpointId>, "NULL"),
    workspace: default!(Option<&str>, "NULL"),
) -> Result<SetOfIterator<'static, pgrx::composite_type!('static, "kronos.endpoints")>> {
    if let Some(endpoint_type) = endpoint_type {
        length("endpoint_type", endpoint_type, 100)?;
    }
    let listed = authorise(workspace, Capability::Viewer, |workspace| {
        let max = page_size(max)?;
        endpoint::list(workspace, endpoint_type, max, after)
    })?;
    Ok(SetOfIterator::new(listed))
}
