//! Executions for ticks, set-based: one statement for all jobs, and smaller ones only around a job that fails.

use super::due::{DueTick, Missed};
use crate::error::Result;
use crate::sql;
use pgrx::Uuid;
use pgrx::datum::DatumWithOid;
use pgrx::datum::TimestampWithTimeZone;

/// The executions that jobs owe for the ticks $1, $2 (of jobs that joined after $3, where given): of a job's schedule,
/// after the job was made or resumed, and inside the job's window; and, if it was missed ($4: `last`, `earlier`, or null), what
/// the job's catchup_policy makes good.
pub const OWED: &str = "
select j.workspace_id, j.job_id, j.lineage_id, d.tick_at, j.overlap_policy, j.jitter, j.priority, e.type as endpoint_type
from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[]) as d (schedule_id, tick_at, joined_after, missed)
join kronos.jobs j on j.schedule_id = d.schedule_id
join kronos.endpoints e on e.endpoint_id = j.endpoint_id
where d.tick_at > j.active_since
  and (j.starts_at is null or d.tick_at >= j.starts_at)
  and (j.ends_at is null or d.tick_at < j.ends_at)
  and (d.joined_after is null or j.active_since > d.joined_after)
  and (d.missed is null
       or j.catchup_policy in ('all', d.missed) and d.tick_at >= clock_timestamp() - j.catchup_window)";

/// Those of the jobs $5.
const OWED_BY_JOBS: &str = "
select o.* from ({OWED}) o join unnest($5::uuid[]) as locked (job_id) using (job_id)";

/// When an execution may start: somewhere within the jitter after the tick, always the same for a job and a tick. The
/// hash is PostgreSQL's, of which 32 bits are taken as a fraction.
const RUN_AT: &str = "
case when o.jitter > interval '0'
     then o.tick_at + o.jitter * ((hashtextextended(o.lineage_id || ' ' || extract(epoch from o.tick_at), 0)
                                   & 4294967295) / 4294967296.0)
     else o.tick_at
end";

/// Writes what {SOURCE} yields. A job that does not allow overlap is decided upon here, tick by tick: what it does not
/// run is written as SKIPPED, with the reason, so that the tick is taken whatever becomes of the others later.
const WRITE: &str = "
with owed as materialized ({SOURCE}),
exclusive as (
    select o.*,
           row_number() over ticks > 1 as follows,
           lead(o.tick_at) over ticks is not null as leads
    from owed o
    where o.overlap_policy <> 'allow'
      and not exists (select from kronos.executions x where (x.lineage_id, x.tick_at) = (o.lineage_id, o.tick_at))
    window ticks as (partition by o.lineage_id order by o.tick_at)
),
decided as materialized (
    select o.*,
           case o.overlap_policy
               when 'skip' then
                   case when o.follows
                          or exists (select from kronos.executions x
                                     where x.lineage_id = o.lineage_id
                                       and x.status in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING'))
                        then 'overlap_policy skip: an execution was not finished' end
               when 'queue_one' then
                   case when o.follows
                          or exists (select from kronos.executions x
                                     where x.lineage_id = o.lineage_id
                                       and (x.status in ('PENDING', 'QUEUED')
                                            or x.status in ('RUNNING', 'RETRYING') and x.tick_at > o.tick_at))
                        then 'overlap_policy queue_one: an execution was waiting' end
               when 'replace' then
                   case when o.leads
                          or exists (select from kronos.executions x
                                     where x.lineage_id = o.lineage_id and x.tick_at > o.tick_at)
                        then 'overlap_policy replace: a later tick was due' end
           end as skipped
    from exclusive o
),
replaced as (
    update kronos.executions x
    set status = case x.status when 'RUNNING' then 'RUNNING' else 'CANCELLED' end,
        status_reason = 'overlap_policy replace: the tick of ' || d.tick_at || ' was due',
        finished_at = case x.status when 'RUNNING' then null else clock_timestamp() end,
        stop_requested_at = case x.status when 'RUNNING' then coalesce(x.stop_requested_at, clock_timestamp()) end
    from decided d
    where d.overlap_policy = 'replace' and d.skipped is null
      and x.lineage_id = d.lineage_id
      and x.status in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING')
),
written as (
    insert into kronos.executions (workspace_id, job_id, lineage_id, tick_at, origin, endpoint_type, priority, in_order,
                                   run_at, status, status_reason, finished_at)
    select o.workspace_id, o.job_id, o.lineage_id, o.tick_at, 'TICK', o.endpoint_type, o.priority,
           o.overlap_policy in ('queue_one', 'replace'), at.run_at,
           case when o.skipped is not null then 'SKIPPED'
                when at.run_at > clock_timestamp() then 'PENDING'
                else 'QUEUED' end,
           o.skipped, case when o.skipped is not null then clock_timestamp() end
    from (select owed.*, null as skipped from owed where overlap_policy = 'allow'
          union all
          select workspace_id, job_id, lineage_id, tick_at, overlap_policy, jitter, priority, endpoint_type, skipped
          from decided) o,
         lateral (select {RUN_AT} as run_at) at
    on conflict (lineage_id, tick_at) do nothing
    returning status
)
select count(*) filter (where status <> 'SKIPPED') as executions, count(*) filter (where status = 'SKIPPED') as skipped
from written";

/// Holds the unfinished executions of the jobs $1 that a tick would replace, and finds the jobs that have one which another
/// session holds: a worker that has just taken it, say.
const HOLD_UNFINISHED: &str = "
with unfinished as materialized (
    select j.job_id, x.execution_id
    from kronos.jobs j join kronos.executions x on x.lineage_id = j.lineage_id
    where j.job_id = any ($1::uuid[]) and j.overlap_policy = 'replace'
      and x.status in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING')
),
held as materialized (
    select execution_id
    from kronos.executions
    where execution_id in (select execution_id from unfinished)
    for no key update skip locked
)
select distinct job_id
from unfinished u
where not exists (select from held h where h.execution_id = u.execution_id)";

/// Of the jobs, those whose ticks cannot be decided upon without waiting for another session.
pub fn busy(jobs: &[Uuid]) -> Result<Vec<Uuid>> {
    sql::rows(HOLD_UNFINISHED, &[jobs.to_vec().into()], |row| {
        sql::get(row, "job_id")
    })
}

/// What was written for ticks.
#[derive(Clone, Copy, Default)]
pub struct Written {
    /// Executions to be run.
    pub executions: i64,
    /// Ticks that their jobs' overlap_policy skipped.
    pub skipped: i64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Written) {
        self.executions += other.executions;
        self.skipped += other.skipped;
    }
}

/// Writes what the jobs of a source owe.
pub fn write(source: &str, args: &[DatumWithOid]) -> Result<Written> {
    let statement = WRITE
        .replace("{SOURCE}", source)
        .replace("{RUN_AT}", RUN_AT);
    let written = sql::row(&statement, args, |row| {
        Ok(Written {
            executions: sql::get(row, "executions")?,
            skipped: sql::get(row, "skipped")?,
        })
    })?;
    Ok(written.unwrap_or_default())
}

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

/// Writes the executions that the jobs owe for the ticks. The jobs' rows are locked by the caller.
///
/// All in one statement. If that raises, the jobs are halved until those that fail stand alone: the others get their
/// executions, and the ticks of each that fails become pending, with the error.
pub fn materialise(due: &[DueTick], jobs: &[Uuid]) -> Result<Written> {
    if due.is_empty() || jobs.is_empty() {
        return Ok(Written::default());
    }
    let mut args = due_args(due);
    args.push(jobs.to_vec().into());
    match sql::in_subtransaction(|| write(&with_owed(OWED_BY_JOBS), &args)) {
        Ok(written) => Ok(written),
        Err(failure) if failure.is_interruption() => failure.rethrow(),
        Err(_) if jobs.len() > 1 => {
            let (left, right) = jobs.split_at(jobs.len() / 2);
            let mut written = materialise(due, left)?;
            written += materialise(due, right)?;
            Ok(written)
        }
        Err(failure) => {
            args.push(failure.sqlstate().into());
            args.push(failure.to_record().into());
            sql::run(&with_owed(RECORD_FAILURE), &args)?;
            Ok(Written::default())
        }
    }
}

/// Writes the executions that one job owes for the ticks; what goes wrong is the caller's error.
pub fn materialise_or_raise(due: &[DueTick], job_id: Uuid) -> Result<()> {
    let mut args = due_args(due);
    args.push(vec![job_id].into());
    write(&with_owed(OWED_BY_JOBS), &args).map(|_| ())
}
