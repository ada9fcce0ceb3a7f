//! Running a cron job now, outside its schedule.

use super::read::{JobRef, hold_live_job};
use super::rules::check_length;
use crate::error::Result;
use crate::{schedule, sql};
use pgrx::Uuid;

const INSERT_EXECUTION: &str = "
insert into kronos.executions (workspace_id, job_id, lineage_id, origin, endpoint_type, priority, idempotency_key, run_at)
select j.workspace_id, j.job_id, j.lineage_id, 'TRIGGER', e.type, j.priority, $2, clock_timestamp()
from kronos.jobs j join kronos.endpoints e using (endpoint_id)
where j.job_id = $1
on conflict (lineage_id, idempotency_key) where idempotency_key is not null do nothing
returning execution_id";

const FIND_EXECUTION: &str = "
select x.execution_id
from kronos.executions x join kronos.jobs j using (lineage_id)
where j.job_id = $1 and x.idempotency_key = $2";

/// Writes an execution of a live cron job (also of a paused one) that stands for no tick, and returns its id; with an
/// idempotency key that was used before for any version of the job, the id of the execution made then.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`, `INVALID_ARGUMENT`.
pub fn trigger(workspace: &str, job: JobRef, idempotency_key: Option<&str>) -> Result<Uuid> {
    if let Some(key) = idempotency_key {
        check_length("idempotency_key", key, 200)?;
    }
    let job = hold_live_job(workspace, job)?;
    let args = [job.job_id.into(), idempotency_key.into()];
    let read = |row: &sql::Row| sql::get(row, "execution_id");
    if let Some(execution_id) = sql::row(INSERT_EXECUTION, &args, read)? {
        return Ok(execution_id);
    }
    sql::row(FIND_EXECUTION, &args, read)?.ok_or_else(schedule::concurrent_change)
}
