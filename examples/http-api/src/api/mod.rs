//! The routes. Each handler calls one function of Kronos as the caller's role and returns its rows; what a request may
//! do, and what is wrong with it, is the database's to say. Fields of bodies and parameters bear the names of the
//! function's arguments, and docs/reference.md describes them.

mod crontabs;
mod endpoints;
mod executions;
mod job_states;
mod jobs;
mod payload_specs;
mod schedules;
mod service;
mod workspaces;

use crate::App;
use serde::Deserialize;
pub use service::Verdict;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

/// The routes of callers, which need a token.
pub fn callers() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(workspaces::routes())
        .merge(jobs::routes())
        .merge(job_states::routes())
        .merge(crontabs::routes())
        .merge(executions::routes())
        .merge(endpoints::routes())
        .merge(payload_specs::routes())
        .merge(schedules::routes())
        .merge(service::metrics())
}

/// The routes of probes, which need no token and are never refused for load.
pub fn probes() -> OpenApiRouter<Arc<App>> {
    service::probes()
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct InWorkspace {
    /// The name of the workspace.
    workspace: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfJob {
    /// The name of the workspace.
    workspace: String,
    job_id: Uuid,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfExecution {
    /// The name of the workspace.
    workspace: String,
    execution_id: Uuid,
}

/// A page of rows whose cursor is an id.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageById {
    /// How many rows to return; 100 if left out.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<i32>,
    /// `next` of the page before.
    after: Option<Uuid>,
}

/// A page of rows whose cursor is a number.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageByNumber {
    /// How many rows to return; 100 if left out.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<i32>,
    /// `next` of the page before.
    after: Option<i32>,
}

/// The header that makes a repeated request return what the first one created.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes the header")]
struct IdempotencyHeader {
    /// A request that repeats an earlier one, with the same key, returns what the first one created, with 200.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 200)]
    idempotency_key: Option<String>,
}

/// The header that carries the caller's trace into the metadata.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes the header")]
struct TraceHeader {
    /// W3C trace context. Becomes `traceparent` of the metadata, unless they have one. Ignored if it is invalid.
    traceparent: Option<String>,
}
