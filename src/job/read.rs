//! Finding workspaces, endpoints and jobs.

use crate::error::{self, KronosError, Result};
use crate::sql::{self, Row};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::json;
use std::fmt;

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

/// How a caller says which job is meant.
#[derive(Clone, Copy)]
pub enum JobRef<'a> {
    /// By the id of a version.
    Id(Uuid),
    /// By the name of the live one.
    Name(&'a str),
}

impl fmt::Display for JobRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobRef::Id(job_id) => write!(f, "{job_id}"),
            JobRef::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// What the rules of a job's life need to know of one version.
pub struct CronJob {
    pub job_id: Uuid,
    pub workspace_id: Uuid,
    pub endpoint_id: Uuid,
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
select job_id, workspace_id, endpoint_id, version, cron, timezone, schedule_id, starts_at, ends_at, active_since, status, paused_at,
       retired_at, retired_reason, replaced_by_id
from kronos.jobs
where workspace_id = $1 and job_id = $2 and trigger = 'CRON'
{LOCK}";

/// A live cron job, locked against any other change until the transaction ends.
///
/// # Errors
/// `JOB_NOT_FOUND`; `JOB_RETIRED` with the time, the reason and what replaced it.
pub fn lock_live_job(workspace: &str, job: JobRef) -> Result<CronJob> {
    live_job(workspace, job, "for no key update")
}

/// A live cron job, held so that it stays as it is until the transaction ends; others may hold it too.
///
/// # Errors
/// As [`lock_live_job`].
pub fn hold_live_job(workspace: &str, job: JobRef) -> Result<CronJob> {
    live_job(workspace, job, "for share")
}

fn live_job(workspace: &str, job: JobRef, lock: &str) -> Result<CronJob> {
    let workspace_id = find_workspace(workspace)?;
    loop {
        let job_id = id_of(workspace_id, workspace, job)?;
        let found = sql::row(
            &FIND_JOB.replace("{LOCK}", lock),
            &[workspace_id.into(), job_id.into()],
            read_job,
        )?
        .ok_or_else(|| job_not_found(workspace, job))?;
        match (&found.retired, job) {
            (None, _) => return Ok(found),
            (Some(retirement), JobRef::Id(_)) => return Err(job_retired(&found, retirement)),
            // Retired while this waited for the lock: the name may stand for another version by now.
            (Some(_), JobRef::Name(_)) => {}
        }
    }
}

/// The id of the version that is meant.
fn id_of(workspace_id: Uuid, workspace: &str, job: JobRef) -> Result<Uuid> {
    let name = match job {
        JobRef::Id(job_id) => return Ok(job_id),
        JobRef::Name(name) => name,
    };
    sql::row(
        "select job_id from kronos.jobs where workspace_id = $1 and name = $2 and status <> 'RETIRED'",
        &[workspace_id.into(), name.into()],
        |row| sql::get(row, "job_id"),
    )?
    .ok_or_else(|| job_not_found(workspace, job))
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
        workspace_id: sql::get(row, "workspace_id")?,
        endpoint_id: sql::get(row, "endpoint_id")?,
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

fn job_not_found(workspace: &str, job: JobRef) -> KronosError {
    let detail = match job {
        JobRef::Id(job_id) => json!({ "workspace": workspace, "job_id": job_id.to_string() }),
        JobRef::Name(name) => json!({ "workspace": workspace, "job_name": name }),
    };
    KronosError::new(
        &error::JOB_NOT_FOUND,
        format!("job {job} does not exist in workspace {workspace:?}"),
        detail,
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

/// A workspace's job: the id of the version and that of its lineage.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`, `JOB_NOT_FOUND`.
pub fn find_job(workspace: &str, job: JobRef) -> Result<(Uuid, Uuid)> {
    let workspace_id = find_workspace(workspace)?;
    let job_id = id_of(workspace_id, workspace, job)?;
    sql::row(
        "select job_id, lineage_id from kronos.jobs where workspace_id = $1 and job_id = $2",
        &[workspace_id.into(), job_id.into()],
        |row| Ok((sql::get(row, "job_id")?, sql::get(row, "lineage_id")?)),
    )?
    .ok_or_else(|| job_not_found(workspace, job))
}
