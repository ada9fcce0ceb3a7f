//! Declared sets of jobs, for deployments.

use super::jobs::NewJob;
use crate::App;
use crate::answer::Answer;
use crate::database::Call;
use crate::problem::Problem;
use crate::request::{Body, Caller, Path, Query};
use crate::rows::CrontabChange;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(apply))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OfSet {
    /// The name of the workspace.
    workspace: String,
    /// The name of the set.
    set_name: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DryRun {
    /// Makes every change and rolls it back.
    dry_run: Option<bool>,
}

/// Creates, updates, resumes and retires the jobs of a set until they match the array. Each needs a name, and none may
/// have if_not_exists.
#[utoipa::path(
    put, path = "/workspaces/{workspace}/crontabs/{set_name}", tag = "jobs", operation_id = "apply_crontab",
    params(OfSet, DryRun), request_body = Vec<NewJob>,
    responses((status = 200, description = "What happens to each job", body = Vec<CrontabChange>))
)]
async fn apply(
    caller: Caller,
    Path(of): Path<OfSet>,
    Query(DryRun { dry_run }): Query<DryRun>,
    Body(jobs): Body<Box<RawValue>>,
) -> Result<Answer, Problem> {
    let call = Call::function("apply_crontab")
        .arg("workspace", "text", of.workspace)
        .arg("set_name", "text", of.set_name)
        .arg("jobs", "jsonb", jobs)
        .maybe("dry_run", "boolean", dry_run);
    Answer::rows(caller.rows(call).await?)
}
