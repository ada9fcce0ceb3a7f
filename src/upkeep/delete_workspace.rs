//! Deletes a workspace.
//!
//! The call cancels everything that is live and takes the workspace away from every role. Its history can be large, so
//! prune() deletes that in batches: it treats the rows of a deleted workspace as older than their retention.

use crate::error::{self, KronosError, Result, concurrent_change, workspace_not_found};
use crate::id::{JobId, ScheduleId, WorkspaceId};
use crate::{job, schedule, sql};
use pgrx::PgSqlErrorCode;
use serde_json::json;

/// The live rows that a workspace had.
pub struct Live {
    pub jobs: i64,
    /// Unfinished executions.
    pub executions: i64,
}

/// A concurrent call that creates a job or an endpoint in the workspace has locked this row or that of an endpoint until
/// it commits. Later calls do not find the workspace.
const LOCK: &str = "select workspace_id from kronos_internal.workspaces where name = $1 for update";

const LOCK_ENDPOINTS: &str =
    "select from kronos_internal.endpoints where workspace_id = $1 order by endpoint_id for update";

const LOCK_SCHEDULES: &str = "
select schedule_id from kronos_internal.schedules where workspace_id = $1 order by schedule_id for update";

const LOCK_JOBS: &str = "
select job_id
from kronos_internal.jobs
where workspace_id = $1 and status <> 'RETIRED'
order by job_id
for no key update";

const COUNT_EXECUTIONS: &str =
    "select count(*) as executions from kronos_internal.live_executions where workspace_id = $1";

const DELETE_EXECUTIONS: &str = "
with deleted as (
    delete from kronos_internal.live_executions where workspace_id = $1 returning execution_id
),
attempts as (
    delete from kronos_internal.attempts where execution_id = any (array(select d.execution_id from deleted d))
),
logs as (
    delete from kronos_internal.execution_logs where execution_id = any (array(select d.execution_id from deleted d))
)
select count(*) as executions from deleted";

const DELETE_ENDPOINTS: &str = "
update kronos_internal.endpoints
set deleted_at = clock_timestamp(), payload_spec_id = null, on_failure_id = null
where workspace_id = $1 and deleted_at is null";

const DELETE_GRANTS: &str = "delete from kronos_internal.workspace_grants where workspace_id = $1";

const DELETE: &str = "
update kronos_internal.workspaces
set name = null, deleted_at = clock_timestamp(), execution_retention = '0', job_retention = '0'
where workspace_id = $1";

/// Deletes a workspace, its grants included. With `cancel`, first cancels its live jobs and deletes its unfinished
/// executions, and returns how many: reports of workers about them are refused. An execution that another transaction is
/// enqueuing meanwhile is deleted, too.
///
/// # Errors
/// `WORKSPACE_NOT_FOUND`; `WORKSPACE_IN_USE` without `cancel`, if the workspace has live jobs or unfinished executions;
/// `CONCURRENT_CHANGE`, and any error of pg_cron when it removes an entry.
pub fn delete_workspace(name: &str, cancel: bool) -> Result<Live> {
    let workspace_id: WorkspaceId =
        sql::row(LOCK, &[name.into()], |row| sql::get(row, "workspace_id"))?
            .ok_or_else(|| workspace_not_found(name))?;
    let id = [workspace_id.into()];
    // In the lock order of the schedules. A job that another session was creating meanwhile has committed with its lock
    // on an endpoint, so the second reading has it.
    sql::rows(LOCK_JOBS, &id, |_| Ok(()))?;
    let schedule_ids: Vec<ScheduleId> =
        sql::rows(LOCK_SCHEDULES, &id, |row| sql::get(row, "schedule_id"))?;
    sql::run(LOCK_ENDPOINTS, &id)?;
    let job_ids: Vec<JobId> = sql::rows(LOCK_JOBS, &id, |row| sql::get(row, "job_id"))?;
    let executions = if cancel {
        DELETE_EXECUTIONS
    } else {
        COUNT_EXECUTIONS
    };
    let live = Live {
        jobs: job_ids.len() as i64,
        executions: sql::row(executions, &id, |row| sql::get(row, "executions"))?
            .unwrap_or_default(),
    };
    if !cancel && live.jobs + live.executions > 0 {
        return Err(in_use(name, &live));
    }
    job::retire(job_ids, "CANCELLED")?;
    for schedule_id in schedule_ids {
        schedule::release(schedule_id)?;
    }
    // A transaction with an old snapshot does not see a job that was created since.
    sql::convert_errors(
        || sql::run(DELETE_ENDPOINTS, &id),
        |report| {
            (report.sql_error_code() == PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION)
                .then(concurrent_change)
        },
    )?;
    sql::run(DELETE_GRANTS, &id)?;
    sql::run(DELETE, &id)?;
    Ok(live)
}

fn in_use(name: &str, live: &Live) -> KronosError {
    KronosError::new(
        &error::WORKSPACE_IN_USE,
        format!(
            "workspace {name:?} has {} live jobs and {} unfinished executions",
            live.jobs, live.executions
        ),
        json!({ "workspace": name, "jobs": live.jobs, "executions": live.executions }),
    )
    .with_hint("cancel => true cancels the jobs and deletes the executions.")
}
