//! Payload specs: the JSON Schemas that inputs must satisfy.

use super::{InWorkspace, PageById};
use crate::App;
use crate::answer::{Answer, page_size};
use crate::database::Call;
use crate::problem::Problem;
use crate::request::{Body, Caller, Path, Query};
use crate::rows::{Page, PayloadSpec};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfPayloadSpec {
    /// The name of the workspace.
    workspace: String,
    /// The name of the payload spec.
    payload_spec: String,
}

impl OfPayloadSpec {
    /// A call of a function about the payload spec.
    fn call(&self, function: &'static str) -> Call {
        Call::function(function)
            .arg("workspace", "text", &self.workspace)
            .arg("name", "text", &self.payload_spec)
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPayloadSpec {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// A JSON Schema.
    #[schema(value_type = Value)]
    schema: Box<RawValue>,
}

/// Creates a payload spec.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/payload-specs", tag = "payload specs", operation_id = "create_payload_spec",
    params(InWorkspace), request_body = NewPayloadSpec,
    responses((status = 201, description = "The new payload spec", body = PayloadSpec))
)]
async fn create(
    caller: Caller,
    Path(of): Path<InWorkspace>,
    Body(new): Body<NewPayloadSpec>,
) -> Result<Answer, Problem> {
    let call = Call::function("create_payload_spec")
        .arg("workspace", "text", of.workspace)
        .arg("name", "text", new.name)
        .arg("schema", "jsonb", new.schema);
    Ok(Answer::created(caller.row(call).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PayloadSpecChanges {
    /// A JSON Schema.
    #[schema(value_type = Value)]
    schema: Box<RawValue>,
}

/// Replaces the schema of a payload spec.
#[utoipa::path(
    patch, path = "/workspaces/{workspace}/payload-specs/{payload_spec}", tag = "payload specs",
    operation_id = "update_payload_spec", params(OfPayloadSpec), request_body = PayloadSpecChanges,
    responses((status = 200, description = "The payload spec", body = PayloadSpec))
)]
async fn update(
    caller: Caller,
    Path(of): Path<OfPayloadSpec>,
    Body(changes): Body<PayloadSpecChanges>,
) -> Result<Answer, Problem> {
    let call = of
        .call("update_payload_spec")
        .arg("schema", "jsonb", changes.schema);
    Ok(Answer::row(caller.row(call).await?))
}

/// Lists the payload specs of a workspace, newest first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/payload-specs", tag = "payload specs", operation_id = "list_payload_specs",
    params(InWorkspace, PageById),
    responses((status = 200, description = "The payload specs", body = Page<PayloadSpec>))
)]
async fn list(
    caller: Caller,
    Path(of): Path<InWorkspace>,
    Query(page): Query<PageById>,
) -> Result<Answer, Problem> {
    let call = Call::function("list_payload_specs")
        .arg("workspace", "text", of.workspace)
        .arg("max", "integer", page_size(page.max))
        .maybe("after", "uuid", page.after);
    Answer::page(caller.rows(call).await?, page.max, "payload_spec_id")
}

/// Returns a payload spec.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/payload-specs/{payload_spec}", tag = "payload specs",
    operation_id = "get_payload_spec", params(OfPayloadSpec),
    responses((status = 200, description = "The payload spec", body = PayloadSpec))
)]
async fn get(caller: Caller, Path(of): Path<OfPayloadSpec>) -> Result<Answer, Problem> {
    Ok(Answer::row(caller.row(of.call("get_payload_spec")).await?))
}

/// Deletes a payload spec, unless an endpoint uses it.
#[utoipa::path(
    delete, path = "/workspaces/{workspace}/payload-specs/{payload_spec}", tag = "payload specs",
    operation_id = "delete_payload_spec", params(OfPayloadSpec),
    responses((status = 200, description = "The deleted payload spec", body = PayloadSpec))
)]
async fn delete(caller: Caller, Path(of): Path<OfPayloadSpec>) -> Result<Answer, Problem> {
    Ok(Answer::row(
        caller.row(of.call("delete_payload_spec")).await?,
    ))
}
