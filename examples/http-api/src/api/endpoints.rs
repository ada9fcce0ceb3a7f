//! Endpoints: where executions run.

use super::InWorkspace;
use super::job_states::Pause;
use crate::App;
use crate::answer::{Answer, page_size};
use crate::database::Call;
use crate::fields::{Json, Patch, not_null};
use crate::problem::Problem;
use crate::request::{Body, Caller, OptionalBody, Path, Query};
use crate::rows::{Endpoint, Interval, Page};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfEndpoint {
    /// The name of the workspace.
    workspace: String,
    /// The name of the endpoint.
    endpoint: String,
}

impl OfEndpoint {
    /// A call of a function about the endpoint.
    fn call(&self, function: &'static str) -> Call {
        Call::function(function)
            .arg("workspace", "text", &self.workspace)
            .arg("name", "text", &self.endpoint)
    }
}

/// The arguments of `create_endpoint`. A field that is null counts as left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEndpoint {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(min_length = 1, max_length = 100)]
    endpoint_type: String,
    #[schema(value_type = Option<Object>)]
    spec: Json,
    #[schema(value_type = Option<Object>)]
    retry_policy: Json,
    #[schema(value_type = Option<Interval>)]
    attempt_timeout: Option<String>,
    payload_spec: Option<String>,
    on_failure: Option<String>,
    max_concurrent: Option<i32>,
    rate_limit: Option<i32>,
    #[schema(value_type = Option<Interval>)]
    rate_interval: Option<String>,
}

/// Creates an endpoint.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/endpoints", tag = "endpoints", operation_id = "create_endpoint",
    params(InWorkspace), request_body = NewEndpoint,
    responses((status = 201, description = "The new endpoint", body = Endpoint))
)]
async fn create(
    caller: Caller,
    Path(of): Path<InWorkspace>,
    Body(new): Body<NewEndpoint>,
) -> Result<Answer, Problem> {
    let call = Call::function("create_endpoint")
        .arg("workspace", "text", of.workspace)
        .arg("name", "text", new.name)
        .arg("endpoint_type", "text", new.endpoint_type)
        .maybe("spec", "jsonb", new.spec)
        .maybe("retry_policy", "jsonb", new.retry_policy)
        .maybe("attempt_timeout", "interval", new.attempt_timeout)
        .maybe("payload_spec", "text", new.payload_spec)
        .maybe("on_failure", "text", new.on_failure)
        .maybe("max_concurrent", "integer", new.max_concurrent)
        .maybe("rate_limit", "integer", new.rate_limit)
        .maybe("rate_interval", "interval", new.rate_interval);
    Ok(Answer::created(caller.row(call).await?))
}

/// The arguments of `update_endpoint`. A field that is left out keeps its value; null clears it, where it can be cleared.
/// null for `rate_limit` also clears `rate_interval`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EndpointChanges {
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Object, required = false)]
    spec: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Object, required = false)]
    retry_policy: Option<Box<RawValue>>,
    #[serde(default)]
    #[schema(value_type = Option<Interval>)]
    attempt_timeout: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    payload_spec: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    on_failure: Patch<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    new_name: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<i32>)]
    max_concurrent: Patch<i32>,
    #[serde(default)]
    #[schema(value_type = Option<i32>)]
    rate_limit: Patch<i32>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Interval, required = false)]
    rate_interval: Option<String>,
}

/// Updates an endpoint.
#[utoipa::path(
    patch, path = "/workspaces/{workspace}/endpoints/{endpoint}", tag = "endpoints", operation_id = "update_endpoint",
    params(OfEndpoint), request_body = EndpointChanges,
    responses((status = 200, description = "The endpoint", body = Endpoint))
)]
async fn update(
    caller: Caller,
    Path(of): Path<OfEndpoint>,
    Body(changes): Body<EndpointChanges>,
) -> Result<Answer, Problem> {
    let call = of
        .call("update_endpoint")
        .maybe("spec", "jsonb", changes.spec)
        .maybe("retry_policy", "jsonb", changes.retry_policy)
        .patch("attempt_timeout", "interval", changes.attempt_timeout, "0")
        .patch("payload_spec", "text", changes.payload_spec, "")
        .patch("on_failure", "text", changes.on_failure, "")
        .maybe("new_name", "text", changes.new_name)
        .patch("max_concurrent", "integer", changes.max_concurrent, "0")
        .patch("rate_limit", "integer", changes.rate_limit, "0")
        .maybe("rate_interval", "interval", changes.rate_interval);
    Ok(Answer::row(caller.row(call).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EndpointFilter {
    #[param(min_length = 1, max_length = 100)]
    endpoint_type: Option<String>,
    /// How many rows to return; 100 if left out.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<i32>,
    /// `next` of the page before.
    after: Option<Uuid>,
}

/// Lists the endpoints of a workspace, newest first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/endpoints", tag = "endpoints", operation_id = "list_endpoints",
    params(InWorkspace, EndpointFilter),
    responses((status = 200, description = "The endpoints", body = Page<Endpoint>))
)]
async fn list(
    caller: Caller,
    Path(of): Path<InWorkspace>,
    Query(filter): Query<EndpointFilter>,
) -> Result<Answer, Problem> {
    let call = Call::function("list_endpoints")
        .arg("workspace", "text", of.workspace)
        .maybe("endpoint_type", "text", filter.endpoint_type)
        .arg("max", "integer", page_size(filter.max))
        .maybe("after", "uuid", filter.after);
    Answer::page(caller.rows(call).await?, filter.max, "endpoint_id")
}

/// Returns an endpoint.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/endpoints/{endpoint}", tag = "endpoints", operation_id = "get_endpoint",
    params(OfEndpoint), responses((status = 200, description = "The endpoint", body = Endpoint))
)]
async fn get(caller: Caller, Path(of): Path<OfEndpoint>) -> Result<Answer, Problem> {
    Ok(Answer::row(caller.row(of.call("get_endpoint")).await?))
}

/// Deletes an endpoint, unless a live job uses it.
#[utoipa::path(
    delete, path = "/workspaces/{workspace}/endpoints/{endpoint}", tag = "endpoints",
    operation_id = "delete_endpoint", params(OfEndpoint),
    responses((status = 200, description = "The deleted endpoint", body = Endpoint))
)]
async fn delete(caller: Caller, Path(of): Path<OfEndpoint>) -> Result<Answer, Problem> {
    Ok(Answer::row(caller.row(of.call("delete_endpoint")).await?))
}

/// Pauses an endpoint: none of its executions starts.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/endpoints/{endpoint}/pause", tag = "endpoints",
    operation_id = "pause_endpoint", params(OfEndpoint), request_body = Option<Pause>,
    responses((status = 200, description = "The paused endpoint", body = Endpoint))
)]
async fn pause(
    caller: Caller,
    Path(of): Path<OfEndpoint>,
    OptionalBody(pause): OptionalBody<Pause>,
) -> Result<Answer, Problem> {
    let call = of
        .call("pause_endpoint")
        .maybe("reason", "text", pause.reason);
    Ok(Answer::row(caller.row(call).await?))
}

/// Resumes a paused endpoint.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/endpoints/{endpoint}/resume", tag = "endpoints",
    operation_id = "resume_endpoint", params(OfEndpoint),
    responses((status = 200, description = "The endpoint", body = Endpoint))
)]
async fn resume(caller: Caller, Path(of): Path<OfEndpoint>) -> Result<Answer, Problem> {
    Ok(Answer::row(caller.row(of.call("resume_endpoint")).await?))
}
