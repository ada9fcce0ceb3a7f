//! `upkeep`: the procedure that pg_cron runs every minute.

use super::prune::{self, Pruned};
use crate::error::Result;
use crate::tick::{self, Procedure};
use crate::{execution, schedule, sql};
use chrono::{DateTime, Duration, Utc};
use pgrx::datum::TimestampWithTimeZone;

/// The most leases that one transaction expires, and the most rows that it prunes from each table.
const BATCH: i64 = 1000;

/// The most batches that a run prunes; the next run continues.
const MAX_PRUNING: u32 = 20;

/// If the clock has moved further than this since the last run, the run prunes nothing: a clock that is wrong by years
/// must not delete history.
const CLOCK_TOLERANCE: Duration = Duration::hours(1);

/// Writes due ticks, expires leases, corrects schedules and entries, and prunes. Each step runs in its own
/// transactions, in batches.
pub fn upkeep(procedure: &Procedure) -> Result<()> {
    tick::tick(procedure)?;
    let started_at = sql::now();
    let last_run = procedure.batch(|| begin_run(started_at))?;
    let mut expired = 0;
    loop {
        let found = procedure.batch(|| execution::expire_leases(BATCH))?;
        expired += found;
        if found < BATCH {
            break;
        }
    }
    let renewed = procedure.batch(schedule::renew)?;
    let mut pruned = Pruned::default();
    let is_steady =
        last_run.is_none_or(|last_run| (started_at - last_run).abs() <= CLOCK_TOLERANCE);
    let slice = prune::slice_of(started_at);
    for _ in 0..MAX_PRUNING {
        if !is_steady {
            break;
        }
        let found = procedure.batch(|| prune::prune(BATCH, Some(slice)))?;
        pruned += found;
        if found.largest() < BATCH {
            break;
        }
    }
    let args = [
        sql::to_pg(started_at).into(),
        expired.into(),
        renewed.entries.into(),
        renewed.next_ticks.into(),
        pruned.total().into(),
    ];
    procedure.batch(|| sql::run(FINISH_RUN, &args))?;
    Ok(())
}

const LAST_RUN: &str = "select max(started_at) as started_at from kronos_internal.upkeep_runs";

const BEGIN_RUN: &str = "
insert into kronos_internal.upkeep_runs (started_at) values ($1) on conflict do nothing";

const FORGET_RUNS: &str = "
delete from kronos_internal.upkeep_runs
where started_at <= (select started_at from kronos_internal.upkeep_runs order by started_at desc offset 1000 limit 1)";

const FINISH_RUN: &str = "
update kronos_internal.upkeep_runs
set finished_at = clock_timestamp(), expired_leases = $2, renewed_entries = $3, corrected_ticks = $4, pruned_rows = $5
where started_at = $1";

/// Records the start of a run, and returns the start of the last run.
fn begin_run(started_at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let last_run = sql::row(LAST_RUN, &[], |row| {
        sql::get_opt::<TimestampWithTimeZone>(row, "started_at")
    })?;
    sql::run(BEGIN_RUN, &[sql::to_pg(started_at).into()])?;
    sql::run(FORGET_RUNS, &[])?;
    Ok(last_run.flatten().map(sql::from_pg))
}
