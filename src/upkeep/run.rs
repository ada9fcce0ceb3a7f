//! `upkeep`: the procedure that pg_cron runs every minute.

use super::prune::{self, Pruned};
use super::reconcile::reconcile;
use crate::error::Result;
use crate::tick::{self, Procedure};
use crate::{execution, schedule, settings, sql, sql_worker};
use chrono::{DateTime, Duration, Utc};
use pgrx::datum::TimestampWithTimeZone;

/// The most leases that one transaction expires, and the most rows that it prunes from each table.
const BATCH: i64 = 1000;

/// The most batches in which one step of a run expires leases or prunes; the next run continues.
const MAX_BATCHES: u32 = 20;

/// The most repairs of one transaction.
const REPAIRS: usize = 100;

/// If the clock has moved further than this since the last run, the run prunes nothing: a clock that is wrong by years
/// must not delete history.
const CLOCK_TOLERANCE: Duration = Duration::hours(1);

const HAS_SCHEDULES: &str = "select from kronos_internal.schedules limit 1";

/// Writes every due tick, and creates the entry of upkeep if it is missing: nothing else would wake upkeep to repair it.
pub fn tick(procedure: &Procedure) -> Result<()> {
    tick::tick(procedure)?;
    procedure.batch(|| {
        if sql::exists(HAS_SCHEDULES, &[])? {
            schedule::ensure_upkeep(false)?;
        }
        Ok(())
    })
}

/// Writes due ticks, expires leases, repairs schedules and entries, and prunes. Each step runs in its own transactions,
/// in batches, and is recorded in `kronos.upkeep_runs`. A step that fails does not keep the others from running.
pub fn upkeep(procedure: &Procedure) -> Result<()> {
    if !settings::enabled() {
        return Ok(());
    }
    let started_at = sql::now();
    let last_run = procedure.batch(begin_run)?;
    procedure.batch(sql_worker::wake_if_due)?;
    let is_steady = last_run.is_none_or(|last| (started_at - last).abs() <= CLOCK_TOLERANCE);
    let step = |name, work: &mut dyn FnMut(&mut Step) -> Result<i64>| {
        run_step(procedure, started_at, name, work)
    };
    step("tick", &mut |step| {
        tick::tick_in_batches(procedure, &mut |work| step.batch(work))
    })?;
    step("expire_leases", &mut |step| {
        step.repeat(BATCH, || execution::expire_leases(BATCH))
    })?;
    step("reconcile", &mut |step| {
        let mut failed = None;
        let done = step.repeat(REPAIRS as i64, || {
            let (done, not_done): (Vec<_>, Vec<_>) = reconcile(REPAIRS)?
                .into_iter()
                .partition(|repair| repair.error.is_none());
            let error = not_done.into_iter().find_map(|repair| repair.error);
            failed = failed.take().or(error);
            Ok(done.len() as i64)
        })?;
        step.error = step.error.take().or(failed);
        Ok(done)
    })?;
    if !is_steady {
        return Ok(());
    }
    let slice = prune::slice_of(started_at);
    step("prune", &mut |step| {
        let mut pruned = Pruned::default();
        step.repeat(BATCH, || {
            let found = prune::prune(BATCH, Some(slice))?;
            pruned += found;
            Ok(found.largest())
        })?;
        Ok(pruned.total())
    })
}

const RECORD_STEP: &str = "
insert into kronos_internal.upkeep_steps (started_at, step, count, duration, error)
values ($1, $2, $3, clock_timestamp() - $4, $5)
on conflict do nothing";

/// Runs a step, and records its result.
fn run_step(
    procedure: &Procedure,
    started_at: DateTime<Utc>,
    name: &str,
    work: &mut dyn FnMut(&mut Step) -> Result<i64>,
) -> Result<()> {
    let began_at = sql::now_pg();
    let mut step = Step {
        procedure,
        error: None,
    };
    let count = work(&mut step)?;
    let args = [
        sql::to_pg(started_at).into(),
        name.into(),
        count.into(),
        began_at.into(),
        step.error.as_deref().into(),
    ];
    procedure.batch(|| sql::run(RECORD_STEP, &args).map(|_| ()))
}

/// A step of a run.
struct Step<'a> {
    procedure: &'a Procedure,
    /// The error that ended the step.
    error: Option<String>,
}

impl Step<'_> {
    /// Runs a batch of the step, unless an earlier batch has failed, and returns whether more may follow.
    fn batch(&mut self, work: &mut dyn FnMut() -> Result<bool>) -> Result<bool> {
        if self.error.is_some() {
            return Ok(false);
        }
        let result = self
            .procedure
            .batch(|| match sql::in_subtransaction(work) {
                Ok(more) => Ok(Ok(more)),
                Err(failure) if failure.is_interruption() => failure.rethrow(),
                Err(failure) => Ok(Err(failure.report.message().to_owned())),
            })?;
        match result {
            Ok(more) => Ok(more),
            Err(error) => {
                self.error = Some(error);
                Ok(false)
            }
        }
    }

    /// Runs `work`, which returns how many rows it has handled, in batches until it handles fewer than `limit`, and
    /// returns the sum.
    fn repeat(&mut self, limit: i64, mut work: impl FnMut() -> Result<i64>) -> Result<i64> {
        let mut sum = 0;
        for _ in 0..MAX_BATCHES {
            let mut handled = 0;
            let more = self.batch(&mut || {
                handled = work()?;
                Ok(handled >= limit)
            })?;
            sum += handled;
            if !more || self.procedure.is_atomic() {
                break;
            }
        }
        Ok(sum)
    }
}

const LAST_RUN: &str = "select max(started_at) as started_at from kronos_internal.upkeep_steps";

/// Skips rows that another transaction is deleting: it may stay open.
const FORGET_RUNS: &str = include_str!("forget_runs.sql");

/// Deletes the records of all but the last thousand runs, and of runs in the future (the clock was ahead), and returns the
/// start of the last run.
fn begin_run() -> Result<Option<DateTime<Utc>>> {
    let last_run = sql::row(LAST_RUN, &[], |row| {
        sql::get_opt::<TimestampWithTimeZone>(row, "started_at")
    })?;
    sql::run(FORGET_RUNS, &[])?;
    Ok(last_run.flatten().map(sql::from_pg))
}
