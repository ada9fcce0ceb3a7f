//! Jobs with overlap_policy `replace` whose unfinished executions another session has locked.

use super::materialise::JobWork;
use crate::error::Result;
use crate::id::{ExecutionId, JobId};
use crate::sql;
use std::collections::HashSet;

/// Splits off the works of replacing jobs whose unfinished executions another session has locked.
pub fn split_off_busy(
    works: Vec<JobWork>,
    replacing: Vec<JobId>,
) -> Result<(Vec<JobWork>, Vec<JobWork>)> {
    if replacing.is_empty() {
        return Ok((works, vec![]));
    }
    let busy: HashSet<JobId> = lock_unfinished(replacing)?.into_iter().collect();
    Ok(works
        .into_iter()
        .partition(|work| !busy.contains(&work.job_id)))
}

const UNFINISHED: &str = "
select x.job_id, x.execution_id from kronos_internal.live_executions x where x.job_id = any ($1::uuid[])";

const LOCK_UNFINISHED: &str = "
select x.execution_id
from kronos_internal.live_executions x
where x.execution_id = any ($1::uuid[])
for no key update skip locked";

/// Locks the unfinished executions of replacing jobs, and returns the jobs with an execution that another session has
/// locked.
fn lock_unfinished(jobs: Vec<JobId>) -> Result<Vec<JobId>> {
    let unfinished: Vec<(JobId, ExecutionId)> = sql::rows(UNFINISHED, &[jobs.into()], |row| {
        Ok((sql::get(row, "job_id")?, sql::get(row, "execution_id")?))
    })?;
    let ids: Vec<ExecutionId> = unfinished
        .iter()
        .map(|(_, execution_id)| *execution_id)
        .collect();
    let locked = sql::rows(LOCK_UNFINISHED, &[ids.into()], |row| {
        sql::get(row, "execution_id")
    })?;
    let locked: HashSet<ExecutionId> = locked.into_iter().collect();
    Ok(unfinished
        .into_iter()
        .filter(|(_, execution_id)| !locked.contains(execution_id))
        .map(|(job_id, _)| job_id)
        .collect())
}
