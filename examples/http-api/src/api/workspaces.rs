//! Workspaces, and what an operator looks at first in each: queues, failing jobs, stuck executions.

use super::{InWorkspace, PageById};
use crate::App;
use crate::answer::{Answer, page_size};
use crate::database::Call;
use crate::problem::Problem;
use crate::request::{Caller, Path, Query};
use crate::rows::{FailingJob, Page, Queue, StuckExecution, Workspace};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(queues))
        .routes(routes!(failing_jobs))
        .routes(routes!(stuck_executions))
}

/// Lists the workspaces that the token's role may see, newest first.
#[utoipa::path(
    get, path = "/workspaces", tag = "workspaces", operation_id = "list_workspaces", params(PageById),
    responses((status = 200, description = "The workspaces", body = Page<Workspace>))
)]
async fn list(caller: Caller, Query(page): Query<PageById>) -> Result<Answer, Problem> {
    let call = Call::function("list_workspaces")
        .arg("max", "integer", page_size(page.max))
        .maybe("after", "uuid", page.after);
    Answer::page(caller.rows(call).await?, page.max, "workspace_id")
}

/// Returns a workspace.
#[utoipa::path(
    get, path = "/workspaces/{workspace}", tag = "workspaces", operation_id = "get_workspace", params(InWorkspace),
    responses((status = 200, description = "The workspace", body = Workspace))
)]
async fn get(caller: Caller, Path(of): Path<InWorkspace>) -> Result<Answer, Problem> {
    let call = Call::function("get_workspace").arg("name", "text", of.workspace);
    Ok(Answer::row(caller.row(call).await?))
}

/// Lists how many executions of each endpoint type wait and run. Empty if the role is not a viewer of the workspace.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/queues", tag = "workspaces", operation_id = "list_queues",
    params(InWorkspace), responses((status = 200, description = "The queues", body = Vec<Queue>))
)]
async fn queues(caller: Caller, Path(of): Path<InWorkspace>) -> Result<Answer, Problem> {
    Answer::rows(caller.rows(Call::view("queues", &of.workspace)).await?)
}

/// Lists the jobs whose newest finished execution failed. Empty if the role is not a viewer of the workspace.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/failing-jobs", tag = "workspaces", operation_id = "list_failing_jobs",
    params(InWorkspace), responses((status = 200, description = "The jobs", body = Vec<FailingJob>))
)]
async fn failing_jobs(caller: Caller, Path(of): Path<InWorkspace>) -> Result<Answer, Problem> {
    Answer::rows(
        caller
            .rows(Call::view("failing_jobs", &of.workspace))
            .await?,
    )
}

/// Lists the executions that wait or run for too long. Empty if the role is not a viewer of the workspace.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/stuck-executions", tag = "workspaces",
    operation_id = "list_stuck_executions", params(InWorkspace),
    responses((status = 200, description = "The executions", body = Vec<StuckExecution>))
)]
async fn stuck_executions(caller: Caller, Path(of): Path<InWorkspace>) -> Result<Answer, Problem> {
    Answer::rows(
        caller
            .rows(Call::view("stuck_executions", &of.workspace))
            .await?,
    )
}
