-- What people read: tables with what belongs to them.

create view kronos.job_details as
select j.job_id, j.workspace_id, j.endpoint_id, j.lineage_id, j.version, j.previous_version_id, j.replaced_by_id, j.name,
       j.trigger, j.status, j.cron, j.timezone, j.schedule_id, j.input, j.starts_at, j.ends_at, j.catchup_policy,
       j.catchup_window, j.overlap_policy, j.jitter, j.run_at, j.priority, j.idempotency_key, j.declared, j.created_at,
       j.active_since, j.paused_at, j.paused_reason, j.retired_at, j.retired_reason,
       case when s.schedule_id is not null
            then (select t
                  from kronos.next_ticks(j.cron, j.timezone, greatest(s.next_tick_at - interval '1 microsecond',
                                                                      j.starts_at - interval '1 microsecond',
                                                                      j.active_since), 1) t
                  where t < coalesce(j.ends_at, 'infinity'))
       end as next_tick_at,
       (select max(x.tick_at)
        from kronos.executions x
        where x.lineage_id = j.lineage_id
          and x.tick_at > j.created_at
          and x.tick_at <= coalesce(j.retired_at, 'infinity')) as last_tick_at,
       (select count(*)
        from kronos.executions x
        where x.lineage_id = j.lineage_id
          and x.status = 'SKIPPED'
          and x.execution_id >= kronos.uuid_v7_at(now() - interval '1 day')) as skipped_last_day,
       (select x.execution_id
        from kronos.executions x
        where x.lineage_id = j.lineage_id
        order by x.execution_id desc
        limit 1) as last_execution_id,
       encode(uuid_send(j.job_id), 'base64') as cursor
from kronos.jobs j left join kronos.schedules s using (schedule_id);
comment on view kronos.job_details is 'Every version of every job, with the ticks around now.';
comment on column kronos.job_details.next_tick_at is
    'The first tick of a live job that has not been handled yet; null if it has none to come, or is not live.';
comment on column kronos.job_details.last_tick_at is 'The last tick that has an execution, of those of this version.';
comment on column kronos.job_details.skipped_last_day is
    'How many ticks the job (in all its versions) has skipped in the last 24 hours by its overlap_policy.';
comment on column kronos.job_details.last_execution_id is 'The execution of the job (in all its versions) that was made last.';
comment on column kronos.job_details.cursor is 'What list_jobs() takes to go on behind this row.';

create view kronos.execution_details as
select x.execution_id, x.workspace_id, x.job_id, x.lineage_id, x.tick_at, x.origin, x.idempotency_key, x.endpoint_type,
       x.priority, x.in_order, x.run_at, x.status, x.status_reason, x.attempt, x.failed_attempts, x.worker_id,
       x.lease_expires_at, x.stop_requested_at, x.created_at, x.finished_at,
       a.started_at, a.duration, a.output, a.error,
       encode(uuid_send(x.execution_id), 'base64') as cursor
from kronos.executions x left join kronos.attempts a using (execution_id, attempt);
comment on view kronos.execution_details is 'Every execution, with what its last attempt did.';
comment on column kronos.execution_details.cursor is 'What list_executions() takes to go on behind this row.';

create view kronos.queues as
select w.name as workspace, q.*
from (select workspace_id, endpoint_type,
             count(*) filter (where status <> 'RUNNING' and run_at <= now()) as waiting,
             count(*) filter (where status in ('PENDING', 'QUEUED') and run_at > now()) as delayed,
             count(*) filter (where status = 'RETRYING' and run_at > now()) as retrying,
             count(*) filter (where status = 'RUNNING') as running,
             coalesce(now() - min(run_at) filter (where status <> 'RUNNING' and run_at <= now()), interval '0') as lag
      from kronos.executions
      where status in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING')
      group by workspace_id, endpoint_type) q
     join kronos.workspaces w using (workspace_id);
comment on view kronos.queues is 'What there is to do, per workspace and endpoint type.';
comment on column kronos.queues.waiting is 'Executions whose run_at has come and that no worker has.';
comment on column kronos.queues.delayed is 'Executions whose run_at is to come, not tried yet.';
comment on column kronos.queues.retrying is 'Executions that wait for their next attempt.';
comment on column kronos.queues.lag is 'For how long the first of those waiting has been due.';

create view kronos.attempt_details as
select a.*, encode(int4send(a.attempt), 'base64') as cursor
from kronos.attempts a;
comment on view kronos.attempt_details is 'Every attempt.';
comment on column kronos.attempt_details.cursor is 'What list_attempts() takes to go on behind this row.';

create view kronos.log_details as
select l.*, encode(int4send(l.line), 'base64') as cursor
from kronos.execution_logs l;
comment on view kronos.log_details is 'Every line that workers have logged.';
comment on column kronos.log_details.cursor is 'What list_logs() takes to go on behind this row.';

create view kronos.endpoint_details as
select e.endpoint_id, e.workspace_id, e.name, e.type, e.spec, e.retry_policy, e.attempt_timeout, p.name as payload_spec,
       e.created_at, e.updated_at, e.deleted_at,
       encode(uuid_send(e.endpoint_id), 'base64') as cursor
from kronos.endpoints e left join kronos.payload_specs p using (payload_spec_id);
comment on view kronos.endpoint_details is 'Every endpoint, also the deleted ones that are kept for the history.';
comment on column kronos.endpoint_details.cursor is 'What list_endpoints() takes to go on behind this row.';

create view kronos.payload_spec_details as
select p.payload_spec_id, p.workspace_id, p.name, p.schema, p.created_at, p.updated_at,
       encode(uuid_send(p.payload_spec_id), 'base64') as cursor
from kronos.payload_specs p;
comment on view kronos.payload_spec_details is 'Every payload spec.';
comment on column kronos.payload_spec_details.cursor is 'What list_payload_specs() takes to go on behind this row.';

create type kronos.job_status as (
    job_id uuid,
    status text,
    health text,
    last_execution_id uuid,
    last_execution_status text,
    last_finished_at timestamptz,
    waiting bigint,
    running bigint,
    last_tick_at timestamptz,
    next_tick_at timestamptz,
    total bigint,
    succeeded bigint,
    failed bigint,
    mean_duration interval,
    p99_duration interval
);
comment on type kronos.job_status is
    'How a job fares. waiting and running are now; total, succeeded, failed and the durations (of last attempts) are of the executions made in the last 24 hours. health, of the last 10 of these that ended in SUCCESS or FAILED: IDLE (there is none), HEALTHY (none failed), FAILING (half of them or more failed), DEGRADED (some failed).';
