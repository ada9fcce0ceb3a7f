//! Cron jobs: create, read, update.

use super::{IdempotencyHeader, InWorkspace, OfJob, PageByNumber, TraceHeader};
use crate::App;
use crate::answer::{Answer, page_size};
use crate::database::Call;
use crate::fields::{Json, Patch, Timestamp, not_null};
use crate::headers::{IdempotencyKey, IfMatch, Traceparent};
use crate::problem::Problem;
use crate::request::{Body, Caller, Path, Query};
use crate::rows::{
    CatchupPolicy, CreatedJob, Interval, Job, JobHealth, JobStatus, JobVersion, Page,
};
use crate::rows::{OverlapPolicy, Tick, TickOutcome, Time};
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
        .routes(routes!(get, update))
        .routes(routes!(versions))
        .routes(routes!(ticks))
        .routes(routes!(status))
}

/// The arguments of `create_cron_job`. A field that is null counts as left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    endpoint: String,
    cron: String,
    #[schema(value_type = Option<Value>)]
    input: Json,
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    timezone: Option<String>,
    #[schema(value_type = Option<Time>)]
    starts_at: Option<Timestamp>,
    #[schema(value_type = Option<Time>)]
    ends_at: Option<Timestamp>,
    #[schema(value_type = Option<CatchupPolicy>)]
    catchup_policy: Option<String>,
    #[schema(value_type = Option<Interval>)]
    catchup_window: Option<String>,
    #[schema(value_type = Option<OverlapPolicy>)]
    overlap_policy: Option<String>,
    #[schema(value_type = Option<Interval>)]
    jitter: Option<String>,
    #[schema(minimum = 0, maximum = 9)]
    priority: Option<i32>,
    #[schema(value_type = Option<Object>)]
    metadata: Json,
    on_failure: Option<String>,
    #[schema(minimum = 1, maximum = 1000)]
    max_consecutive_failures: Option<i32>,
    #[schema(min_length = 1, max_length = 200)]
    concurrency_key: Option<String>,
    if_not_exists: Option<bool>,
}

/// Creates a cron job, with its pg_cron entry.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/jobs", tag = "jobs", operation_id = "create_job",
    params(InWorkspace, IdempotencyHeader, TraceHeader), request_body = NewJob,
    responses((status = 201, description = "A new job", body = CreatedJob, headers(("ETag"), ("Location"))),
              (status = 200, description = "The job existed already", body = CreatedJob, headers(("ETag"))))
)]
async fn create(
    caller: Caller,
    Path(of): Path<InWorkspace>,
    key: IdempotencyKey,
    traceparent: Traceparent,
    Body(job): Body<NewJob>,
) -> Result<Answer, Problem> {
    let metadata = traceparent.add_to(job.metadata);
    let call = Call::function("create_cron_job")
        .arg("workspace", "text", &of.workspace)
        .arg("endpoint", "text", job.endpoint)
        .arg("cron", "text", job.cron)
        .maybe("input", "jsonb", job.input)
        .maybe("name", "text", job.name)
        .maybe("timezone", "text", job.timezone)
        .maybe("starts_at", "timestamptz", job.starts_at)
        .maybe("ends_at", "timestamptz", job.ends_at)
        .maybe("catchup_policy", "text", job.catchup_policy)
        .maybe("catchup_window", "interval", job.catchup_window)
        .maybe("overlap_policy", "text", job.overlap_policy)
        .maybe("jitter", "interval", job.jitter)
        .maybe("priority", "integer", job.priority)
        .maybe("metadata", "jsonb", metadata)
        .maybe("on_failure", "text", job.on_failure)
        .maybe(
            "max_consecutive_failures",
            "integer",
            job.max_consecutive_failures,
        )
        .maybe("concurrency_key", "text", job.concurrency_key)
        .maybe("if_not_exists", "boolean", job.if_not_exists)
        .maybe("idempotency_key", "text", key.0);
    Answer::made(&of.workspace, caller.row(call).await?)
}

/// The arguments of `update_cron_job`. A field that is left out keeps its value; null clears it, where it can be cleared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobChanges {
    #[serde(default, deserialize_with = "not_null")]
    #[schema(nullable = false)]
    cron: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(nullable = false)]
    timezone: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Value, required = false)]
    input: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    new_name: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(nullable = false)]
    endpoint: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Time>)]
    starts_at: Patch<Timestamp>,
    #[serde(default)]
    #[schema(value_type = Option<Time>)]
    ends_at: Patch<Timestamp>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = CatchupPolicy, required = false)]
    catchup_policy: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Interval, required = false)]
    catchup_window: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = OverlapPolicy, required = false)]
    overlap_policy: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Interval, required = false)]
    jitter: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(nullable = false, minimum = 0, maximum = 9)]
    priority: Option<i32>,
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Object, required = false)]
    metadata: Option<Box<RawValue>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    on_failure: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 1000)]
    max_consecutive_failures: Patch<i32>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    concurrency_key: Patch<String>,
}

/// Updates a job: its current version ends and the next one begins.
#[utoipa::path(
    patch, path = "/workspaces/{workspace}/jobs/{job_id}", tag = "jobs", operation_id = "update_job",
    params(OfJob, ("If-Match" = Option<String>, Header, description = "The ETag of the version to update, or *")),
    request_body = JobChanges,
    responses((status = 200, description = "The job in its new version", body = Job, headers(("ETag"))))
)]
async fn update(
    caller: Caller,
    Path(of): Path<OfJob>,
    IfMatch(version): IfMatch,
    Body(job): Body<JobChanges>,
) -> Result<Answer, Problem> {
    let call = of
        .call("update_cron_job")
        .maybe("cron", "text", job.cron)
        .maybe("timezone", "text", job.timezone)
        .maybe("input", "jsonb", job.input)
        .maybe("new_name", "text", job.new_name)
        .maybe("endpoint", "text", job.endpoint)
        .patch("starts_at", "timestamptz", job.starts_at, "-infinity")
        .patch("ends_at", "timestamptz", job.ends_at, "infinity")
        .maybe("catchup_policy", "text", job.catchup_policy)
        .maybe("catchup_window", "interval", job.catchup_window)
        .maybe("overlap_policy", "text", job.overlap_policy)
        .maybe("jitter", "interval", job.jitter)
        .maybe("priority", "integer", job.priority)
        .maybe("metadata", "jsonb", job.metadata)
        .patch("on_failure", "text", job.on_failure, "")
        .patch(
            "max_consecutive_failures",
            "integer",
            job.max_consecutive_failures,
            "0",
        )
        .patch("concurrency_key", "text", job.concurrency_key, "")
        .maybe("expected_version", "integer", version);
    let row = caller.row(call).await;
    Answer::job(row.map_err(Problem::of_precondition)?)
}

impl OfJob {
    /// A call of a function about the job.
    pub fn call(&self, function: &'static str) -> Call {
        Call::function(function)
            .arg("workspace", "text", &self.workspace)
            .arg("job_id", "uuid", self.job_id)
    }
}

/// Returns a job in its current version.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/jobs/{job_id}", tag = "jobs", operation_id = "get_job", params(OfJob),
    responses((status = 200, description = "The job", body = Job, headers(("ETag"))))
)]
async fn get(caller: Caller, Path(of): Path<OfJob>) -> Result<Answer, Problem> {
    Answer::job(caller.row(of.call("get_job")).await?)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JobFilter {
    #[param(value_type = Option<JobStatus>, inline)]
    status: Option<String>,
    /// The name of an endpoint.
    endpoint: Option<String>,
    /// How many rows to return; 100 if left out.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<i32>,
    /// `next` of the page before.
    after: Option<Uuid>,
}

/// Lists the jobs of a workspace, newest first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/jobs", tag = "jobs", operation_id = "list_jobs",
    params(InWorkspace, JobFilter), responses((status = 200, description = "The jobs", body = Page<Job>))
)]
async fn list(
    caller: Caller,
    Path(of): Path<InWorkspace>,
    Query(filter): Query<JobFilter>,
) -> Result<Answer, Problem> {
    let call = Call::function("list_jobs")
        .arg("workspace", "text", of.workspace)
        .maybe("status", "text", filter.status)
        .maybe("endpoint", "text", filter.endpoint)
        .arg("max", "integer", page_size(filter.max))
        .maybe("after", "uuid", filter.after);
    Answer::page(caller.rows(call).await?, filter.max, "job_id")
}

/// Lists the versions of a job, newest first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/jobs/{job_id}/versions", tag = "jobs", operation_id = "list_job_versions",
    params(OfJob, PageByNumber), responses((status = 200, description = "The versions", body = Page<JobVersion>))
)]
async fn versions(
    caller: Caller,
    Path(of): Path<OfJob>,
    Query(page): Query<PageByNumber>,
) -> Result<Answer, Problem> {
    let call = of
        .call("list_job_versions")
        .arg("max", "integer", page_size(page.max))
        .maybe("after", "integer", page.after);
    Answer::page(caller.rows(call).await?, page.max, "version")
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TickFilter {
    #[param(value_type = Option<TickOutcome>, inline)]
    outcome: Option<String>,
    #[param(value_type = Option<Time>, inline)]
    tick_from: Option<Timestamp>,
    #[param(value_type = Option<Time>, inline)]
    tick_before: Option<Timestamp>,
    /// How many rows to return; 100 if left out.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<i32>,
    /// `next` of the page before.
    #[param(value_type = Option<Time>, inline)]
    after: Option<Timestamp>,
}

/// Lists the ticks of a job and what became of them, newest first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/jobs/{job_id}/ticks", tag = "jobs", operation_id = "list_ticks",
    params(OfJob, TickFilter), responses((status = 200, description = "The ticks", body = Page<Tick>))
)]
async fn ticks(
    caller: Caller,
    Path(of): Path<OfJob>,
    Query(filter): Query<TickFilter>,
) -> Result<Answer, Problem> {
    let call = of
        .call("list_ticks")
        .maybe("outcome", "text", filter.outcome)
        .maybe("tick_from", "timestamptz", filter.tick_from)
        .maybe("tick_before", "timestamptz", filter.tick_before)
        .arg("max", "integer", page_size(filter.max))
        .maybe("after", "timestamptz", filter.after);
    Answer::page(caller.rows(call).await?, filter.max, "tick_at")
}

/// Returns the health of a job and its recent results.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/jobs/{job_id}/status", tag = "jobs", operation_id = "get_job_status",
    params(OfJob), responses((status = 200, description = "The health", body = JobHealth))
)]
async fn status(caller: Caller, Path(of): Path<OfJob>) -> Result<Answer, Problem> {
    Ok(Answer::row(caller.row(of.call("job_status")).await?))
}
