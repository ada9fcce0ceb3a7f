//! Reads jobs as users see them.

use super::find::find;
use super::job_ref::JobRef;
use crate::args::one_of;
use crate::authority::Authorised;
use crate::endpoint;
use crate::error::{KronosError, Result};
use crate::id::JobId;
use crate::named::Named;
use crate::sql::{self, Composite};
use crate::status::JobStatus;
use pgrx::datum::TimestampWithTimeZone;

/// The row of a job in the view `kronos.job_details`.
///
/// # Errors
/// Fails only if SQL does.
pub fn row(job_id: JobId) -> Result<Composite> {
    const ROW: &str = "select v from kronos.job_details v where v.job_id = $1";
    sql::by_index(|| sql::composite(ROW, &[job_id.into()]))?
        .ok_or_else(|| KronosError::internal("the job's row has vanished"))
}

/// The jobs of a workspace, newest first, at most `max`, after the job with the id `after`. `status` and `endpoint`
/// filter the jobs; None means any.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`.
pub fn list(
    workspace: &Authorised,
    status: Option<JobStatus>,
    endpoint: Option<&str>,
    max: i64,
    after: Option<JobId>,
) -> Result<Vec<Composite>> {
    let endpoint_id = match endpoint {
        Some(name) => Some(endpoint::find(workspace, name)?.endpoint_id),
        None => None,
    };
    let args = [
        workspace.workspace_id.into(),
        status.map(JobStatus::name).into(),
        endpoint_id.into(),
        max.into(),
        after.into(),
    ];
    sql::by_index(|| sql::composites(include_str!("list_jobs.sql"), &args))
}

/// The versions of a job, newest first, at most `max`, after the version with the number `after`.
///
/// # Errors
/// `JOB_NOT_FOUND`.
pub fn list_versions(
    workspace: &Authorised,
    job: JobRef,
    max: i64,
    after: Option<i32>,
) -> Result<Vec<Composite>> {
    let job_id = find(workspace, job)?;
    let args = [job_id.into(), max.into(), after.into()];
    sql::by_index(|| sql::composites(include_str!("list_job_versions.sql"), &args))
}

/// Which ticks of a job are listed. None means any.
pub struct TickFilter<'a> {
    pub outcome: Option<&'a str>,
    pub tick_from: Option<TimestampWithTimeZone>,
    pub tick_before: Option<TimestampWithTimeZone>,
}

/// The ticks of a job and their outcomes, newest first, at most `max`, after the ticks at the instant `after`. Rows of
/// the same instant stay on one page, so a page can have a few rows more.
///
/// # Errors
/// `JOB_NOT_FOUND`, `INVALID_ARGUMENT` for an outcome that does not exist.
pub fn list_ticks(
    workspace: &Authorised,
    job: JobRef,
    filter: &TickFilter,
    max: i64,
    after: Option<TimestampWithTimeZone>,
) -> Result<Vec<Composite>> {
    if let Some(outcome) = filter.outcome {
        one_of("outcome", outcome, &["RUN", "SKIPPED", "OWED", "DROPPED"])?;
    }
    let job_id = find(workspace, job)?;
    let args = [
        job_id.into(),
        filter.outcome.into(),
        filter.tick_from.into(),
        filter.tick_before.into(),
        max.into(),
        after.into(),
    ];
    sql::by_index(|| sql::composites(include_str!("list_ticks.sql"), &args))
}

/// The health and recent results of a job.
///
/// # Errors
/// `JOB_NOT_FOUND`.
pub fn status(workspace: &Authorised, job: JobRef) -> Result<Composite> {
    let job_id = find(workspace, job)?;
    sql::by_index(|| sql::composite(include_str!("job_status.sql"), &[job_id.into()]))?
        .ok_or_else(|| KronosError::internal("the job's row has vanished"))
}
