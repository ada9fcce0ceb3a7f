//! `prune`: history that its workspace no longer keeps.

use crate::error::{self, KronosError, Result};
use crate::{pg_cron, sql};
use serde_json::json;

/// How many rows were deleted.
pub struct Pruned {
    /// With their attempts and logs.
    pub executions: i64,
    pub jobs: i64,
    pub endpoints: i64,
    /// Of cron.job_run_details.
    pub pg_cron_runs: i64,
}

/// What was made after an instant cannot have ended before it, so ids bound what is read.
const PRUNE_EXECUTIONS: &str = "
with doomed as materialized (
    select x.execution_id
    from kronos.workspaces w
    cross join lateral (
        select x.execution_id
        from kronos.executions x
        where x.workspace_id = w.workspace_id
          and x.execution_id < kronos.uuid_v7_at(now() - w.execution_retention)
          and x.finished_at < now() - w.execution_retention
        order by x.execution_id
        limit $1
        for update skip locked) x
    limit $1
)
delete from kronos.executions x using doomed d where x.execution_id = d.execution_id";

/// Versions go oldest first, since each names its successor; the first one of a live job stays while it keeps an
/// idempotency key from being used again.
const PRUNE_JOBS: &str = "
with doomed as materialized (
    select j.job_id
    from kronos.workspaces w
    cross join lateral (
        select j.job_id
        from kronos.jobs j
        where j.workspace_id = w.workspace_id and j.status = 'RETIRED' and j.retired_at < now() - w.job_retention
          and not exists (select from kronos.jobs p where p.job_id = j.previous_version_id)
          and not exists (select from kronos.executions x where x.lineage_id = j.lineage_id and x.job_id = j.job_id)
          and not exists (select from kronos.pending_ticks p where p.lineage_id = j.lineage_id and p.job_id = j.job_id)
          and (j.idempotency_key is null
               or not exists (select from kronos.jobs l where l.lineage_id = j.lineage_id and l.status <> 'RETIRED'))
        order by j.retired_at
        limit $1
        for update skip locked) j
    limit $1
)
delete from kronos.jobs j using doomed d where j.job_id = d.job_id";

const PRUNE_ENDPOINTS: &str = "
with doomed as materialized (
    select e.endpoint_id
    from kronos.endpoints e join kronos.workspaces w using (workspace_id)
    where e.deleted_at < now() - w.job_retention
      and not exists (select from kronos.jobs j where j.endpoint_id = e.endpoint_id)
    limit $1
    for update of e skip locked
)
delete from kronos.endpoints e using doomed d where e.endpoint_id = d.endpoint_id";

/// Deletes finished executions, retired versions of jobs and deleted endpoints that are older than their workspace keeps
/// them, and Kronos's rows of cron.job_run_details that are older than a week: at most `max_rows` of each, so that a call
/// is short whatever has piled up.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn prune(max_rows: i64) -> Result<Pruned> {
    if max_rows < 1 {
        return Err(KronosError::new(
            &error::INVALID_ARGUMENT,
            "max_rows must be at least 1",
            json!({ "argument": "max_rows", "max_rows": max_rows }),
        ));
    }
    let delete = |statement| sql::run(statement, &[max_rows.into()]).map(|rows| rows as i64);
    Ok(Pruned {
        executions: delete(PRUNE_EXECUTIONS)?,
        jobs: delete(PRUNE_JOBS)?,
        endpoints: delete(PRUNE_ENDPOINTS)?,
        pg_cron_runs: delete(pg_cron::PRUNE_RUNS)?,
    })
}
