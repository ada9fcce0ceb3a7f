//! `prune`: deletes rows that are older than their workspace's retention.

use crate::error::{KronosError, Result};
use crate::{args, pg_cron, sql};
use chrono::{DateTime, Utc};

/// How many rows were deleted.
#[derive(Clone, Copy, Default)]
pub struct Pruned {
    /// With their attempts and logs.
    pub executions: i64,
    /// Rows of the ledger, dropped ticks included.
    pub ticks: i64,
    /// With their versions.
    pub jobs: i64,
    pub endpoints: i64,
    pub idempotency_keys: i64,
    /// Rows of deleted workspaces that no retention covers.
    pub workspaces: i64,
    /// Of cron.job_run_details.
    pub pg_cron_runs: i64,
}

impl Pruned {
    fn counts(&self) -> [i64; 7] {
        [
            self.executions,
            self.ticks,
            self.jobs,
            self.endpoints,
            self.idempotency_keys,
            self.workspaces,
            self.pg_cron_runs,
        ]
    }

    pub fn total(&self) -> i64 {
        self.counts().iter().sum()
    }

    pub fn largest(&self) -> i64 {
        self.counts().into_iter().max().unwrap_or_default()
    }
}

impl std::ops::AddAssign for Pruned {
    fn add_assign(&mut self, other: Pruned) {
        self.executions += other.executions;
        self.ticks += other.ticks;
        self.jobs += other.jobs;
        self.endpoints += other.endpoints;
        self.idempotency_keys += other.idempotency_keys;
        self.workspaces += other.workspaces;
        self.pg_cron_runs += other.pg_cron_runs;
    }
}

const PRUNE_EXECUTIONS: &str = include_str!("prune_executions.sql");
const PRUNE_TICKS: &str = include_str!("prune_ticks.sql");
const PRUNE_JOBS: &str = include_str!("prune_jobs.sql");
const PRUNE_ENDPOINTS: &str = include_str!("prune_endpoints.sql");
const PRUNE_WORKSPACES: &str = include_str!("prune_workspaces.sql");

const PRUNE_KEYS: &str = "
delete from kronos_internal.idempotency_keys
where (workspace_id, scope, key) in (select k.workspace_id, k.scope, k.key
                                     from kronos_internal.idempotency_keys k
                                     where k.expires_at < now()
                                     order by k.expires_at
                                     limit $1
                                     for update skip locked)";

/// No rate_interval is longer than a day.
const PRUNE_STARTS: &str = "
delete from kronos_internal.attempt_starts
where ctid = any (array(select s.ctid
                        from kronos_internal.attempt_starts s
                        where s.started_at < now() - interval '24 hours'
                        order by s.started_at
                        limit $1
                        for update skip locked))";

/// Upkeep prunes the ledgers of the jobs in this many slices, one slice a minute, so that it prunes each job once an
/// hour.
const SLICES: i64 = 60;

/// The slice of an instant's minute.
pub fn slice_of(instant: DateTime<Utc>) -> i32 {
    (instant.timestamp() / 60).rem_euclid(SLICES) as i32
}

/// Deletes finished executions, ledger rows, retired jobs, deleted endpoints and idempotency keys that are older than
/// their workspace's retention, the rows of deleted workspaces, and Kronos's rows of cron.job_run_details that are older
/// than a week: at most `max` of each, but the ledgers of at most `max` jobs. With a slice, prunes only the ledgers of one
/// sixtieth of the jobs.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn prune(max: i64, slice: Option<i32>) -> Result<Pruned> {
    args::range("max", max, 1..=1_000_000)?;
    let delete = |statement| sql::run(statement, &[max.into()]).map(|rows| rows as i64);
    let delete_counted = |statement, args: &[_]| {
        let deleted = sql::row(statement, args, |row| sql::get(row, "deleted"))?;
        Ok::<i64, KronosError>(deleted.unwrap_or_default())
    };
    let is_first_slice = slice.unwrap_or_default() == 0;
    delete(PRUNE_STARTS)?;
    Ok(Pruned {
        executions: delete(PRUNE_EXECUTIONS)?,
        ticks: delete_counted(PRUNE_TICKS, &[max.into(), slice.into()])?,
        jobs: delete(PRUNE_JOBS)?,
        endpoints: delete(PRUNE_ENDPOINTS)?,
        idempotency_keys: delete(PRUNE_KEYS)?,
        workspaces: delete_counted(PRUNE_WORKSPACES, &[max.into()])?,
        pg_cron_runs: if is_first_slice {
            pg_cron::prune_runs(max)? as i64
        } else {
            0
        },
    })
}
