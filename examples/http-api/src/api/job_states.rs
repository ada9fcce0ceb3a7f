//! What can be done to a cron job as a whole: pause, resume, cancel, trigger, backfill.

use super::{IdempotencyHeader, OfJob};
use crate::App;
use crate::answer::Answer;
use crate::fields::Timestamp;
use crate::headers::IdempotencyKey;
use crate::problem::Problem;
use crate::request::{Body, Caller, OptionalBody, Path};
use crate::rows::{BackfilledTick, EnqueuedExecution, Job, Time};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(trigger))
        .routes(routes!(backfill))
}

/// Cancels a job, and removes its pg_cron entry unless another job uses it.
#[utoipa::path(
    delete, path = "/workspaces/{workspace}/jobs/{job_id}", tag = "jobs", operation_id = "cancel_job", params(OfJob),
    responses((status = 200, description = "The retired job", body = Job, headers(("ETag"))))
)]
async fn cancel(caller: Caller, Path(of): Path<OfJob>) -> Result<Answer, Problem> {
    Answer::job(caller.row(of.call("cancel_cron_job")).await?)
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: Option<String>,
}

/// Pauses a job.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/jobs/{job_id}/pause", tag = "jobs", operation_id = "pause_job",
    params(OfJob), request_body = Option<Pause>,
    responses((status = 200, description = "The paused job", body = Job, headers(("ETag"))))
)]
async fn pause(
    caller: Caller,
    Path(of): Path<OfJob>,
    OptionalBody(pause): OptionalBody<Pause>,
) -> Result<Answer, Problem> {
    let call = of
        .call("pause_cron_job")
        .maybe("reason", "text", pause.reason);
    Answer::job(caller.row(call).await?)
}

/// Resumes a paused job.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/jobs/{job_id}/resume", tag = "jobs", operation_id = "resume_job",
    params(OfJob), responses((status = 200, description = "The job", body = Job, headers(("ETag"))))
)]
async fn resume(caller: Caller, Path(of): Path<OfJob>) -> Result<Answer, Problem> {
    Answer::job(caller.row(of.call("resume_cron_job")).await?)
}

/// Runs a job now, outside its schedule.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/jobs/{job_id}/trigger", tag = "jobs", operation_id = "trigger_job",
    params(OfJob, IdempotencyHeader),
    responses((status = 201, description = "A new execution", body = EnqueuedExecution, headers(("Location"))),
              (status = 200, description = "The execution existed already", body = EnqueuedExecution))
)]
async fn trigger(
    caller: Caller,
    Path(of): Path<OfJob>,
    key: IdempotencyKey,
) -> Result<Answer, Problem> {
    let call = of
        .call("trigger_cron_job")
        .maybe("idempotency_key", "text", key.0);
    Answer::made(&of.workspace, caller.row(call).await?)
}

/// The past ticks to run: `tick_from` <= tick < `tick_before`, which is now if left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    #[schema(value_type = Time)]
    tick_from: Timestamp,
    #[schema(value_type = Option<Time>)]
    tick_before: Option<Timestamp>,
    dry_run: Option<bool>,
}

/// Runs a job for past ticks that are not in the ledger.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/jobs/{job_id}/backfill", tag = "jobs", operation_id = "backfill_job",
    params(OfJob), request_body = Backfill,
    responses((status = 200, description = "The ticks of the range", body = Vec<BackfilledTick>))
)]
async fn backfill(
    caller: Caller,
    Path(of): Path<OfJob>,
    Body(range): Body<Backfill>,
) -> Result<Answer, Problem> {
    let call = of
        .call("backfill_cron_job")
        .arg("tick_from", "timestamptz", range.tick_from)
        .maybe("tick_before", "timestamptz", range.tick_before)
        .maybe("dry_run", "boolean", range.dry_run);
    Answer::rows(caller.rows(call).await?)
}
