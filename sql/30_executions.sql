-- Executions: the live ones, their history, and what was tried and logged. Live and finished executions stand apart, so
-- that no claim pays for history. One statement writes here for several workspaces: these tables have no foreign keys,
-- since a foreign key's check waits for whoever changes the referenced row. Nor do the live table and the history have CHECK
-- constraints: PostgreSQL parses their stored text at each statement, which was 40 of the 67 µs of an INSERT. kronos.check()
-- looks for live rows that contradict themselves.

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
    version integer,
    priority integer not null,
    attempt integer not null default 0,
    failed_attempts integer not null default 0,
    in_order boolean not null default false,
    origin text not null,
    status text not null,
    endpoint_type text not null,
    status_reason text,
    worker_id text,
    input jsonb,
    metadata jsonb
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index live_executions_waiting
    on kronos_internal.live_executions (workspace_id, endpoint_type, priority, run_at) where status <> 'RUNNING';
create index live_executions_running on kronos_internal.live_executions (lease_expires_at) where status = 'RUNNING';
create index live_executions_by_job on kronos_internal.live_executions (job_id) where job_id is not null;
comment on table kronos_internal.live_executions is
    'Executions that wait or run. The attempt that runs is columns of its execution: worker_id, started_at, deadline_at, lease_expires_at.';
comment on column kronos_internal.live_executions.job_id is 'The job; null for a one-shot.';
comment on column kronos_internal.live_executions.input is 'The input of a one-shot. An execution of a job has the input of its version.';
comment on column kronos_internal.live_executions.in_order is
    'It starts only when no earlier tick of the job is unfinished and no execution of the job runs.';
comment on column kronos_internal.live_executions.status is
    'PENDING (written before its run_at), QUEUED, RUNNING, or RETRYING (waits for run_at after a failed attempt).';
comment on column kronos_internal.live_executions.attempt is
    'The number of its last attempt, from 1. With worker_id it fences off a worker that has lost its lease.';
comment on column kronos_internal.live_executions.failed_attempts is
    'The attempts that count against max_attempts: those that failed or whose lease expired.';
comment on column kronos_internal.live_executions.stop_requested_at is 'Since when its worker is asked to stop.';

-- The only changes of status within the table: an execution that waits starts (to RUNNING), and one that runs waits again (to
-- QUEUED or RETRYING). The function is in Rust and has no WHEN before it, whose text PostgreSQL would parse at each statement.
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
    version integer,
    priority integer not null,
    attempt integer not null,
    failed_attempts integer not null,
    origin text not null,
    status text not null,
    endpoint_type text not null,
    status_reason text,
    worker_id text,
    outcome text,
    input jsonb,
    metadata jsonb,
    output jsonb,
    error text,
    constraint history_one_per_execution primary key (workspace_id, execution_id)
);
create index history_by_job on kronos_internal.history (job_id, execution_id) where job_id is not null;
comment on table kronos_internal.history is
    'Finished executions, written once, with their last attempt: worker_id, started_at, finished_at, output or error.';
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
    'The attempts that did not finish their execution. The last attempt is columns of history.';
comment on column kronos_internal.attempts.outcome is
    'FAILED, RELEASED (given back, not counted), LOST (the lease expired), TIMED_OUT (the lease expired at deadline_at).';

create table kronos_internal.execution_logs (
    execution_id uuid not null,
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
    'What a request with an idempotency key made. The row outlives the move of an execution to history.';
comment on column kronos_internal.idempotency_keys.scope is
    'The kind of request: create_cron_job, enqueue, or trigger_cron_job and the job''s id.';
comment on column kronos_internal.idempotency_keys.made_id is 'The job or the execution.';

create type kronos.enqueued_execution as (
    execution_id uuid,
    status text,
    run_at timestamptz,
    created boolean
);
comment on type kronos.enqueued_execution is
    'The execution of a request. created is false for an execution that an earlier request with the same idempotency key made.';

create type kronos.created_job as (
    job_id uuid,
    name text,
    version integer,
    status text,
    cron text,
    timezone text,
    next_tick_at timestamptz,
    created boolean
);
comment on type kronos.created_job is
    'The job of a request. created is false for a job that was there: made by an earlier request with the same idempotency key, or found by if_not_exists.';

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
comment on type kronos.claimed_execution is 'All that a worker needs to run an execution.';

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
    'What became of one execution that a worker reports. accepted is false if the worker does not hold it: then status, held_by and held_attempt say how it stands (all null: there is no such execution), and nothing was changed.';

select pg_catalog.pg_extension_config_dump('kronos_internal.live_executions', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.history', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.attempts', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.execution_logs', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.idempotency_keys', '');
