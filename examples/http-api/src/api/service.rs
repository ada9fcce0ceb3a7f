//! The service itself: health, readiness, metrics.

use crate::App;
use crate::answer::Answer;
use crate::database::{Call, Row};
use crate::problem::Problem;
use crate::prometheus;
use crate::request::Caller;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long a verdict of /ready is good for. Anybody can ask, and the database must not pay for it each time.
const READY_FOR: Duration = Duration::from_secs(1);

pub fn probes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
}

pub fn metrics() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(read_metrics))
}

#[derive(Serialize, ToSchema)]
struct Alive {
    status: &'static str,
}

/// Whether the process is alive. Does not ask the database.
#[utoipa::path(
    get, path = "/health", tag = "service", operation_id = "health", security(()),
    responses((status = 200, description = "Alive", body = Alive))
)]
async fn health() -> Result<Answer, Problem> {
    Answer::of(&Alive { status: "alive" })
}

/// What /ready says, and since when.
pub type Verdict = (Instant, Result<Ready, Problem>);

/// A finding of `kronos.doctor()`. What else it says names roles and settings, so it is not for everybody.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
pub struct Finding {
    severity: String,
    finding: String,
}

#[derive(Clone, Serialize, ToSchema)]
pub struct Ready {
    status: &'static str,
    /// Warnings.
    findings: Vec<Finding>,
}

/// Whether the database is there and `kronos.doctor()` finds no error. Needs no token.
#[utoipa::path(
    get, path = "/ready", tag = "service", operation_id = "ready", security(()),
    responses((status = 200, description = "Ready", body = Ready))
)]
async fn ready(State(app): State<Arc<App>>) -> Result<Answer, Problem> {
    let mut last = app.verdict.lock().await;
    let result = match &*last {
        Some((at, result)) if at.elapsed() < READY_FOR => result.clone(),
        _ => {
            let result = examine(&app).await;
            *last = Some((Instant::now(), result.clone()));
            result
        }
    };
    Answer::of(&result?)
}

async fn examine(app: &App) -> Result<Ready, Problem> {
    let not_ready = |problem: Problem| {
        let detail = format!("doctor() cannot be called: {}", problem.code);
        let cause = problem.internal.as_deref().unwrap_or(&problem.code);
        Problem::unavailable("NOT_READY", detail).caused_by(cause)
    };
    let call = vec![Call::function("doctor")];
    let role = app.settings.monitor_role.as_deref();
    let results = app.database.run(role, call).await.map_err(not_ready)?;
    let findings = results.iter().flatten().map(read_finding);
    let findings = findings.collect::<Result<Vec<Finding>, Problem>>()?;
    if findings.iter().any(|finding| finding.severity == "ERROR") {
        let detail = "kronos.doctor() has found an error";
        let problem = Problem::unavailable("NOT_READY", detail);
        return Err(problem.with("findings", json!(findings)));
    }
    let status = "ready";
    Ok(Ready { status, findings })
}

fn read_finding(row: &Row) -> Result<Finding, Problem> {
    let finding = serde_json::from_str(row.get());
    finding.map_err(|error| Problem::internal(error.to_string()))
}

/// Returns the numbers of `kronos.metrics()` in Prometheus's text format, for the workspaces that the token's role may
/// see.
#[utoipa::path(
    get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain"))
)]
async fn read_metrics(caller: Caller) -> Result<Response, Problem> {
    let rows = caller.rows(Call::function("metrics")).await?;
    let text = prometheus::format(&rows)?;
    let content_type = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, text).into_response())
}
