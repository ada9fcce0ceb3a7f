//! Runs a cron job now, outside its schedule.

use super::find::lock_live_against_deletion;
use super::job_ref::JobRef;
use crate::authority::Authorised;
use crate::error::{Result, concurrent_change};
use crate::id::ExecutionId;
use crate::idempotency::Expiry;
use crate::sql::{self, Composite};
use crate::{endpoint, execution, idempotency};

/// Writes an execution of a live cron job, active or paused. The execution belongs to no tick. A repeated request with
/// the same idempotency key returns the execution of the first one.
///
/// The lock on the job blocks neither tick() nor an update, so the execution belongs to the version that its INSERT
/// sees.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `INVALID_ARGUMENT`; `PERMISSION_DENIED` for an SQL endpoint whose role the caller does
/// not have.
pub fn trigger(
    workspace: &Authorised,
    job_ref: JobRef,
    idempotency_key: Option<&str>,
) -> Result<Composite> {
    let job = lock_live_against_deletion(workspace, job_ref)?;
    let endpoint = endpoint::find_by_id(job.definition.endpoint_id)?;
    endpoint.require_use(workspace)?;
    let job_id = job.job_id;
    let execution_id = ExecutionId::generate();
    if let Some(key) = idempotency_key {
        let scope = format!("trigger_cron_job {job_id}");
        let earlier = idempotency::reserve(
            workspace.workspace_id,
            &scope,
            key,
            execution_id,
            Expiry::After(None),
        )?;
        if let Some(made_id) = earlier {
            let args = [workspace.workspace_id.into(), made_id.into()];
            return sql::by_index(|| sql::composite(include_str!("find_triggered.sql"), &args))?
                .ok_or_else(concurrent_change);
        }
    }
    let args = [job_id.into(), execution_id.into()];
    match sql::by_index(|| sql::composite(include_str!("insert_triggered.sql"), &args))? {
        Some(triggered) => {
            execution::notify_of_endpoint(workspace.workspace_id, endpoint.is_sql());
            Ok(triggered)
        }
        // The job was retired after it was locked. Reading it again gives the error that says when and why.
        None => {
            lock_live_against_deletion(workspace, JobRef::Id(job_id))?;
            Err(concurrent_change())
        }
    }
}
