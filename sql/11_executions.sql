-- Executions, the attempts at them, and what workers log.

create table kronos.executions (
    execution_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null,
    job_id uuid not null,
    lineage_id uuid not null,
    tick_at timestamptz,
    origin text not null,
    idempotency_key text,
    endpoint_type text not null,
    priority integer not null,
    in_order boolean not null default false,
    run_at timestamptz not null,
    status text not null default 'QUEUED',
    status_reason text,
    attempt integer not null default 0,
    failed_attempts integer not null default 0,
    worker_id text,
    lease_expires_at timestamptz,
    stop_requested_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    constraint executions_job_in_lineage foreign key (job_id, lineage_id) references kronos.jobs (job_id, lineage_id),
    constraint executions_one_per_lineage_and_tick unique (lineage_id, tick_at),
    constraint executions_idempotency_key_length check (length(idempotency_key) between 1 and 200),
    constraint executions_origin_known check (origin in ('TICK', 'TRIGGER', 'BACKFILL', 'ONCE')),
    constraint executions_tick_has_time check ((origin in ('TICK', 'BACKFILL')) = (tick_at is not null)),
    constraint executions_run_at_finite check (isfinite(run_at)),
    constraint executions_priority_known check (priority between 0 and 9),
    constraint executions_status_known
        check (status in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING', 'SUCCESS', 'FAILED', 'CANCELLED', 'SKIPPED')),
    constraint executions_running_is_held
        check ((status = 'RUNNING') = (worker_id is not null) and (status = 'RUNNING') = (lease_expires_at is not null)),
    constraint executions_attempts_counted check (failed_attempts between 0 and attempt),
    constraint executions_finished_has_time
        check ((status in ('SUCCESS', 'FAILED', 'CANCELLED', 'SKIPPED')) = (finished_at is not null))
);
create unique index executions_one_per_lineage_and_idempotency_key
    on kronos.executions (lineage_id, idempotency_key) where idempotency_key is not null;
create index executions_unfinished on kronos.executions (lineage_id)
    where status in ('PENDING', 'QUEUED', 'RUNNING', 'RETRYING');
create index executions_waiting on kronos.executions (workspace_id, endpoint_type, priority, run_at)
    where status in ('PENDING', 'QUEUED', 'RETRYING');
create index executions_running on kronos.executions (workspace_id, endpoint_type) where status = 'RUNNING';
create index executions_by_workspace on kronos.executions (workspace_id, execution_id);
create index executions_by_lineage on kronos.executions (lineage_id, execution_id);
comment on table kronos.executions is 'One run to be done: one per tick of a cron job, one per one-shot job, and those triggered by hand.';
comment on column kronos.executions.origin is 'Why it was made: TICK of the schedule, TRIGGER by hand, BACKFILL of a past tick, ONCE for a one-shot job.';
comment on column kronos.executions.endpoint_type is 'The type of its job''s endpoint, by which workers claim.';
comment on column kronos.executions.priority is 'The job''s when it was made: 0 (most urgent) to 9.';
comment on column kronos.executions.in_order is 'It starts only when no earlier tick of the job is unfinished, and none of its executions runs.';
comment on column kronos.executions.status is
    'PENDING (made before its run_at), QUEUED, RUNNING, RETRYING (waits for run_at after a failed attempt), SUCCESS, FAILED, CANCELLED, or SKIPPED: the tick was not run, by the job''s overlap_policy.';
comment on column kronos.executions.status_reason is 'Why it was skipped, cancelled, or failed for good.';
comment on column kronos.executions.attempt is 'The number of its last attempt, counted from 1; with worker_id it fences off workers whose lease is lost.';
comment on column kronos.executions.failed_attempts is 'How many attempts count against the retry policy''s max_attempts: those that failed, or whose lease ran out.';
comment on column kronos.executions.worker_id is 'Who holds it, while it is RUNNING.';
comment on column kronos.executions.lease_expires_at is 'Until when its worker holds it, unless a heartbeat extends it.';
comment on column kronos.executions.stop_requested_at is 'Since when its worker is asked to stop.';
comment on column kronos.executions.tick_at is 'The tick that it stands for, if any.';
comment on column kronos.executions.run_at is 'When it may start.';

-- The only ways from one status to another. WHEN is evaluated in place; the function runs only to refuse.
create function kronos.refuse_transition() returns trigger
language plpgsql
set search_path to pg_catalog, kronos, pg_temp
as $$
begin
    raise exception 'execution % cannot go from % to %', old.execution_id, old.status, new.status
        using errcode = 'object_not_in_prerequisite_state',
              detail = json_build_object('code', 'INVALID_TRANSITION', 'execution_id', old.execution_id,
                                         'from', old.status, 'to', new.status);
end
$$;
create trigger executions_transitions before update of status on kronos.executions
for each row
when (old.status <> new.status
      and (old.status, new.status) not in (
          ('PENDING', 'RUNNING'), ('QUEUED', 'RUNNING'), ('RETRYING', 'RUNNING'),
          ('PENDING', 'CANCELLED'), ('QUEUED', 'CANCELLED'), ('RETRYING', 'CANCELLED'),
          ('RUNNING', 'SUCCESS'), ('RUNNING', 'FAILED'), ('RUNNING', 'RETRYING'),
          ('RUNNING', 'QUEUED'), ('RUNNING', 'CANCELLED')))
execute function kronos.refuse_transition();

create function kronos.notify_workers() returns trigger
language plpgsql
set search_path to pg_catalog, kronos, pg_temp
as $$
begin
    perform pg_notify('kronos_executions', w.name)
    from (select distinct workspace_id from made where status = 'QUEUED') x join kronos.workspaces w using (workspace_id);
    return null;
end
$$;
create trigger executions_notify after insert on kronos.executions
referencing new table as made
for each statement
when (coalesce(current_setting('kronos.notify_workers', true), 'on')::boolean)
execute function kronos.notify_workers();

create table kronos.attempts (
    execution_id uuid not null references kronos.executions on delete cascade,
    attempt integer not null,
    worker_id text not null,
    started_at timestamptz not null,
    deadline_at timestamptz,
    finished_at timestamptz,
    duration interval generated always as (finished_at - started_at) stored,
    outcome text not null default 'RUNNING',
    output jsonb,
    error text,
    constraint attempts_one_per_number primary key (execution_id, attempt),
    constraint attempts_worker_id_length check (length(worker_id) between 1 and 200),
    constraint attempts_outcome_known
        check (outcome in ('RUNNING', 'SUCCEEDED', 'FAILED', 'RELEASED', 'LOST', 'TIMED_OUT')),
    constraint attempts_finished_has_time check ((outcome = 'RUNNING') = (finished_at is null))
);
comment on table kronos.attempts is 'What one try of an execution did.';
comment on column kronos.attempts.deadline_at is 'The end of the endpoint''s attempt_timeout.';
comment on column kronos.attempts.outcome is
    'RUNNING, SUCCEEDED, FAILED, RELEASED (given back, not counted), LOST (its lease ran out), TIMED_OUT (its lease ran out at deadline_at).';

create table kronos.execution_logs (
    execution_id uuid not null references kronos.executions on delete cascade,
    line integer not null,
    attempt integer not null,
    logged_at timestamptz not null default clock_timestamp(),
    level text not null,
    message text not null,
    data jsonb,
    constraint execution_logs_one_per_line primary key (execution_id, line),
    constraint execution_logs_level_known check (level in ('DEBUG', 'INFO', 'WARNING', 'ERROR'))
);
comment on table kronos.execution_logs is 'What workers log about an execution: its last 1000 lines.';
comment on column kronos.execution_logs.line is 'Counted from 1 for each execution.';

-- How long after its n-th failed attempt an execution waits, before jitter.
create function kronos.retry_delay(retry_policy jsonb, failed_attempts integer) returns interval
language sql
immutable
parallel safe
return make_interval(secs => least(
    (retry_policy ->> 'max_delay_ms')::float8,
    (retry_policy ->> 'initial_delay_ms')::float8
    * case retry_policy ->> 'backoff'
          when 'fixed' then 1
          when 'linear' then failed_attempts
          else power(2::float8, least(failed_attempts - 1, 100))
      end) / 1000);

create type kronos.claimed_execution as (
    execution_id uuid,
    attempt integer,
    workspace text,
    job_id uuid,
    tick_at timestamptz,
    run_at timestamptz,
    priority integer,
    input jsonb,
    endpoint text,
    endpoint_type text,
    endpoint_spec jsonb,
    retry_policy jsonb,
    failed_attempts integer,
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
    'What became of one execution of a batch. accepted: the caller held it. If not, status, held_by and held_attempt say how it stands (all null: there is none of that id), and nothing was changed.';

select pg_catalog.pg_extension_config_dump('kronos.executions', '');
select pg_catalog.pg_extension_config_dump('kronos.attempts', '');
select pg_catalog.pg_extension_config_dump('kronos.execution_logs', '');
