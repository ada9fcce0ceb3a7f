//! Writes ticks, set-based: one statement for many jobs, and smaller statements only around a job that fails.

use crate::calendar::Tick;
use crate::error::{Result, concurrent_change, violates};
use crate::execution::Startable;
use crate::id::{ExecutionId, JobId, WorkspaceId};
use crate::sql;
use pgrx::PgSqlErrorCode;
use pgrx::datum::TimestampWithTimeZone;
use std::collections::HashMap;

/// The ticks to write for one job.
pub struct JobWork {
    pub job_id: JobId,
    pub workspace_id: WorkspaceId,
    /// In ascending order.
    pub run: Vec<Tick>,
    /// The first and the last of the missed ticks that its catchup_policy drops.
    pub dropped: Option<(Tick, Tick)>,
}

impl JobWork {
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.dropped.is_none()
    }
}

/// How many ticks were written.
#[derive(Clone, Copy, Default)]
pub struct Written {
    pub executions: i64,
    /// Ticks that the overlap_policy of their jobs skipped.
    pub skipped: i64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Written) {
        self.executions += other.executions;
        self.skipped += other.skipped;
    }
}

const WRITE_TICKS: &str = include_str!("write_ticks.sql");

/// Why a tick has an execution.
#[derive(Clone, Copy)]
pub enum Origin {
    Tick,
    Backfill,
}

/// Writes the ticks of jobs that are not in the ledger, and notifies workers of the executions. The caller holds the
/// jobs' row locks.
fn write_ticks<'a>(
    of_jobs: impl Iterator<Item = (JobId, &'a [Tick])>,
    origin: Origin,
) -> Result<Written> {
    let (mut jobs, mut ticks, mut is_first, mut is_last) = (vec![], vec![], vec![], vec![]);
    for (job_id, run) in of_jobs {
        for (place, tick) in run.iter().enumerate() {
            jobs.push(job_id);
            ticks.push(sql::to_pg(*tick));
            is_first.push(place == 0);
            is_last.push(place + 1 == run.len());
        }
    }
    if jobs.is_empty() {
        return Ok(Written::default());
    }
    let origin = match origin {
        Origin::Tick => "TICK",
        Origin::Backfill => "BACKFILL",
    };
    let args = [
        jobs.into(),
        ticks.into(),
        is_first.into(),
        is_last.into(),
        origin.into(),
    ];
    let mut written = Written::default();
    // The caller's snapshot can be too old to show a ledger row that another session has committed.
    let mut startable = Startable::default();
    sql::convert_errors(
        || {
            sql::rows(WRITE_TICKS, &args, |row| {
                written += Written {
                    executions: sql::get(row, "executions")?,
                    skipped: sql::get(row, "skipped")?,
                };
                startable.add(row)
            })
        },
        |report| {
            let code = PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION;
            violates(report, code, "ticks_one_per_job_and_tick").then(concurrent_change)
        },
    )?;
    startable.notify();
    Ok(written)
}

const WRITE_DROPPED: &str = include_str!("write_dropped.sql");

/// Records the missed ticks that catchup policies drop: one row per job.
fn write_dropped(works: &[JobWork]) -> Result<()> {
    let (mut jobs, mut from, mut to) = (vec![], vec![], vec![]);
    for work in works {
        if let Some((first, last)) = work.dropped {
            jobs.push(work.job_id);
            from.push(sql::to_pg(first));
            to.push(sql::to_pg(last));
        }
    }
    if jobs.is_empty() {
        return Ok(());
    }
    sql::run(WRITE_DROPPED, &[jobs.into(), from.into(), to.into()]).map(|_| ())
}

/// Writes the ticks that jobs run, and the ticks that their catchup policies drop. The caller holds the jobs' row
/// locks.
pub fn write(works: &[JobWork]) -> Result<Written> {
    write_dropped(works)?;
    let of_jobs = works.iter().map(|work| (work.job_id, work.run.as_slice()));
    write_ticks(of_jobs, Origin::Tick)
}

/// The most failing jobs of a workspace that one call isolates. After that, a failing group of the workspace becomes
/// owed as a whole: isolating a job takes up to fourteen failing statements.
const MAX_ISOLATED: u32 = 50;

/// How many jobs of each workspace have failed in a call.
#[derive(Default)]
pub struct Failures(HashMap<WorkspaceId, u32>);

/// Writes works in subtransactions: first all works in one, and after a failure each half, until the failing jobs are
/// alone. `on_failure` gets the failing works and the error. An interruption ends the call.
pub fn write_isolated(
    works: &[JobWork],
    failures: &mut Failures,
    on_failure: &mut dyn FnMut(&[JobWork], &sql::Failure) -> Result<()>,
) -> Result<Written> {
    sql::check_for_interrupts();
    let (Some(first), Some(last)) = (works.first(), works.last()) else {
        return Ok(Written::default());
    };
    let failure = match sql::in_subtransaction(|| write(works)) {
        Ok(written) => return Ok(written),
        Err(failure) if failure.is_interruption() => failure.rethrow(),
        Err(failure) => failure,
    };
    let is_one_workspace = first.workspace_id == last.workspace_id;
    let isolated = failures.0.entry(first.workspace_id).or_default();
    if works.len() == 1 || is_one_workspace && *isolated >= MAX_ISOLATED {
        *isolated += 1;
        on_failure(works, &failure)?;
        return Ok(Written::default());
    }
    let (left, right) = works.split_at(split_point(works));
    let mut written = write_isolated(left, failures, on_failure)?;
    written += write_isolated(right, failures, on_failure)?;
    Ok(written)
}

/// Where to split a group: between two workspaces if it spans several, so that one workspace's failing jobs cost the
/// others little; otherwise in the middle. The works of a workspace are adjacent.
fn split_point(works: &[JobWork]) -> usize {
    let middle = works.len() / 2;
    let is_boundary = |place: &usize| works[place - 1].workspace_id != works[*place].workspace_id;
    let nearest = (1..works.len())
        .filter(is_boundary)
        .min_by_key(|place| place.abs_diff(middle));
    nearest.unwrap_or(middle)
}

const FIND_WRITTEN: &str = "
select tick_at, execution_id
from kronos_internal.ticks
where job_id = $1 and tick_at = any ($2::timestamptz[]) and execution_id is not null";

/// Writes executions of origin BACKFILL for the ticks of a job that are not in the ledger, to run now, whatever the
/// job's overlap_policy. Returns each given tick that has an execution in the ledger afterwards, with the execution's
/// id. The caller holds the job's row lock.
///
/// # Errors
/// `CONCURRENT_CHANGE` if the snapshot is too old to show the current ledger.
pub fn backfill(
    job_id: JobId,
    ticks: Vec<TimestampWithTimeZone>,
) -> Result<Vec<(TimestampWithTimeZone, ExecutionId)>> {
    let run: Vec<Tick> = ticks.iter().copied().map(sql::from_pg).collect();
    sql::by_index(|| {
        write_ticks(std::iter::once((job_id, run.as_slice())), Origin::Backfill)?;
        sql::rows(FIND_WRITTEN, &[job_id.into(), ticks.into()], |row| {
            Ok((sql::get(row, "tick_at")?, sql::get(row, "execution_id")?))
        })
    })
}
