//! `check`: the invariants of the design, each as a query for what violates it.

use crate::error::Result;
use crate::{pg_cron, schedule, settings, sql};
use pgrx::JsonB;
use serde_json::json;

/// One violated invariant.
pub struct Violation {
    /// The number of the invariant in the design.
    pub invariant: i32,
    /// What is wrong.
    pub problem: String,
    /// The ids concerned.
    pub detail: JsonB,
}

/// Executions older than this are not looked at again.
const LOOK_BACK: &str = "interval '1 day'";

/// A tick that has not been handled for so long has been lost, or pg_cron does not get through.
const OVERDUE: &str = "interval '5 minutes'";

/// Every violation there is; none when all is well. It reads live rows, and the executions of the last day.
pub fn check() -> Result<Vec<Violation>> {
    let statement = STATEMENT
        .replace("{ENTRIES}", pg_cron::ENTRIES)
        .replace("{NAME_OF_ALARM}", pg_cron::NAME_OF_ALARM)
        .replace("{LOOK_BACK}", LOOK_BACK)
        .replace("{OVERDUE}", OVERDUE);
    let mut violations = sql::rows(&statement, &[settings::max_alarms().into()], |row| {
        Ok(Violation {
            invariant: sql::get(row, "invariant")?,
            problem: sql::get(row, "problem")?,
            detail: sql::get(row, "detail")?,
        })
    })?;
    violations.extend(schedule::uncovered()?.into_iter().map(|found| Violation {
        invariant: 1,
        problem: "an alarm does not cover the ticks of its schedule".into(),
        detail: JsonB(json!({
            "schedule_id": found.schedule_id.to_string(),
            "cron": found.cron,
            "timezone": found.timezone,
            "alarm_cron": found.alarm_cron,
        })),
    }));
    Ok(violations)
}

const STATEMENT: &str = "
with entries as materialized ({ENTRIES})

select 1 as invariant, 'a live cron job has no schedule' as problem,
       jsonb_build_object('job_id', j.job_id) as detail
from kronos.jobs j left join kronos.schedules s using (schedule_id)
where j.trigger = 'CRON' and j.status = 'ACTIVE' and s.schedule_id is null

union all
select 1, 'a schedule is not that of its job',
       jsonb_build_object('job_id', j.job_id, 'schedule_id', s.schedule_id)
from kronos.jobs j join kronos.schedules s using (schedule_id)
where (j.cron, j.timezone) <> (s.cron, s.timezone)

union all
select 1, 'a schedule has no alarm', jsonb_build_object('schedule_id', s.schedule_id)
from kronos.schedules s left join kronos.alarms a using (alarm_id)
where a.alarm_id is null

union all
select 1, 'an alarm has no pg_cron entry that would fire as it should',
       jsonb_build_object('alarm_id', a.alarm_id, 'alarm_cron', a.cron,
                          'jobid', (select min(e.jobid) from entries e where e.name = {NAME_OF_ALARM}))
from kronos.alarms a
where 1 <> (select count(*)
            from entries e
            where e.name = {NAME_OF_ALARM} and e.schedule = a.cron and e.live)

union all
select 1, 'pg_cron does not run in this database',
       jsonb_build_object('cron.database_name', current_setting('cron.database_name', true))
where not exists (select from pg_catalog.pg_settings
                  where name = 'cron.database_name' and setting = current_database() and short_desc is not null)

union all
select 2, 'a pg_cron entry of Kronos has no alarm', jsonb_build_object('jobid', e.jobid, 'name', e.name)
from entries e
where not exists (select from kronos.alarms a where {NAME_OF_ALARM} = e.name)

union all
select 2, 'an alarm has more than one pg_cron entry', jsonb_build_object('name', e.name, 'jobids', jsonb_agg(e.jobid))
from entries e
group by e.name
having count(*) > 1

union all
select 2, 'an alarm has no schedule', jsonb_build_object('alarm_id', a.alarm_id)
from kronos.alarms a
where not exists (select from kronos.schedules s where s.alarm_id = a.alarm_id)

union all
select 2, 'a schedule has no live job', jsonb_build_object('schedule_id', s.schedule_id)
from kronos.schedules s
where not exists (select from kronos.jobs j where j.schedule_id = s.schedule_id and j.status = 'ACTIVE')

union all
select 2, 'there are more pg_cron entries than kronos.max_alarms allows',
       jsonb_build_object('entries', count(*), 'kronos.max_alarms', $1)
from entries
having count(*) > $1 + 60

union all
select 4, 'a schedule is overdue: no wake-up has handled its tick',
       jsonb_build_object('schedule_id', s.schedule_id, 'tick_at', s.next_tick_at)
from kronos.schedules s
where s.next_tick_at < now() - {OVERDUE}

union all
select 4, 'a live job has no execution for its schedule''s last tick',
       jsonb_build_object('job_id', j.job_id, 'lineage_id', j.lineage_id, 'tick_at', s.last_tick_at)
from kronos.schedules s join kronos.jobs j using (schedule_id) join kronos.workspaces w using (workspace_id)
where j.active_since < s.last_tick_at
  and s.last_tick_at > now() - w.execution_retention
  and j.active_since <= s.settled_at
  and (j.starts_at is null or j.starts_at <= s.last_tick_at)
  and (j.ends_at is null or s.last_tick_at < j.ends_at)
  and not exists (select from kronos.executions x where (x.lineage_id, x.tick_at) = (j.lineage_id, s.last_tick_at))
  and not exists (select from kronos.pending_ticks p where (p.lineage_id, p.tick_at) = (j.lineage_id, s.last_tick_at))

union all
select 5, 'an execution belongs to a version that was not in force at its tick',
       jsonb_build_object('execution_id', x.execution_id, 'job_id', x.job_id, 'tick_at', x.tick_at)
from kronos.executions x join kronos.jobs j using (job_id)
where x.origin = 'TICK' and x.created_at > now() - {LOOK_BACK}
  and (x.tick_at <= j.created_at or x.tick_at > j.retired_at)

union all
select 6, 'an execution was written after its job was cancelled or paused',
       jsonb_build_object('execution_id', x.execution_id, 'job_id', x.job_id, 'tick_at', x.tick_at)
from kronos.executions x join kronos.jobs j using (job_id)
where x.origin = 'TICK' and x.created_at > now() - {LOOK_BACK}
  and (j.retired_reason = 'CANCELLED' and x.created_at > j.retired_at
       or j.status = 'PAUSED' and x.created_at > j.paused_at)

union all
select 7, 'an execution lies outside its job''s window',
       jsonb_build_object('execution_id', x.execution_id, 'job_id', x.job_id, 'tick_at', x.tick_at)
from kronos.executions x join kronos.jobs j using (job_id)
where x.created_at > now() - {LOOK_BACK}
  and (x.tick_at < j.starts_at or x.tick_at >= j.ends_at)

union all
select 8, 'an execution that runs has no attempt of its worker''s',
       jsonb_build_object('execution_id', x.execution_id, 'attempt', x.attempt, 'worker_id', x.worker_id)
from kronos.executions x
left join kronos.attempts a on (a.execution_id, a.attempt, a.worker_id) = (x.execution_id, x.attempt, x.worker_id)
where x.status = 'RUNNING' and a.outcome is distinct from 'RUNNING'

union all
select 10, 'a tick could not be materialised',
       jsonb_build_object('job_id', p.job_id, 'lineage_id', p.lineage_id, 'tick_at', p.tick_at, 'since', p.since,
                          'tries', p.tries, 'sqlstate', p.sqlstate, 'error', p.error)
from kronos.pending_ticks p join kronos.jobs j on j.lineage_id = p.lineage_id and j.status <> 'RETIRED'
where p.error is not null

order by 1, 2";
