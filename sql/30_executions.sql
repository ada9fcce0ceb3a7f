-- Executions: live executions, history, attempts and logs. Live and finished executions have separate tables, so that
-- claims do not pay for history. These tables have no foreign keys: one statement writes for several workspaces, and a
-- foreign key check would wait for any transaction that changes the referenced row. live_executions and history have no
-- CHECK constraints either: PostgreSQL parses their stored text for each statement, which took 40 of the 67 µs of an
-- INSERT. kronos.check() reports live rows that contradict themselves.

set local search_path = pg_catalog, pg_temp;

create table kronos_internal.live_executions (
    execution_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null,
    endpoint_id uuid not null,
    job_id uuid,
    run_at timestamptz not null,
    tick_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    lease_expires_at timestamptz,
    deadline_at timestamptz,
    stop_requested_at timestamptz,
    retried_at timestamptz,
    rescheduled_at timestamptz,
    version integer,
    priority integer not null,
    attempt integer not null default 0,
    failed_attempts integer not null default 0,
    in_order boolean not null default false,
    origin text not null,
    status text not null,
    endpoint_type text not null,
    lane text collate "C" not null default '',
    concurrency_key text,
    status_reason text,
    worker_id text,
    retried_by text,
    input jsonb,
    metadata jsonb,
    key text
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index live_executions_waiting
    on kronos_internal.live_executions (workspace_id, endpoint_type, priority, run_at)
    where status <> 'RUNNING' and lane = '';
create index live_executions_waiting_in_lanes
    on kronos_internal.live_executions (workspace_id, endpoint_type, lane, priority, run_at)
    where status <> 'RUNNING' and lane <> '';
create index live_executions_running on kronos_internal.live_executions (lease_expires_at) where status = 'RUNNING';
create index live_executions_running_in_lanes
    on kronos_internal.live_executions (lane) where status = 'RUNNING' and lane <> '';
create index live_executions_by_job on kronos_internal.live_executions (job_id) where job_id is not null;
create unique index live_executions_one_per_key on kronos_internal.live_executions (workspace_id, key) where key is not null;
comment on table kronos_internal.live_executions is
    'Executions that wait or run. The columns worker_id, started_at, deadline_at and lease_expires_at describe the running attempt.';
comment on column kronos_internal.live_executions.job_id is 'The job; null for a one-shot.';
comment on column kronos_internal.live_executions.input is 'The input of a one-shot; null for an execution of a job, which uses the input of its job version.';
comment on column kronos_internal.live_executions.in_order is
    'The execution starts only when no earlier tick of its job is unfinished and no execution of its job is running.';
comment on column kronos_internal.live_executions.status is
    'PENDING (written before its run_at), QUEUED, RUNNING, or RETRYING (waits for run_at after a failed attempt).';
comment on column kronos_internal.live_executions.attempt is
    'The number of the last attempt, from 1. Together with worker_id it fences off a worker that has lost its lease.';
comment on column kronos_internal.live_executions.failed_attempts is
    'How many attempts count against max_attempts: attempts that failed or whose lease expired.';
comment on column kronos_internal.live_executions.lane is
    'Empty for the common lane, which claims read first. The executions of paused and limited endpoints wait in lanes of their own, one for each concurrency key, so that no claim reads past them. Claims move executions between lanes.';
comment on column kronos_internal.live_executions.stop_requested_at is 'When the worker was first asked to stop.';
comment on column kronos_internal.live_executions.key is 'The caller''s name for a one-shot, unique in the workspace while the one-shot is unfinished.';
comment on column kronos_internal.live_executions.retried_at is
    'When retry_execution() or retry_executions() last moved the execution back from history.';
comment on column kronos_internal.live_executions.rescheduled_at is
    'When reschedule_execution() or postpone_execution() last changed run_at or priority. They are then no longer those of the request.';

-- The table allows three changes of status: a waiting execution starts (RUNNING), a running execution waits again
-- (QUEUED, PENDING or RETRYING), and a waiting execution is rescheduled or replaced (PENDING, QUEUED). The function is in
-- Rust and has no WHEN: PostgreSQL would parse the text of WHEN for each statement.
create function kronos_internal.refuse_transition() returns trigger
language c as 'MODULE_PATHNAME', 'refuse_transition_wrapper';
create trigger live_executions_transitions before update of status on kronos_internal.live_executions
for each row execute function kronos_internal.refuse_transition();

create table kronos_internal.history (
    execution_id uuid not null,
    workspace_id uuid not null,
    endpoint_id uuid not null,
    job_id uuid,
    run_at timestamptz not null,
    tick_at timestamptz,
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz not null,
    stop_requested_at timestamptz,
    retried_at timestamptz,
    rescheduled_at timestamptz,
    version integer,
    priority integer not null,
    attempt integer not null,
    failed_attempts integer not null,
    origin text not null,
    status text not null,
    endpoint_type text not null,
    lane text collate "C" not null default '',
    concurrency_key text,
    status_reason text,
    worker_id text,
    retried_by text,
    outcome text,
    input jsonb,
    metadata jsonb,
    output jsonb,
    error text,
    key text,
    constraint history_one_per_execution primary key (workspace_id, execution_id)
);
create index history_by_job on kronos_internal.history (job_id, execution_id) where job_id is not null;
-- For retry_executions(): the executions that can be retried, oldest first.
create index history_retryable on kronos_internal.history (workspace_id, finished_at) where status <> 'SUCCEEDED';
-- Cancelled executions neither count nor end the row. One decision reads at most 2000 rows.
create function kronos_internal.has_failed_in_a_row(of_job uuid, since timestamptz, times integer) returns boolean
language sql
stable
parallel safe
return (
    select count(*) filter (where l.status = 'FAILED') = times
    from (select r.status
          from (select h.execution_id, h.status
                from kronos_internal.history h
                where h.job_id = of_job and h.execution_id >= kronos.uuid_v7_at(since)
                order by h.execution_id desc
                limit 2000) r
          where r.status <> 'CANCELLED'
          order by r.execution_id desc
          limit times) l);
comment on function kronos_internal.has_failed_in_a_row is
    'Whether the last finished executions of a job, of those created since an instant, all failed: so many of them.';
comment on table kronos_internal.history is
    'Finished executions, written once, with their last attempt: worker_id, started_at, finished_at, output or error.';
comment on column kronos_internal.history.lane is
    'The lane from which an execution of a limited endpoint started that succeeded. The statement that writes the row reads it to notify workers.';
comment on column kronos_internal.history.outcome is
    'How the last attempt ended; null for an execution that was cancelled while it waited.';

create table kronos_internal.attempts (
    execution_id uuid not null,
    attempt integer not null,
    workspace_id uuid not null,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    outcome text not null,
    worker_id text not null,
    error text,
    constraint attempts_one_per_number primary key (execution_id, attempt),
    constraint attempts_outcome_known check (outcome in ('FAILED', 'RELEASED', 'LOST', 'TIMED_OUT'))
);
comment on table kronos_internal.attempts is
    'Attempts that did not finish their execution. An attempt that did is stored in history.';
comment on column kronos_internal.attempts.outcome is
    'FAILED, RELEASED (given back, not counted), LOST (the lease expired), TIMED_OUT (the lease expired at deadline_at).';

create table kronos_internal.execution_logs (
    execution_id uuid not null,
    workspace_id uuid not null,
    line integer not null,
    attempt integer not null,
    logged_at timestamptz not null default clock_timestamp(),
    level text not null,
    message text not null,
    data jsonb,
    constraint execution_logs_one_per_line primary key (execution_id, line),
    constraint execution_logs_level_known check (level in ('DEBUG', 'INFO', 'WARNING', 'ERROR'))
);
comment on table kronos_internal.execution_logs is 'The last 1000 lines that workers logged about an execution.';

create table kronos_internal.idempotency_keys (
    workspace_id uuid not null,
    scope text not null,
    key text not null,
    made_id uuid not null,
    expires_at timestamptz not null,
    constraint idempotency_keys_one_per_scope_and_key primary key (workspace_id, scope, key),
    constraint idempotency_keys_key_length check (length(key) between 1 and 200)
);
create index idempotency_keys_by_expiry on kronos_internal.idempotency_keys (expires_at);
comment on table kronos_internal.idempotency_keys is
    'Which job or execution a request with an idempotency key created. The row stays when the execution moves to history.';
comment on column kronos_internal.idempotency_keys.scope is
    'The kind of request: create_cron_job, enqueue, or trigger_cron_job and the job''s id.';
comment on column kronos_internal.idempotency_keys.made_id is 'The id of the created job or execution.';

create table kronos_internal.attempt_starts (
    lane text collate "C" not null,
    started_at timestamptz not null,
    starts integer not null
);
create index attempt_starts_by_lane on kronos_internal.attempt_starts (lane, started_at);
create index attempt_starts_by_time on kronos_internal.attempt_starts (started_at);
comment on table kronos_internal.attempt_starts is
    'When attempts of endpoints with a rate limit started: one row for each claim and lane, for the time of rate_interval.';

-- When the oldest waiting execution of a queue was due, the executions of paused endpoints left out. It reads up to a
-- limit: the first 1000 executions of each priority, and of the first 100 lanes and priorities.
create function kronos_internal.oldest_waiting(workspace_id uuid, endpoint_type text) returns timestamptz
language sql
stable
return (
    with recursive queues (lane, priority) as (
        (select x.lane, x.priority
         from kronos_internal.live_executions x
         where x.workspace_id = oldest_waiting.workspace_id and x.endpoint_type = oldest_waiting.endpoint_type
           and x.lane <> '' and x.status <> 'RUNNING'
         order by x.lane, x.priority
         limit 1)
        union all
        select n.lane, n.priority
        from queues q
        cross join lateral (
            select x.lane, x.priority
            from kronos_internal.live_executions x
            where x.workspace_id = oldest_waiting.workspace_id and x.endpoint_type = oldest_waiting.endpoint_type
              and (x.lane, x.priority) > (q.lane, q.priority) and x.lane <> '' and x.status <> 'RUNNING'
            order by x.lane, x.priority
            limit 1) n
    )
    select min(f.run_at)
    from (
        select w.run_at, w.endpoint_id
        from pg_catalog.generate_series(0, 9) p (priority)
        cross join lateral (
            select x.run_at, x.endpoint_id
            from kronos_internal.live_executions x
            where x.workspace_id = oldest_waiting.workspace_id and x.endpoint_type = oldest_waiting.endpoint_type
              and x.lane = '' and x.priority = p.priority and x.status <> 'RUNNING'
            order by x.run_at
            limit 1000) w
        union all
        select w.run_at, w.endpoint_id
        from (select q.lane, q.priority from queues q limit 100) q
        cross join lateral (
            select x.run_at, x.endpoint_id
            from kronos_internal.live_executions x
            where x.workspace_id = oldest_waiting.workspace_id and x.endpoint_type = oldest_waiting.endpoint_type
              and x.lane = q.lane and x.lane <> '' and x.priority = q.priority and x.status <> 'RUNNING'
            order by x.run_at
            limit 1) w) f
    where not exists (select
                      from kronos_internal.endpoints e
                      where e.endpoint_id = f.endpoint_id and e.paused_at is not null));

create type kronos.enqueued_execution as (
    execution_id uuid,
    status text,
    run_at timestamptz,
    created boolean
);
comment on type kronos.enqueued_execution is
    'The execution of a request. created is false if the execution existed already: an earlier request with the same idempotency key created it, or an unfinished execution has the same key.';

create type kronos.created_job as (
    job_name text,
    job_id uuid,
    version integer,
    status text,
    cron text,
    timezone text,
    next_tick_at timestamptz,
    created boolean
);
comment on type kronos.created_job is
    'The job of a request. created is false if the job existed already: an earlier request with the same idempotency key created it, or if_not_exists found it.';

create type kronos.claimed_execution as (
    execution_id uuid,
    attempt integer,
    workspace text,
    job_id uuid,
    job_name text,
    version integer,
    tick_at timestamptz,
    run_at timestamptz,
    priority integer,
    input jsonb,
    metadata jsonb,
    endpoint text,
    endpoint_type text,
    endpoint_spec jsonb,
    failed_attempts integer,
    max_attempts integer,
    lease_expires_at timestamptz,
    deadline_at timestamptz
);
comment on type kronos.claimed_execution is 'Everything that a worker needs to run an execution.';
comment on column kronos.claimed_execution.attempt is 'The number of this attempt. Reports must repeat it.';
comment on column kronos.claimed_execution.input is
    'The input of the one-shot, or of the job in the version that the execution belongs to.';
comment on column kronos.claimed_execution.endpoint_spec is 'The spec of the endpoint at the time of the claim.';
comment on column kronos.claimed_execution.failed_attempts is 'The failed attempts before this one.';
comment on column kronos.claimed_execution.lease_expires_at is
    'When the worker loses the execution unless it sends a heartbeat.';
comment on column kronos.claimed_execution.deadline_at is
    'When the attempt times out; null if the endpoint has no attempt_timeout.';

create type kronos.execution_report as (
    execution_id uuid,
    attempt integer,
    accepted boolean,
    status text,
    run_at timestamptz,
    lease_expires_at timestamptz,
    stop_requested boolean,
    held_by text,
    held_attempt integer
);
comment on type kronos.execution_report is
    'The result of a worker''s report about one execution. accepted is false if the worker does not hold the execution. Then nothing was changed, and status, held_by and held_attempt show its current state (all null: the execution does not exist).';
comment on column kronos.execution_report.status is 'The status of the execution after the report.';
comment on column kronos.execution_report.run_at is 'When the execution starts again, if it is RETRYING.';
comment on column kronos.execution_report.stop_requested is 'Whether the worker should stop.';
comment on column kronos.execution_report.held_by is
    'The worker that holds the execution, if the report was not accepted.';

select pg_catalog.pg_extension_config_dump('kronos_internal.live_executions', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.history', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.attempts', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.attempt_starts', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.execution_logs', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.idempotency_keys', '');
