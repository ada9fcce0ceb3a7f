//! Running a cron job for past ticks.

use super::error::too_many_ticks;
use super::find::lock_live;
use super::job_ref::JobRef;
use crate::args;
use crate::authority::Authorised;
use crate::error::{Result, invalid_argument};
use crate::id::ExecutionId;
use crate::schedule::parse_timing;
use crate::{endpoint, sql, tick};
use pgrx::datum::TimestampWithTimeZone;
use std::collections::HashMap;

/// The most ticks that one call handles.
const MAX_TICKS: usize = 10_000;

/// One tick of a backfill.
pub struct Backfilled {
    pub tick_at: TimestampWithTimeZone,
    /// `CREATE`, or `EXISTS` for a tick that is in the ledger already, run or skipped.
    pub action: &'static str,
    /// None for a skipped tick, and for a tick that a dry run would run.
    pub execution_id: Option<ExecutionId>,
}

const FIND_LEDGER: &str = "
select tick_at, execution_id from kronos_internal.ticks where job_id = $1 and tick_at = any ($2)";

/// Writes executions of a live cron job, active or paused, for the ticks `from <= tick < before` of its schedule that
/// lie in its window and are not in the ledger. The executions run now, whatever the job's overlap_policy. A dry run
/// only lists the ticks. Ticks whose ledger rows have been pruned are left out.
///
/// # Errors
/// `JOB_NOT_FOUND`, `JOB_RETIRED`; `INVALID_ARGUMENT` for a range that is empty, infinite or not past; `TOO_MANY_TICKS`.
pub fn backfill(
    workspace: &Authorised,
    job: JobRef,
    from: TimestampWithTimeZone,
    before: TimestampWithTimeZone,
    dry_run: bool,
) -> Result<Vec<Backfilled>> {
    let start = sql::from_pg(args::instant("tick_from", from)?);
    let end = sql::from_pg(args::instant("tick_before", before)?);
    if start >= end {
        return Err(invalid_argument("tick_from", "must be before tick_before")
            .with("tick_from", sql::iso(from)));
    }
    if end > sql::now() {
        return Err(invalid_argument("tick_before", "must not be in the future")
            .with("tick_before", sql::iso(before)));
    }
    let job = lock_live(workspace, job)?;
    endpoint::find_by_id(job.definition.endpoint_id)?.require_use(workspace)?;
    let (timing, _) = parse_timing(&job.definition.cron, &job.definition.timezone)?;
    let window = job.definition.window.range();
    let start = start.max(window.start).max(sql::from_pg(job.ledger_from));
    let ticks: Vec<TimestampWithTimeZone> = timing
        .ticks_in(start..end.min(window.end))
        .inspect(|_| sql::check_for_interrupts())
        .take(MAX_TICKS + 1)
        .map(sql::to_pg)
        .collect();
    if let Some(beyond) = ticks.get(MAX_TICKS) {
        return Err(too_many_ticks(MAX_TICKS, *beyond));
    }
    let in_ledger = sql::by_index(|| {
        sql::rows(
            FIND_LEDGER,
            &[job.job_id.into(), ticks.clone().into()],
            |row| {
                let tick_at: TimestampWithTimeZone = sql::get(row, "tick_at")?;
                Ok((
                    tick_at.into_inner(),
                    sql::get_opt::<ExecutionId>(row, "execution_id")?,
                ))
            },
        )
    })?;
    let in_ledger: HashMap<i64, Option<ExecutionId>> = in_ledger.into_iter().collect();
    let missing: Vec<TimestampWithTimeZone> = ticks
        .iter()
        .copied()
        .filter(|tick| !in_ledger.contains_key(&tick.into_inner()))
        .collect();
    let written = if dry_run || missing.is_empty() {
        vec![]
    } else {
        tick::backfill(job.job_id, missing)?
    };
    let written: HashMap<i64, ExecutionId> = written
        .into_iter()
        .map(|(tick_at, execution_id)| (tick_at.into_inner(), execution_id))
        .collect();
    let describe = |tick_at: TimestampWithTimeZone| match in_ledger.get(&tick_at.into_inner()) {
        Some(execution_id) => Backfilled {
            tick_at,
            action: "EXISTS",
            execution_id: *execution_id,
        },
        None => Backfilled {
            tick_at,
            action: "CREATE",
            execution_id: written.get(&tick_at.into_inner()).copied(),
        },
    };
    Ok(ticks.into_iter().map(describe).collect())
}
