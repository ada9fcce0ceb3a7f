//! The preview of a schedule, before a job has it.

use crate::App;
use crate::answer::Answer;
use crate::database::{Call, Row};
use crate::fields::Timestamp;
use crate::problem::Problem;
use crate::request::{Body, Caller};
use crate::rows::Time;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(preview))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Schedule {
    cron: String,
    timezone: Option<String>,
    /// Only ticks later than this; now if left out.
    #[schema(value_type = Option<Time>)]
    after: Option<Timestamp>,
    /// How many ticks to return; 5 if left out.
    #[schema(minimum = 0, maximum = 10000)]
    max: Option<i32>,
}

#[derive(Serialize, ToSchema)]
struct Preview {
    /// The schedule in plain English.
    #[schema(value_type = String)]
    description: Option<Row>,
    #[schema(value_type = Vec<Time>)]
    next_ticks: Vec<Row>,
}

/// Describes a schedule, and returns its next ticks.
#[utoipa::path(
    post, path = "/schedules/preview", tag = "schedules", operation_id = "preview_schedule", request_body = Schedule,
    responses((status = 200, description = "The schedule", body = Preview))
)]
async fn preview(caller: Caller, Body(schedule): Body<Schedule>) -> Result<Answer, Problem> {
    let next_ticks = Call::function("next_ticks")
        .arg("cron", "text", &schedule.cron)
        .maybe("timezone", "text", schedule.timezone.as_ref())
        .maybe("after", "timestamptz", schedule.after)
        .maybe("max", "integer", schedule.max);
    let describe = Call::function("describe_schedule")
        .arg("cron", "text", schedule.cron)
        .maybe("timezone", "text", schedule.timezone);
    let mut results = caller.transaction(vec![next_ticks, describe]).await?;
    let description = results.pop().and_then(|mut rows| rows.pop());
    let next_ticks = results.pop().unwrap_or_default();
    Answer::of(&Preview {
        description,
        next_ticks,
    })
}
