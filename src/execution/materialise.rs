//! Executions for ticks, set-based: one statement for all jobs, and smaller ones only around a job that fails.

use super::due::{DueTick, Missed};
use crate::error::Result;
use crate::sql::{self, Failure};
use pgrx::Uuid;
use pgrx::datum::DatumWithOid;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::CaughtError;

/// The executions that jobs owe for the ticks $1, $2 (of jobs that joined after $3, where given): of a job's schedule,
/// after the job was made or resumed, and inside the job's window; and, if it was missed ($4: `last`, `earlier`, or null), what
/// the job's catchup_policy makes good.
pub const OWED: &str = "
select j.workspace_id, j.job_id, j.lineage_id, d.tick_at
from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[]) as d (schedule_id, tick_at, joined_after, missed)
join kronos.jobs j on j.schedule_id = d.schedule_id
where d.tick_at > j.active_since
  and (j.starts_at is null or d.tick_at >= j.starts_at)
  and (j.ends_at is null or d.tick_at < j.ends_at)
  and (d.joined_after is null or j.active_since > d.joined_after)
  and (d.missed is null
       or j.catchup_policy in ('all', d.missed) and d.tick_at >= clock_timestamp() - j.catchup_window)";

const INSERT_OWED: &str = "
insert into kronos.executions (workspace_id, job_id, lineage_id, tick_at, run_at)
select o.workspace_id, o.job_id, o.lineage_id, o.tick_at, o.tick_at
from ({OWED}) o
join unnest($5::uuid[]) as locked (job_id) using (job_id)
on conflict (lineage_id, tick_at) do nothing";

const RECORD_FAILURE: &str = "
insert into kronos.pending_ticks (lineage_id, tick_at, job_id, sqlstate, error)
select o.lineage_id, o.tick_at, o.job_id, $6, $7
from ({OWED}) o
where o.job_id = any ($5::uuid[])
on conflict (lineage_id, tick_at) do nothing";

/// A statement with [`OWED`] in its place.
pub fn with_owed(statement: &str) -> String {
    statement.replace("{OWED}", OWED)
}

/// The arguments $1 to $4 of [`OWED`].
pub fn due_args<'a>(due: &[DueTick]) -> Vec<DatumWithOid<'a>> {
    let schedules: Vec<Uuid> = due.iter().map(|tick| tick.schedule_id).collect();
    let ticks: Vec<TimestampWithTimeZone> =
        due.iter().map(|tick| sql::to_pg(tick.tick_at)).collect();
    let joined_after: Vec<Option<TimestampWithTimeZone>> = due
        .iter()
        .map(|tick| tick.joined_after.map(sql::to_pg))
        .collect();
    let missed: Vec<Option<&str>> = due
        .iter()
        .map(|tick| match tick.missed {
            Missed::No => None,
            Missed::Earlier => Some("earlier"),
            Missed::Last => Some("last"),
        })
        .collect();
    vec![
        schedules.into(),
        ticks.into(),
        joined_after.into(),
        missed.into(),
    ]
}

/// Writes the executions that the jobs owe for the ticks, and returns how many. The jobs' rows are locked by the caller.
///
/// All in one statement. If that raises, the jobs are halved until those that fail stand alone: the others get their
/// executions, and the ticks of each that fails become pending, with the error.
pub fn materialise(due: &[DueTick], jobs: &[Uuid]) -> Result<u64> {
    if due.is_empty() || jobs.is_empty() {
        return Ok(0);
    }
    let mut args = due_args(due);
    args.push(jobs.to_vec().into());
    match sql::in_subtransaction(|| sql::run(&with_owed(INSERT_OWED), &args)) {
        Ok(count) => Ok(count),
        Err(failure) if failure.is_interruption() => interrupted(failure),
        Err(_) if jobs.len() > 1 => {
            let (left, right) = jobs.split_at(jobs.len() / 2);
            Ok(materialise(due, left)? + materialise(due, right)?)
        }
        Err(failure) => {
            args.push(failure.sqlstate().into());
            args.push(failure.to_record().into());
            sql::run(&with_owed(RECORD_FAILURE), &args)?;
            Ok(0)
        }
    }
}

/// Writes the executions that one job owes for the ticks; what goes wrong is the caller's error.
pub fn materialise_or_raise(due: &[DueTick], job_id: Uuid) -> Result<u64> {
    let mut args = due_args(due);
    args.push(vec![job_id].into());
    sql::run(&with_owed(INSERT_OWED), &args)
}

/// Carries an interruption on to the caller.
pub fn interrupted(failure: Failure) -> ! {
    CaughtError::PostgresError(*failure.report).rethrow()
}
