//! Finds jobs, and locks the jobs that are about to change.

use super::definition::Definition;
use super::error::{job_not_found, job_retired};
use super::job_ref::JobRef;
use crate::authority::Authorised;
use crate::error::{KronosError, Result};
use crate::id::{JobId, ScheduleId};
use crate::named::Named;
use crate::sql::{self, Row};
use crate::status::JobStatus;
use pgrx::datum::TimestampWithTimeZone;

/// A job, with the columns that the rules of its life cycle need.
pub struct Job {
    pub job_id: JobId,
    pub version: i32,
    pub status: JobStatus,
    /// None for a job that is paused or retired.
    pub schedule_id: Option<ScheduleId>,
    pub definition: Definition,
    pub ledger_from: TimestampWithTimeZone,
    pub paused_at: Option<TimestampWithTimeZone>,
    retired: Option<(TimestampWithTimeZone, String)>,
}

impl Job {
    pub fn read(row: &Row) -> Result<Job> {
        let retired = match sql::get_opt(row, "retired_at")? {
            None => None,
            Some(at) => Some((at, sql::get(row, "retired_reason")?)),
        };
        Ok(Job {
            job_id: sql::get(row, "job_id")?,
            version: sql::get(row, "version")?,
            status: JobStatus::read(row)?,
            schedule_id: sql::get_opt(row, "schedule_id")?,
            definition: Definition::read(row)?,
            ledger_from: sql::get(row, "ledger_from")?,
            paused_at: sql::get_opt(row, "paused_at")?,
            retired,
        })
    }

    /// The job's name; empty for a job without a name.
    pub fn name(&self) -> &str {
        self.definition.name.as_deref().unwrap_or_default()
    }

    pub fn is_paused(&self) -> bool {
        self.status == JobStatus::Paused
    }

    /// The error for a caller that needs a live job, if this job is retired.
    fn retired(&self) -> Option<KronosError> {
        let (at, reason) = self.retired.as_ref()?;
        Some(job_retired(self.job_id, *at, reason))
    }
}

const FIND: &str =
    "select job_id from kronos_internal.jobs where workspace_id = $1 and job_id = $2";

const FIND_BY_NAME: &str = "
select job_id from kronos_internal.jobs where workspace_id = $1 and name = $2 and status <> 'RETIRED'";

/// The id of a job of the workspace. A reference by id also finds a retired job.
///
/// # Errors
/// `JOB_NOT_FOUND`.
pub fn find(workspace: &Authorised, job: JobRef) -> Result<JobId> {
    match job {
        JobRef::Id(job_id) => {
            let args = [workspace.workspace_id.into(), job_id.into()];
            sql::by_index(|| sql::row(FIND, &args, |row| sql::get(row, "job_id")))
        }
        JobRef::Name(name) => find_named(workspace, name),
    }?
    .ok_or_else(|| job_not_found(workspace, job))
}

/// The id of the live job with a name, if there is one.
///
/// # Errors
/// Fails only if SQL does.
pub fn find_named(workspace: &Authorised, name: &str) -> Result<Option<JobId>> {
    let args = [workspace.workspace_id.into(), name.into()];
    sql::by_index(|| sql::row(FIND_BY_NAME, &args, |row| sql::get(row, "job_id")))
}

/// Locks a live job until the transaction ends: no other session changes it, and tick() skips it.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`.
pub fn lock_live(workspace: &Authorised, job: JobRef) -> Result<Job> {
    find_and_lock(workspace, job, include_str!("lock_job.sql"))
}

/// Locks a live job against deletion until the transaction ends. The lock blocks neither tick() nor an update.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`.
pub fn lock_live_against_deletion(workspace: &Authorised, job: JobRef) -> Result<Job> {
    find_and_lock(
        workspace,
        job,
        include_str!("lock_job_against_deletion.sql"),
    )
}

fn find_and_lock(workspace: &Authorised, job: JobRef, statement: &'static str) -> Result<Job> {
    loop {
        let job_id = match job {
            JobRef::Id(job_id) => job_id,
            JobRef::Name(_) => find(workspace, job)?,
        };
        let args = [workspace.workspace_id.into(), job_id.into()];
        let found = sql::by_index(|| sql::row(statement, &args, Job::read))?
            .ok_or_else(|| job_not_found(workspace, job))?;
        match (job, found.retired()) {
            (JobRef::Id(_), Some(retired)) => return Err(retired),
            (JobRef::Id(_), None) => return Ok(found),
            (JobRef::Name(name), None) if found.definition.name.as_deref() == Some(name) => {
                return Ok(found);
            }
            // The job was retired or renamed while this session waited for its lock. Another job may have the name now.
            (JobRef::Name(_), _) => sql::check_for_interrupts(),
        }
    }
}
