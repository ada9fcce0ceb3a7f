-- The views for users, with names in place of ids. Functions return rows of these views.

set local search_path = pg_catalog, pg_temp;

create view kronos.workspaces with (security_invoker) as
select w.name as workspace, pg_catalog.justify_hours(w.execution_retention) as execution_retention,
       pg_catalog.justify_hours(w.job_retention) as job_retention, w.created_at, w.workspace_id
from kronos_internal.workspaces w
where w.deleted_at is null;
comment on view kronos.workspaces is 'The workspaces, with how long they keep history.';
comment on column kronos.workspaces.execution_retention is 'How long finished executions are kept.';
comment on column kronos.workspaces.job_retention is 'How long retired jobs are kept.';

create view kronos.workspace_grants with (security_invoker) as
select w.name as workspace, pg_catalog.pg_get_userbyid(g.role::oid) as role, g.capability,
       pg_catalog.pg_get_userbyid(g.granted_by::oid) as granted_by, g.granted_at
from kronos_internal.workspace_grants g
left join kronos_internal.workspaces w using (workspace_id);
comment on view kronos.workspace_grants is 'Which roles may do what. Admins of a workspace see its grants.';
comment on column kronos.workspace_grants.workspace is 'Null means all workspaces, also those to come.';
comment on column kronos.workspace_grants.capability is
    'viewer (reads), producer (also creates jobs and enqueues), worker (claims and reports) or admin (everything).';

create view kronos.payload_specs with (security_invoker) as
select w.name as workspace, p.name as payload_spec, p.schema, p.created_at, p.updated_at, p.payload_spec_id
from kronos_internal.payload_specs p join kronos_internal.workspaces w using (workspace_id);
comment on view kronos.payload_specs is 'The JSON Schemas that inputs must satisfy.';

create view kronos.endpoints with (security_invoker) as
select w.name as workspace, e.name as endpoint, e.endpoint_type,
       case when e.workspace_id = any (array(select kronos.my_workspaces('admin'))) then e.spec end as spec, e.max_attempts, e.backoff, e.initial_delay_ms,
       e.max_delay_ms, e.retry_jitter, e.attempt_timeout, e.max_concurrent, e.rate_limit, e.rate_interval,
       p.name as payload_spec, h.name as on_failure, pg_catalog.pg_get_userbyid(e.run_as::oid) as run_as, e.paused_at,
       e.paused_reason, e.paused_by, e.created_at, e.updated_at, e.deleted_at, e.endpoint_id
from kronos_internal.endpoints e
join kronos_internal.workspaces w using (workspace_id)
left join kronos_internal.payload_specs p using (payload_spec_id)
left join kronos_internal.endpoints h on h.endpoint_id = e.on_failure_id and h.deleted_at is null;
comment on view kronos.endpoints is 'The endpoints, including deleted endpoints that executions or jobs still refer to.';
comment on column kronos.endpoints.endpoint_type is
    'The kind of worker that runs executions of this endpoint, such as HTTP.';
comment on column kronos.endpoints.spec is 'What a worker needs to reach the endpoint. Kronos does not interpret it. Only admins see it: it may hold secrets.';
comment on column kronos.endpoints.max_attempts is 'How many failed attempts end an execution as FAILED.';
comment on column kronos.endpoints.backoff is 'How the pause between attempts grows: exponential, linear or fixed.';
comment on column kronos.endpoints.initial_delay_ms is 'The pause after the first failed attempt.';
comment on column kronos.endpoints.max_delay_ms is 'The longest pause.';
comment on column kronos.endpoints.retry_jitter is 'The share of a pause that chance may take off, 0 to 1.';
comment on column kronos.endpoints.attempt_timeout is 'How long an attempt may run; null for no limit.';
comment on column kronos.endpoints.on_failure is
    'The endpoint that gets an execution for each execution that fails; null if there is none or it was deleted.';
comment on column kronos.endpoints.run_as is
    'The role as which the server runs the statement of an endpoint of type SQL: the one that last wrote it. Null for other types.';
comment on column kronos.endpoints.max_concurrent is
    'How many attempts may run at once for each concurrency key; null for no limit.';
comment on column kronos.endpoints.rate_limit is
    'How many attempts may start within any rate_interval for each concurrency key; null for no limit.';
comment on column kronos.endpoints.paused_at is 'Since when no execution starts; null unless the endpoint is paused.';
comment on column kronos.endpoints.paused_by is 'The role that paused the endpoint.';
comment on column kronos.endpoints.deleted_at is 'When the endpoint was deleted; null for a live endpoint.';

create view kronos.job_details with (security_invoker) as
select w.name as workspace, j.name as job_name, j.job_id, j.version, j.status, j.cron, j.timezone, e.name as endpoint,
       case when n.tick_at < coalesce(j.ends_at, 'infinity') then n.tick_at end as next_tick_at,
       (select max(t.tick_at) from kronos_internal.ticks t where t.job_id = j.job_id) as last_tick_at,
       j.priority, j.overlap_policy, j.catchup_policy, j.catchup_window, j.jitter, j.starts_at, j.ends_at, j.input,
       j.metadata, j.concurrency_key, h.name as on_failure, j.max_consecutive_failures, j.declared_by, j.created_at, j.version_since, j.paused_at, j.paused_reason, j.retired_at,
       j.retired_reason
from kronos_internal.jobs j
join kronos_internal.workspaces w using (workspace_id)
join kronos_internal.endpoints e using (endpoint_id)
left join kronos_internal.endpoints h on h.endpoint_id = j.on_failure_id and h.deleted_at is null
left join kronos_internal.schedules s using (schedule_id)
left join lateral (
    select kronos_internal.next_tick(
        j.cron, j.timezone, greatest(s.ticked_until, j.active_since, j.starts_at - interval '1 microsecond')) as tick_at
) n on s.schedule_id is not null;
comment on view kronos.job_details is 'The cron jobs with all their settings, each in its current version.';
comment on column kronos.job_details.next_tick_at is 'The next tick; null if there is none or the job is not active.';
comment on column kronos.job_details.last_tick_at is 'The last tick of the job in the ledger.';
comment on column kronos.job_details.declared_by is 'The apply_crontab() set that declares the job.';
comment on column kronos.job_details.concurrency_key is
    'The bucket in which executions of the job count towards the limits of their endpoint; null for the bucket without a key.';
comment on column kronos.job_details.priority is '0 (most urgent) to 9.';
comment on column kronos.job_details.overlap_policy is
    'What happens to a tick while an execution of the job is unfinished: allow, skip, queue_one or replace.';
comment on column kronos.job_details.catchup_policy is 'Which missed ticks the job catches up: none, last or all.';
comment on column kronos.job_details.catchup_window is 'Ticks missed longer ago are dropped.';
comment on column kronos.job_details.jitter is 'The longest random delay of an execution after its tick.';
comment on column kronos.job_details.starts_at is 'The job has no ticks before this time.';
comment on column kronos.job_details.ends_at is 'The job has no ticks at or after this time.';
comment on column kronos.job_details.on_failure is
    'The endpoint that gets an execution for each execution of the job that fails; null means that of the job''s endpoint.';
comment on column kronos.job_details.max_consecutive_failures is
    'How many executions must fail in a row for the job to be paused; null means never.';
comment on column kronos.job_details.version_since is 'When the current version began.';
comment on column kronos.job_details.retired_reason is
    'CANCELLED, UNDECLARED (no longer in its set) or ENDED (ends_at is past).';

create view kronos.jobs with (security_invoker) as
select j.workspace, j.job_name, j.status, j.cron, j.timezone, j.endpoint, j.next_tick_at, j.version, j.job_id
from kronos.job_details j;
comment on view kronos.jobs is 'The cron jobs, in few columns. kronos.job_details has the others.';

create view kronos.job_versions with (security_invoker) as
select w.name as workspace, j.name as job_name, v.job_id, v.version, v.name, v.cron, v.timezone, e.name as endpoint,
       v.priority, v.overlap_policy, v.catchup_policy, v.catchup_window, v.jitter, v.starts_at, v.ends_at, v.input,
       v.metadata, v.concurrency_key, h.name as on_failure, v.max_consecutive_failures, v.began_at, v.ended_at
from (select o.job_id, o.version, o.name, o.endpoint_id, o.cron, o.timezone, o.input, o.metadata, o.starts_at, o.ends_at,
             o.catchup_policy, o.catchup_window, o.overlap_policy, o.jitter, o.priority, o.concurrency_key, o.on_failure_id,
             o.max_consecutive_failures, o.began_at, o.ended_at
      from kronos_internal.job_versions o
      union all
      select c.job_id, c.version, c.name, c.endpoint_id, c.cron, c.timezone, c.input, c.metadata, c.starts_at, c.ends_at,
             c.catchup_policy, c.catchup_window, c.overlap_policy, c.jitter, c.priority, c.concurrency_key, c.on_failure_id,
             c.max_consecutive_failures, c.version_since, c.retired_at
      from kronos_internal.jobs c) v
join kronos_internal.jobs j using (job_id)
join kronos_internal.workspaces w using (workspace_id)
left join kronos_internal.endpoints e on e.endpoint_id = v.endpoint_id
left join kronos_internal.endpoints h on h.endpoint_id = v.on_failure_id;
comment on view kronos.job_versions is 'Every version of every cron job, the current one included.';
comment on column kronos.job_versions.endpoint is 'Null if the endpoint was deleted and has been pruned.';
comment on column kronos.job_versions.job_name is 'The current name of the job.';
comment on column kronos.job_versions.name is 'The name of the job in this version.';
comment on column kronos.job_versions.ended_at is
    'When the next version began or the job was retired; null for the current version of a live job.';

create view kronos.ticks with (security_invoker) as
select w.name as workspace, j.name as job_name, t.tick_at, t.outcome, t.reason, t.job_id, t.version, t.execution_id,
       t.recorded_at, t.from_tick_at
from (select l.workspace_id, l.job_id, l.version, l.tick_at, l.tick_at as from_tick_at,
             case when l.execution_id is null then 'SKIPPED' else 'RUN' end as outcome, l.reason, l.execution_id, l.recorded_at
      from kronos_internal.ticks l
      union all
      select d.workspace_id, d.job_id, d.version, d.to_tick_at, d.from_tick_at, 'DROPPED', d.reason, null, d.recorded_at
      from kronos_internal.dropped_ticks d
      union all
      select o.workspace_id, o.job_id, null, o.tick_at, o.tick_at, 'OWED', coalesce(o.error, 'the job was being changed'),
             null, o.since
      from kronos_internal.owed o) t
join kronos_internal.workspaces w using (workspace_id)
left join kronos_internal.jobs j on j.job_id = t.job_id;
comment on view kronos.ticks is
    'The outcome of each tick of a job: RUN, SKIPPED (see reason), OWED (a later wake-up writes it), or DROPPED by the job''s catchup_policy (one row for all missed ticks from from_tick_at to tick_at).';

create view kronos.execution_details with (security_invoker) as
select w.name as workspace, j.name as job_name, x.execution_id, x.status, x.tick_at, x.run_at, e.name as endpoint,
       x.attempt, x.worker_id, x.started_at, x.finished_at, x.finished_at - x.started_at as duration,
       x.output, x.error, x.status_reason, x.origin, x.endpoint_type, x.priority, x.concurrency_key, x.job_id, x.version,
       x.failed_attempts, x.lease_expires_at, x.deadline_at, x.stop_requested_at, x.rescheduled_at, x.retried_at,
       x.retried_by, x.created_at,
       coalesce(x.input, case when x.version = j.version then j.input else v.input end) as input,
       coalesce(x.metadata, case when x.version = j.version then j.metadata else v.metadata end) as metadata,
       x.key
from (select l.workspace_id, l.execution_id, l.endpoint_id, l.job_id, l.version, l.tick_at, l.run_at, l.status,
             l.status_reason, l.origin, l.endpoint_type, l.priority, l.attempt, l.failed_attempts, l.worker_id,
             l.started_at, null::timestamptz as finished_at, l.lease_expires_at, l.deadline_at, l.stop_requested_at,
             l.rescheduled_at, l.retried_at, l.retried_by, l.created_at, l.concurrency_key, l.input, l.metadata, l.key, null::jsonb as output,
             null::text as error
      from kronos_internal.live_executions l
      union all
      select h.workspace_id, h.execution_id, h.endpoint_id, h.job_id, h.version, h.tick_at, h.run_at, h.status,
             h.status_reason, h.origin, h.endpoint_type, h.priority, h.attempt, h.failed_attempts, h.worker_id,
             h.started_at, h.finished_at, null, null, h.stop_requested_at, h.rescheduled_at, h.retried_at,
             h.retried_by, h.created_at, h.concurrency_key, h.input, h.metadata, h.key, h.output, h.error
      from kronos_internal.history h) x
join kronos_internal.workspaces w using (workspace_id)
left join kronos_internal.endpoints e on e.endpoint_id = x.endpoint_id
left join kronos_internal.jobs j on j.job_id = x.job_id
left join kronos_internal.job_versions v on v.job_id = x.job_id and v.version = x.version;
comment on view kronos.execution_details is
    'Every execution, live or finished, with its last attempt: worker_id, started_at, duration, and output or error.';
comment on column kronos.execution_details.origin is
    'Why the execution was created: TICK of a schedule, TRIGGER by hand, BACKFILL of a past tick, ENQUEUE of a one-shot, ON_FAILURE of another execution.';
comment on column kronos.execution_details.status is
    'PENDING (run_at is in the future), QUEUED, RUNNING, RETRYING, SUCCEEDED, FAILED or CANCELLED.';
comment on column kronos.execution_details.status_reason is
    'Why the execution has this status, if its attempts do not say so.';
comment on column kronos.execution_details.tick_at is
    'The tick of the job that the execution belongs to; null for a one-shot and a trigger.';
comment on column kronos.execution_details.run_at is 'No worker starts the execution before this time.';
comment on column kronos.execution_details.attempt is
    'The number of the last attempt; 0 before the first. It also grows when a worker releases the execution.';
comment on column kronos.execution_details.concurrency_key is
    'The bucket in which the execution counts towards the limits of its endpoint.';
comment on column kronos.execution_details.failed_attempts is
    'The attempts that count against max_attempts of the endpoint.';
comment on column kronos.execution_details.lease_expires_at is
    'When the worker loses the execution unless it sends a heartbeat.';
comment on column kronos.execution_details.deadline_at is
    'When the attempt times out; null if the endpoint has no attempt_timeout.';
comment on column kronos.execution_details.stop_requested_at is 'When the worker was asked to stop.';
comment on column kronos.execution_details.rescheduled_at is
    'When reschedule_execution() or postpone_execution() last changed run_at or priority.';
comment on column kronos.execution_details.retried_at is
    'When somebody last retried the execution after it had finished.';
comment on column kronos.execution_details.retried_by is 'The role that did.';
comment on column kronos.execution_details.version is 'The version of the job that the execution was created for.';
comment on column kronos.execution_details.key is
    'The caller''s name for the one-shot, unique in the workspace while the one-shot is unfinished.';

create view kronos.executions with (security_invoker) as
select x.workspace, x.job_name, x.endpoint, x.status, x.run_at, x.attempt, x.duration, x.execution_id
from kronos.execution_details x;
comment on view kronos.executions is
    'Every execution, live or finished, in few columns. kronos.execution_details has the others.';

create view kronos.attempts with (security_invoker) as
select a.execution_id, a.attempt, a.outcome, a.worker_id, a.started_at, a.finished_at,
       a.finished_at - a.started_at as duration, a.error, a.output, a.workspace_id
from (select p.workspace_id, p.execution_id, p.attempt, p.outcome, p.worker_id, p.started_at, p.finished_at, p.error,
             null::jsonb as output
      from kronos_internal.attempts p
      union all
      select l.workspace_id, l.execution_id, l.attempt, 'RUNNING', l.worker_id, l.started_at, null, null, null
      from kronos_internal.live_executions l
      where l.status = 'RUNNING'
      union all
      select h.workspace_id, h.execution_id, h.attempt, h.outcome, h.worker_id, h.started_at, h.finished_at, h.error,
             h.output
      from kronos_internal.history h
      where h.outcome is not null) a;
comment on view kronos.attempts is 'Every attempt of every execution.';
comment on column kronos.attempts.outcome is
    'RUNNING, SUCCEEDED, FAILED, RELEASED (given back by the worker), LOST (the lease expired) or TIMED_OUT (the lease expired at the deadline).';

create view kronos.execution_logs with (security_invoker) as
select l.execution_id, l.line, l.logged_at, l.level, l.message, l.data, l.attempt
from kronos_internal.execution_logs l;
comment on view kronos.execution_logs is 'The last 1000 lines that workers logged about each execution.';

create view kronos.queues with (security_invoker) as
select w.name as workspace, q.endpoint_type, q.waiting, q.running, q.delayed, q.retrying, q.paused, q.lag
from (select l.workspace_id, l.endpoint_type,
             count(*) filter (where l.status <> 'RUNNING' and l.run_at <= now() and e.paused_at is null) as waiting,
             count(*) filter (where l.status = 'RUNNING') as running,
             count(*) filter (where l.status in ('PENDING', 'QUEUED') and l.run_at > now()) as delayed,
             count(*) filter (where l.status = 'RETRYING' and l.run_at > now()) as retrying,
             count(*) filter (where l.status <> 'RUNNING' and l.run_at <= now() and e.paused_at is not null) as paused,
             coalesce(now() - min(l.run_at) filter (where l.status <> 'RUNNING' and l.run_at <= now() and e.paused_at is null),
                      interval '0') as lag
      from kronos_internal.live_executions l
      left join kronos_internal.endpoints e on e.endpoint_id = l.endpoint_id
      group by l.workspace_id, l.endpoint_type) q
join kronos_internal.workspaces w using (workspace_id);
comment on view kronos.queues is 'How many executions wait and run, per workspace and endpoint type.';
comment on column kronos.queues.waiting is
    'Executions that are due and not held by a worker, those that a limit of their endpoint holds back included.';
comment on column kronos.queues.paused is 'Due executions of paused endpoints. waiting and lag leave them out.';
comment on column kronos.queues.delayed is 'Executions not yet tried whose run_at is in the future.';
comment on column kronos.queues.retrying is 'Executions that wait for run_at after a failed attempt.';
comment on column kronos.queues.lag is 'How long the oldest waiting execution has been due.';

create view kronos.failing_ticks with (security_invoker) as
select w.name as workspace, j.name as job_name, j.job_id, o.tick_at, o.since, o.tries, o.sqlstate, o.error, o.next_try_at
from kronos_internal.owed o
join kronos_internal.workspaces w using (workspace_id)
left join kronos_internal.jobs j on j.job_id = o.job_id
where o.error is not null;
comment on view kronos.failing_ticks is 'Ticks whose execution could not be written, with the error and the next retry.';
comment on column kronos.failing_ticks.since is 'When the tick was first found to be owed.';

create view kronos.failing_jobs with (security_invoker) as
select w.name as workspace, j.name as job_name, e.name as endpoint, run.failures, run.failing_since,
       left(last.error, 200) as last_error,
       format('SELECT kronos.retry_execution(%L, workspace => %L)', last.execution_id, w.name) as remedy, j.job_id
from kronos_internal.jobs j
join kronos_internal.workspaces w using (workspace_id)
join kronos_internal.endpoints e using (endpoint_id)
cross join lateral (
    select n.execution_id, n.status, n.error
    from (select h.execution_id, h.status, h.error
          from kronos_internal.history h
          where h.job_id = j.job_id
          order by h.execution_id desc
          limit 100) n
    where n.status <> 'CANCELLED'
    order by n.execution_id desc
    limit 1) last
cross join lateral (
    select count(*) as failures, min(f.finished_at) as failing_since
    from (select n.finished_at, bool_and(n.status = 'FAILED') over (order by n.execution_id desc) as is_in_row
          from (select h.execution_id, h.status, h.finished_at
                from kronos_internal.history h
                where h.job_id = j.job_id and h.execution_id <= last.execution_id
                order by h.execution_id desc
                limit 100) n
          where n.status <> 'CANCELLED') f
    where f.is_in_row) run
where j.status <> 'RETIRED' and last.status = 'FAILED';
comment on view kronos.failing_jobs is
    'Live jobs whose newest finished execution FAILED. Cancelled executions do not count.';
comment on column kronos.failing_jobs.failures is
    'How many executions in a row have failed, among the last 100 that finished.';
comment on column kronos.failing_jobs.failing_since is 'When the first of them finished.';
comment on column kronos.failing_jobs.last_error is 'The first 200 characters of the last error.';
comment on column kronos.failing_jobs.remedy is
    'The call that runs the last one again, once the cause is removed. After it succeeds, the job is no longer listed.';

create view kronos.running_executions with (security_invoker) as
select w.name as workspace, j.name as job_name, e.name as endpoint, x.worker_id, x.started_at, x.lease_expires_at,
       x.deadline_at, x.stop_requested_at, x.attempt, x.execution_id
from kronos_internal.live_executions x
join kronos_internal.workspaces w using (workspace_id)
join kronos_internal.endpoints e using (endpoint_id)
left join kronos_internal.jobs j on j.job_id = x.job_id
where x.status = 'RUNNING';
comment on view kronos.running_executions is 'The executions that workers hold.';
comment on column kronos.running_executions.lease_expires_at is
    'When the worker loses the execution unless it sends a heartbeat.';
comment on column kronos.running_executions.deadline_at is
    'When the attempt times out; null if the endpoint has no attempt_timeout.';
comment on column kronos.running_executions.stop_requested_at is 'When the worker was asked to stop.';

create view kronos.stuck_executions with (security_invoker) as
select w.name as workspace, j.name as job_name, x.endpoint, x.status, x.stuck_since,
       case when x.status = 'RUNNING' then 'the lease of worker ' || x.worker_id || ' has expired'
            when x.is_paused then 'its endpoint is paused' || coalesce(': ' || x.paused_reason, '')
            when x.blocker_id is not null
            then 'an earlier execution of its job is ' || x.blocker_status || ': ' || x.blocker_id
            else 'no worker runs executions of type ' || x.endpoint_type end as reason,
       case when x.status = 'RUNNING' then 'SELECT kronos.expire_leases()'
            when x.is_paused then format('SELECT kronos.resume_endpoint(%L, workspace => %L)', x.endpoint, w.name)
            when x.blocker_run_at > now() and x.blocker_status <> 'RUNNING'
            then format('SELECT kronos.reschedule_execution(%L, now(), workspace => %L)', x.blocker_id, w.name)
            when x.blocker_id is not null
            then format('SELECT kronos.cancel_execution(%L, request_stop => true, workspace => %L)', x.blocker_id, w.name)
            else 'start workers that claim type ' || x.endpoint_type end as remedy,
       x.execution_id
from (select l.workspace_id, l.job_id, l.endpoint_id, l.execution_id, l.status, l.worker_id, l.endpoint_type,
             e.name as endpoint, e.paused_at is not null as is_paused, e.paused_reason,
             case l.status when 'RUNNING' then l.lease_expires_at else l.run_at end as stuck_since,
             o.execution_id as blocker_id, o.status as blocker_status, o.run_at as blocker_run_at
      from kronos_internal.live_executions l
      left join kronos_internal.endpoints e on e.endpoint_id = l.endpoint_id
      left join lateral (
          select b.execution_id, b.status, b.run_at
          from kronos_internal.live_executions b
          where l.in_order and b.job_id = l.job_id and b.execution_id <> l.execution_id
            and (b.status = 'RUNNING' or b.tick_at < l.tick_at)
          order by b.status = 'RUNNING' desc, b.tick_at
          limit 1) o on true
      where l.status = 'RUNNING' and l.lease_expires_at < now()
         or l.status <> 'RUNNING' and l.run_at < now() - interval '5 minutes'
            and (o.execution_id is not null or e.paused_at is not null
                 or not exists (select
                                from kronos_internal.live_executions r
                                where r.status = 'RUNNING' and r.workspace_id = l.workspace_id
                                  and r.endpoint_type = l.endpoint_type))) x
join kronos_internal.workspaces w using (workspace_id)
left join kronos_internal.jobs j on j.job_id = x.job_id;
comment on view kronos.stuck_executions is
    'Executions whose lease has expired, and executions that have been due for five minutes and wait for their endpoint to be resumed, for an earlier execution of their job, or for a worker while none runs executions of their type.';
comment on column kronos.stuck_executions.stuck_since is 'When the lease expired, or when the execution was due.';
comment on column kronos.stuck_executions.remedy is
    'The call that mends it, or what else to do. For an expired lease, upkeep or a claim does the same within a minute.';

create view kronos.upkeep_runs with (security_invoker) as
select u.started_at, u.step, u.count, u.duration, u.error
from kronos_internal.upkeep_steps u;
comment on view kronos.upkeep_runs is 'The last thousand runs of upkeep(): one row per step.';
comment on column kronos.upkeep_runs.started_at is 'When the run began.';
comment on column kronos.upkeep_runs.count is
    'tick: executions written. expire_leases: attempts failed. reconcile: repairs. prune: rows deleted.';
comment on column kronos.upkeep_runs.error is 'Why the step failed; the other steps ran all the same.';

create type kronos.job_status as (
    job_name text,
    job_id uuid,
    status text,
    health text,
    waiting bigint,
    running bigint,
    last_tick_at timestamptz,
    next_tick_at timestamptz,
    last_execution_id uuid,
    last_execution_status text,
    last_finished_at timestamptz,
    total bigint,
    succeeded bigint,
    failed bigint,
    skipped bigint,
    mean_duration interval,
    p99_duration interval
);
comment on type kronos.job_status is
    'The health and recent results of a job. waiting and running count executions now; total, succeeded, failed, skipped and the durations cover the executions and ticks of the last 24 hours. health is judged by the last 10 executions of these 24 hours that succeeded or failed: IDLE (none), HEALTHY (none failed), FAILING (half or more failed), DEGRADED (some failed).';
