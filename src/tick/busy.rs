//! Jobs whose ticks replace unfinished executions, one of which another session has locked.

use super::materialise::JobWork;
use crate::error::Result;
use crate::sql;
use pgrx::Uuid;
use std::collections::HashSet;

/// Splits off the works of jobs whose unfinished executions another session holds, of those that replace them.
pub fn set_busy_apart(
    works: Vec<JobWork>,
    replacing: Vec<Uuid>,
) -> Result<(Vec<JobWork>, Vec<JobWork>)> {
    if replacing.is_empty() {
        return Ok((works, vec![]));
    }
    let busy: HashSet<Uuid> = busy(replacing)?.into_iter().collect();
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

/// Locks the unfinished executions of jobs whose ticks replace them, and returns the jobs that have one which another
/// session holds.
fn busy(jobs: Vec<Uuid>) -> Result<Vec<Uuid>> {
    let unfinished: Vec<(Uuid, Uuid)> = sql::rows(UNFINISHED, &[jobs.into()], |row| {
        Ok((sql::get(row, "job_id")?, sql::get(row, "execution_id")?))
    })?;
    let ids: Vec<Uuid> = unfinished
        .iter()
        .map(|(_, execution_id)| *execution_id)
        .collect();
    let locked = sql::rows(LOCK_UNFINISHED, &[ids.into()], |row| {
        sql::get(row, "execution_id")
    })?;
    let locked: HashSet<Uuid> = locked.into_iter().collect();
    Ok(unfinished
        .into_iter()
        .filter(|(_, execution_id)| !locked.contains(execution_id))
        .map(|(job_id, _)| job_id)
        .collect())
}
