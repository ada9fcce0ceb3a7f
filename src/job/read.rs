//! Finding workspaces, endpoints and jobs.

use crate::error::{self, KronosError, Result};
use crate::sql::{self, Row};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::json;

/// The id of a workspace.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`.
pub fn find_workspace(name: &str) -> Result<Uuid> {
    sql::row(
        "select workspace_id from kronos.workspaces where name = $1",
        &[name.into()],
        |row| sql::get(row, "workspace_id"),
    )?
    .ok_or_else(|| {
        KronosError::new(
            &error::WORKSPACE_NOT_FOUND,
            format!("workspace {name:?} does not exist"),
            json!({ "workspace": name }),
        )
    })
}

/// The id of a workspace's endpoint.
///
/// # Errors
/// `ENDPOINT_NOT_FOUND`.
pub fn find_endpoint(workspace_id: Uuid, workspace: &str, name: &str) -> Result<Uuid> {
    sql::row(
        "select endpoint_id from kronos.endpoints where workspace_id = $1 and name = $2",
        &[workspace_id.into(), name.into()],
        |row| sql::get(row, "endpoint_id"),
    )?
    .ok_or_else(|| {
        KronosError::new(
            &error::ENDPOINT_NOT_FOUND,
            format!("endpoint {name:?} does not exist in workspace {workspace:?}"),
            json!({ "workspace": workspace, "endpoint": name }),
        )
    })
}

/// What the rules of a job's life need to know of one version.
pub struct CronJob {
    pub job_id: Uuid,
    pub version: i32,
    pub cron: String,
    pub timezone: String,
    pub schedule_id: Option<Uuid>,
    pub starts_at: Option<TimestampWithTimeZone>,
    pub ends_at: Option<TimestampWithTimeZone>,
    pub active_since: TimestampWithTimeZone,
    pub status: String,
    pub paused_at: Option<TimestampWithTimeZone>,
    retired: Option<Retirement>,
}

struct Retirement {
    at: TimestampWithTimeZone,
    reason: String,
    replaced_by_id: Option<Uuid>,
}

const FIND_JOB: &str = "
select job_id, version, cron, timezone, schedule_id, starts_at, ends_at, active_since, status, paused_at,
       retired_at, retired_reason, replaced_by_id
from kronos.jobs
where workspace_id = $1 and job_id = $2 and trigger = 'CRON'
{LOCK}";

/// A live cron job, locked against any other change until the transaction ends.
///
/// # Errors
/// `JOB_NOT_FOUND`; `JOB_RETIRED` with the time, the reason and what replaced it.
pub fn lock_live_job(workspace: &str, job_id: Uuid) -> Result<CronJob> {
    live_job(workspace, job_id, "for no key update")
}

/// A live cron job, held so that it stays as it is until the transaction ends; others may hold it too.
///
/// # Errors
/// As [`lock_live_job`].
pub fn hold_live_job(workspace: &str, job_id: Uuid) -> Result<CronJob> {
    live_job(workspace, job_id, "for share")
}

fn live_job(workspace: &str, job_id: Uuid, lock: &str) -> Result<CronJob> {
    let workspace_id = find_workspace(workspace)?;
    let job = sql::row(
        &FIND_JOB.replace("{LOCK}", lock),
        &[workspace_id.into(), job_id.into()],
        read_job,
    )?
    .ok_or_else(|| job_not_found(workspace, job_id))?;
    match &job.retired {
        Some(retirement) => Err(job_retired(&job, retirement)),
        None => Ok(job),
    }
}

fn read_job(row: &Row) -> Result<CronJob> {
    let retired = match sql::get_opt(row, "retired_at")? {
        None => None,
        Some(at) => Some(Retirement {
            at,
            reason: sql::get(row, "retired_reason")?,
            replaced_by_id: sql::get_opt(row, "replaced_by_id")?,
        }),
    };
    Ok(CronJob {
        job_id: sql::get(row, "job_id")?,
        version: sql::get(row, "version")?,
        cron: sql::get(row, "cron")?,
        timezone: sql::get(row, "timezone")?,
        schedule_id: sql::get_opt(row, "schedule_id")?,
        starts_at: sql::get_opt(row, "starts_at")?,
        ends_at: sql::get_opt(row, "ends_at")?,
        active_since: sql::get(row, "active_since")?,
        status: sql::get(row, "status")?,
        paused_at: sql::get_opt(row, "paused_at")?,
        retired,
    })
}

fn job_not_found(workspace: &str, job_id: Uuid) -> KronosError {
    KronosError::new(
        &error::JOB_NOT_FOUND,
        format!("job {job_id} does not exist in workspace {workspace:?}"),
        json!({ "workspace": workspace, "job_id": job_id.to_string() }),
    )
}

fn job_retired(job: &CronJob, retirement: &Retirement) -> KronosError {
    let since = sql::from_pg(retirement.at).to_rfc3339();
    let message = match retirement.replaced_by_id {
        Some(successor) => {
            format!(
                "job {} is retired since {since}: it was replaced by {successor}",
                job.job_id
            )
        }
        None => format!(
            "job {} is retired since {since}: it was cancelled",
            job.job_id
        ),
    };
    KronosError::new(
        &error::JOB_RETIRED,
        message,
        json!({
            "job_id": job.job_id.to_string(),
            "version": job.version,
            "retired_at": since,
            "retired_reason": retirement.reason,
            "replaced_by_id": retirement.replaced_by_id.map(|id| id.to_string()),
        }),
    )
}

/// The lineage of a workspace's job.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, `JOB_NOT_FOUND`.
pub fn lineage_of(workspace: &str, job_id: Uuid) -> Result<Uuid> {
    let workspace_id = find_workspace(workspace)?;
    sql::row(
        "select lineage_id from kronos.jobs where workspace_id = $1 and job_id = $2",
        &[workspace_id.into(), job_id.into()],
        |row| sql::get(row, "lineage_id"),
    )?
    .ok_or_else(|| job_not_found(workspace, job_id))
}

/// The ids of a lineage's versions, oldest first.
pub fn version_ids(lineage_id: Uuid) -> Result<Vec<Uuid>> {
    sql::rows(
        "select job_id from kronos.jobs where lineage_id = $1 order by version",
        &[lineage_id.into()],
        |row| sql::get(row, "job_id"),
    )
}
