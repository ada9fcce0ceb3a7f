-- One row for each violation of an invariant that can be seen in Kronos's own tables.
select 1 as invariant, 'an active job has no schedule' as problem, jsonb_build_object('job_id', j.job_id, 'job_name', j.name) as detail,
       j.version_since as since, 'update the job: it joins its schedule again' as remedy
from kronos_internal.jobs j left join kronos_internal.schedules s using (schedule_id)
where j.status = 'ACTIVE' and s.schedule_id is null

union all
select 1, 'a job and its schedule differ in cron, timezone or workspace', jsonb_build_object('job_id', j.job_id, 'job_name', j.name, 'schedule_id', s.schedule_id),
       null, 'update the job: it joins its schedule again'
from kronos_internal.jobs j join kronos_internal.schedules s using (schedule_id)
where (j.workspace_id, j.cron, j.timezone) <> (s.workspace_id, s.cron, s.timezone)

union all
select 4, 'a schedule is overdue: no wake-up has handled its tick for five minutes',
       jsonb_build_object('schedule_id', s.schedule_id, 'cron', s.cron, 'tick_at', s.next_tick_at),
       s.next_tick_at, 'CALL kronos.tick(); cron.job_run_details says why pg_cron runs no entry'
from kronos_internal.schedules s
where s.next_tick_at < now() - interval '5 minutes'

union all
select 4, 'the clock was ahead when a schedule was handled: its next tick is wrong until the next wake-up',
       jsonb_build_object('schedule_id', s.schedule_id, 'cron', s.cron, 'handled_until', s.ticked_until),
       null, 'none needed: the next wake-up corrects it'
from kronos_internal.schedules s
where s.ticked_until > clock_timestamp() + interval '1 second'

union all
select 4, 'the clock was ahead when a job became active: it has no ticks until the next wake-up',
       jsonb_build_object('job_id', j.job_id, 'job_name', j.name, 'active_since', j.active_since),
       null, 'none needed: the next wake-up corrects it'
from kronos_internal.jobs j
where j.schedule_id is not null and j.active_since > clock_timestamp() + interval '1 second'

union all
select 4, 'a tick is before the ledger_from of its job', jsonb_build_object('job_id', t.job_id, 'job_name', j.name, 'tick_at', t.tick_at), t.recorded_at, null
from kronos_internal.jobs j join kronos_internal.ticks t on t.job_id = j.job_id and t.tick_at < j.ledger_from
where j.ledger_from > '-infinity'

union all
select 4, 'a tick that was run has no execution',
       jsonb_build_object('job_id', t.job_id, 'tick_at', t.tick_at, 'execution_id', t.execution_id), t.recorded_at, null
from kronos_internal.ticks t
where t.recorded_at > now() - interval '1 day' and t.execution_id is not null
  and not exists (select from kronos_internal.live_executions x where x.execution_id = t.execution_id)
  and not exists (select from kronos_internal.history h where h.workspace_id = t.workspace_id and h.execution_id = t.execution_id)

union all
select 6, 'a tick was written after its job was cancelled or paused',
       jsonb_build_object('job_id', t.job_id, 'job_name', j.name, 'tick_at', t.tick_at), t.recorded_at, null
from kronos_internal.ticks t join kronos_internal.jobs j using (job_id)
where t.recorded_at > now() - interval '1 day' and t.execution_id is not null
  and (j.status = 'RETIRED' and t.recorded_at > j.retired_at or j.status = 'PAUSED' and t.recorded_at > j.paused_at)
  -- If the clock was ahead when the tick was written, only the transactions tell that it is older than the change.
  and age(t.xmin) <= age(j.xmin)
  and not exists (select from kronos_internal.live_executions x where x.execution_id = t.execution_id and x.origin = 'BACKFILL')
  and not exists (select from kronos_internal.history h
                  where h.workspace_id = t.workspace_id and h.execution_id = t.execution_id and h.origin = 'BACKFILL')

union all
select 7, 'a tick lies outside its job''s window', jsonb_build_object('job_id', t.job_id, 'job_name', j.name, 'tick_at', t.tick_at), t.recorded_at, null
from kronos_internal.ticks t join kronos_internal.jobs j on j.job_id = t.job_id and j.version = t.version
where t.recorded_at > now() - interval '1 day' and t.recorded_at > j.version_since
  and (t.tick_at < j.starts_at or t.tick_at >= j.ends_at)

union all
select 8, 'an execution is both unfinished and in history', jsonb_build_object('execution_id', x.execution_id), h.finished_at, null
from kronos_internal.live_executions x join kronos_internal.history h using (workspace_id, execution_id)

union all
select 8, 'an unfinished execution contradicts itself', jsonb_build_object('execution_id', x.execution_id), x.created_at, null
from kronos_internal.live_executions x
where x.status not in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING')
   or x.origin not in ('TICK', 'TRIGGER', 'BACKFILL', 'ENQUEUE', 'ON_FAILURE')
   or (x.status = 'RUNNING') <> (x.worker_id is not null) or (x.status = 'RUNNING') <> (x.lease_expires_at is not null)
   or (x.status = 'RUNNING') <> (x.started_at is not null)
   or (x.job_id is null) <> (x.version is null) or (x.job_id is null) <> (x.input is not null)
   or x.failed_attempts not between 0 and x.attempt
   or x.lane not in ('', kronos_internal.lane(x.endpoint_id, x.concurrency_key))

union all
select 10, 'a tick could not be written',
       jsonb_build_object('job_id', o.job_id, 'job_name', j.name, 'tick_at', o.tick_at, 'tries', o.tries,
                          'sqlstate', o.sqlstate, 'error', left(o.error, 1000), 'next_try_at', o.next_try_at),
       o.since, 'remove the cause, or update or cancel the job; the tick is retried by itself'
from kronos_internal.owed o left join kronos_internal.jobs j using (job_id)
where o.error is not null
