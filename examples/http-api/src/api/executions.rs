//! Executions: enqueue, read, and what an operator does to them.

use super::{IdempotencyHeader, InWorkspace, OfExecution, OfJob, TraceHeader};
use crate::App;
use crate::answer::{Answer, page_size};
use crate::database::Call;
use crate::fields::{Json, Timestamp};
use crate::headers::{IdempotencyKey, Traceparent};
use crate::problem::Problem;
use crate::request::{Body, Caller, OptionalBody, Path, Query};
use crate::rows::{Attempt, AttemptOutcome, EnqueuedExecution, Execution, ExecutionStatus};
use crate::rows::{LogLevel, LogLine, OnConflict, Origin, Page, Time};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(enqueue, list))
        .routes(routes!(list_of_job))
        .routes(routes!(get))
        .routes(routes!(attempts))
        .routes(routes!(logs))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(reschedule))
}

/// The arguments of `enqueue`. A field that is null counts as left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewExecution {
    endpoint: String,
    #[schema(value_type = Option<Value>)]
    input: Json,
    #[schema(value_type = Option<Time>)]
    run_at: Option<Timestamp>,
    #[schema(minimum = 0, maximum = 9)]
    priority: Option<i32>,
    #[schema(value_type = Option<Object>)]
    metadata: Json,
    #[schema(min_length = 1, max_length = 200)]
    concurrency_key: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    key: Option<String>,
    #[schema(value_type = Option<OnConflict>)]
    on_conflict: Option<String>,
}

/// Enqueues one execution without a job.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/executions", tag = "executions", operation_id = "enqueue",
    params(InWorkspace, IdempotencyHeader, TraceHeader), request_body = NewExecution,
    responses((status = 201, description = "A new execution", body = EnqueuedExecution, headers(("Location"))),
              (status = 200, description = "The execution existed already", body = EnqueuedExecution))
)]
async fn enqueue(
    caller: Caller,
    Path(of): Path<InWorkspace>,
    key: IdempotencyKey,
    traceparent: Traceparent,
    Body(new): Body<NewExecution>,
) -> Result<Answer, Problem> {
    let metadata = traceparent.add_to(new.metadata);
    let call = Call::function("enqueue")
        .arg("workspace", "text", &of.workspace)
        .arg("endpoint", "text", new.endpoint)
        .maybe("input", "jsonb", new.input)
        .maybe("run_at", "timestamptz", new.run_at)
        .maybe("priority", "integer", new.priority)
        .maybe("metadata", "jsonb", metadata)
        .maybe("concurrency_key", "text", new.concurrency_key)
        .maybe("key", "text", new.key)
        .maybe("on_conflict", "text", new.on_conflict)
        .maybe("idempotency_key", "text", key.0);
    Answer::made(&of.workspace, caller.row(call).await?)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExecutionFilter {
    #[param(value_type = Option<ExecutionStatus>, inline)]
    status: Option<String>,
    #[param(value_type = Option<Origin>, inline)]
    origin: Option<String>,
    endpoint_type: Option<String>,
    #[param(value_type = Option<Time>, inline)]
    created_from: Option<Timestamp>,
    #[param(value_type = Option<Time>, inline)]
    created_before: Option<Timestamp>,
    /// How many rows to return; 100 if left out.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<i32>,
    /// `next` of the page before.
    after: Option<Uuid>,
}

impl ExecutionFilter {
    async fn list(self, caller: Caller, call: Call) -> Result<Answer, Problem> {
        let call = call
            .maybe("status", "text", self.status)
            .maybe("origin", "text", self.origin)
            .maybe("endpoint_type", "text", self.endpoint_type)
            .maybe("created_from", "timestamptz", self.created_from)
            .maybe("created_before", "timestamptz", self.created_before)
            .arg("max", "integer", page_size(self.max))
            .maybe("after", "uuid", self.after);
        Answer::page(caller.rows(call).await?, self.max, "execution_id")
    }
}

/// Lists the executions of a workspace, newest first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/executions", tag = "executions", operation_id = "list_executions",
    params(InWorkspace, ExecutionFilter),
    responses((status = 200, description = "The executions", body = Page<Execution>))
)]
async fn list(
    caller: Caller,
    Path(of): Path<InWorkspace>,
    Query(filter): Query<ExecutionFilter>,
) -> Result<Answer, Problem> {
    let call = Call::function("list_executions").arg("workspace", "text", of.workspace);
    filter.list(caller, call).await
}

/// Lists the executions of a job in all its versions, newest first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/jobs/{job_id}/executions", tag = "jobs", operation_id = "list_job_executions",
    params(OfJob, ExecutionFilter),
    responses((status = 200, description = "The executions", body = Page<Execution>))
)]
async fn list_of_job(
    caller: Caller,
    Path(of): Path<OfJob>,
    Query(filter): Query<ExecutionFilter>,
) -> Result<Answer, Problem> {
    filter.list(caller, of.call("list_executions")).await
}

impl OfExecution {
    /// A call of a function about the execution.
    fn call(&self, function: &'static str) -> Call {
        Call::function(function)
            .arg("workspace", "text", &self.workspace)
            .arg("execution_id", "uuid", self.execution_id)
    }
}

/// Returns an execution with its last attempt.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/executions/{execution_id}", tag = "executions",
    operation_id = "get_execution", params(OfExecution),
    responses((status = 200, description = "The execution", body = Execution))
)]
async fn get(caller: Caller, Path(of): Path<OfExecution>) -> Result<Answer, Problem> {
    Ok(Answer::row(caller.row(of.call("get_execution")).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AttemptFilter {
    #[param(value_type = Option<AttemptOutcome>, inline)]
    outcome: Option<String>,
    /// How many rows to return; 100 if left out.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<i32>,
    /// `next` of the page before.
    after: Option<i32>,
}

/// Lists the attempts of an execution, oldest first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/executions/{execution_id}/attempts", tag = "executions",
    operation_id = "list_attempts", params(OfExecution, AttemptFilter),
    responses((status = 200, description = "The attempts", body = Page<Attempt>))
)]
async fn attempts(
    caller: Caller,
    Path(of): Path<OfExecution>,
    Query(filter): Query<AttemptFilter>,
) -> Result<Answer, Problem> {
    let call = of
        .call("list_attempts")
        .maybe("outcome", "text", filter.outcome)
        .arg("max", "integer", page_size(filter.max))
        .maybe("after", "integer", filter.after);
    Answer::page(caller.rows(call).await?, filter.max, "attempt")
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LogFilter {
    attempt: Option<i32>,
    #[param(value_type = Option<LogLevel>, inline)]
    level: Option<String>,
    /// How many rows to return; 100 if left out.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<i32>,
    /// `next` of the page before.
    after: Option<i32>,
}

/// Lists the log of an execution, oldest line first.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/executions/{execution_id}/logs", tag = "executions",
    operation_id = "list_logs", params(OfExecution, LogFilter),
    responses((status = 200, description = "The lines", body = Page<LogLine>))
)]
async fn logs(
    caller: Caller,
    Path(of): Path<OfExecution>,
    Query(filter): Query<LogFilter>,
) -> Result<Answer, Problem> {
    let call = of
        .call("list_logs")
        .maybe("attempt", "integer", filter.attempt)
        .maybe("level", "text", filter.level)
        .arg("max", "integer", page_size(filter.max))
        .maybe("after", "integer", filter.after);
    Answer::page(caller.rows(call).await?, filter.max, "line")
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Cancel {
    /// Asks the worker of a running execution to stop.
    request_stop: Option<bool>,
}

/// Cancels a waiting execution.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/executions/{execution_id}/cancel", tag = "executions",
    operation_id = "cancel_execution", params(OfExecution), request_body = Option<Cancel>,
    responses((status = 200, description = "The execution", body = Execution))
)]
async fn cancel(
    caller: Caller,
    Path(of): Path<OfExecution>,
    OptionalBody(body): OptionalBody<Cancel>,
) -> Result<Answer, Problem> {
    let call = of
        .call("cancel_execution")
        .maybe("request_stop", "boolean", body.request_stop);
    Ok(Answer::row(caller.row(call).await?))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[schema(value_type = Option<Time>)]
    run_at: Option<Timestamp>,
}

/// Runs an execution that failed or was cancelled again.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/executions/{execution_id}/retry", tag = "executions",
    operation_id = "retry_execution", params(OfExecution), request_body = Option<Retry>,
    responses((status = 200, description = "The execution", body = Execution))
)]
async fn retry(
    caller: Caller,
    Path(of): Path<OfExecution>,
    OptionalBody(body): OptionalBody<Retry>,
) -> Result<Answer, Problem> {
    let call = of
        .call("retry_execution")
        .maybe("run_at", "timestamptz", body.run_at);
    Ok(Answer::row(caller.row(call).await?))
}

/// When and how urgently a waiting execution starts. A field that is left out keeps its value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reschedule {
    #[schema(value_type = Option<Time>)]
    run_at: Option<Timestamp>,
    #[schema(minimum = 0, maximum = 9)]
    priority: Option<i32>,
}

/// Changes when and how urgently a waiting execution starts.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/executions/{execution_id}/reschedule", tag = "executions",
    operation_id = "reschedule_execution", params(OfExecution), request_body = Reschedule,
    responses((status = 200, description = "The execution", body = Execution))
)]
async fn reschedule(
    caller: Caller,
    Path(of): Path<OfExecution>,
    Body(body): Body<Reschedule>,
) -> Result<Answer, Problem> {
    let call = of
        .call("reschedule_execution")
        .maybe("run_at", "timestamptz", body.run_at)
        .maybe("priority", "integer", body.priority);
    Ok(Answer::row(caller.row(call).await?))
}
