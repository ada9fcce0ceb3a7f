-- The model: workspaces own endpoints and jobs; live cron jobs share schedules, schedules share alarms,
-- and an alarm is one pg_cron entry. Constraints, not code, make a half-scheduled job impossible.

-- Lists and windows of time are read by id alone, since ids sort by time.
create function kronos.uuid_v7_at(at timestamptz) returns uuid
language sql
immutable strict parallel safe
return (lpad(to_hex(greatest(floor(extract(epoch from at) * 1000), 0)::bigint), 12, '0') || '70008000000000000000')::uuid;

create table kronos.workspaces (
    workspace_id uuid primary key default kronos.uuid_v7(),
    name text not null,
    execution_retention interval not null default '30 days',
    job_retention interval not null default '30 days',
    created_at timestamptz not null default clock_timestamp(),
    constraint workspaces_name_unique unique (name),
    constraint workspaces_name_length check (length(name) between 1 and 200),
    constraint workspaces_retention_at_least_a_day
        check (execution_retention >= interval '1 day' and job_retention >= interval '1 day')
);
comment on table kronos.workspaces is 'A tenant: owner of endpoints and jobs.';
comment on column kronos.workspaces.execution_retention is 'How long prune() keeps finished executions, with their attempts and logs.';
comment on column kronos.workspaces.job_retention is 'How long prune() keeps retired versions of jobs, and deleted endpoints.';

create table kronos.payload_specs (
    payload_spec_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null references kronos.workspaces,
    name text not null,
    schema jsonb not null,
    revision_id uuid not null default kronos.uuid_v7(),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint payload_specs_name_unique_in_workspace unique (workspace_id, name),
    constraint payload_specs_workspace_key unique (workspace_id, payload_spec_id),
    constraint payload_specs_name_length check (length(name) between 1 and 200)
);
comment on table kronos.payload_specs is 'A JSON Schema that the inputs of jobs must satisfy.';
comment on column kronos.payload_specs.revision_id is 'Another one at each change of the schema, so that no session uses a compiled one that is out of date.';

create table kronos.endpoints (
    endpoint_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null references kronos.workspaces,
    name text not null,
    type text not null,
    spec jsonb not null,
    retry_policy jsonb not null,
    attempt_timeout interval,
    payload_spec_id uuid,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    deleted_at timestamptz,
    is_live boolean generated always as (case when deleted_at is null then true end) stored,
    constraint endpoints_workspace_key unique (workspace_id, endpoint_id),
    constraint endpoints_live_key unique (endpoint_id, is_live),
    constraint endpoints_payload_spec_in_same_workspace
        foreign key (workspace_id, payload_spec_id) references kronos.payload_specs (workspace_id, payload_spec_id),
    constraint endpoints_attempt_timeout_positive check (attempt_timeout > interval '0'),
    constraint endpoints_name_length check (length(name) between 1 and 200),
    constraint endpoints_type_length check (length(type) between 1 and 100),
    constraint endpoints_spec_is_object check (jsonb_typeof(spec) = 'object')
);
create unique index endpoints_name_unique_in_workspace on kronos.endpoints (workspace_id, name) where deleted_at is null;
create index endpoints_by_payload_spec on kronos.endpoints (payload_spec_id) where payload_spec_id is not null;
comment on table kronos.endpoints is 'Where executions are delivered: a type and its spec.';
comment on column kronos.endpoints.retry_policy is 'max_attempts, backoff (fixed, linear, exponential), initial_delay_ms, max_delay_ms, jitter (0 to 1).';
comment on column kronos.endpoints.attempt_timeout is 'How long an attempt may take; its lease is not extended beyond.';
comment on column kronos.endpoints.deleted_at is 'A deleted endpoint is kept for the history of its jobs, until prune() takes it.';
comment on column kronos.endpoints.is_live is 'What live jobs refer to, so that PostgreSQL refuses to delete an endpoint that one uses.';

create table kronos.alarms (
    alarm_id uuid primary key default kronos.uuid_v7(),
    cron text not null,
    slot integer,
    revision bigint not null default 0,
    constraint alarms_cron_unique unique (cron),
    constraint alarms_slot_unique unique (slot),
    constraint alarms_slot_positive check (slot > 0),
    constraint alarms_catch_all_and_seconds_need_no_slot
        check ((cron = '* * * * *' or cron like '%seconds') = (slot is null))
);
comment on table kronos.alarms is
    'The times at which pg_cron must wake Kronos: one row, one pg_cron entry. slot numbers 1 to kronos.max_alarms bound how many there are.';
comment on column kronos.alarms.revision is
    'Raised by a session that meant to delete the row and found it still in use, so that a stale snapshot cannot decide the same question.';

create table kronos.schedules (
    schedule_id uuid primary key default kronos.uuid_v7(),
    cron text not null,
    timezone text not null,
    alarm_id uuid not null references kronos.alarms,
    next_tick_at timestamptz not null,
    last_tick_at timestamptz,
    settled_at timestamptz not null default clock_timestamp(),
    unsettled boolean not null default false,
    revision bigint not null default 0,
    constraint schedules_cron_and_timezone_unique unique (cron, timezone),
    -- Makes alarm_id part of a key: who holds a schedule FOR KEY SHARE holds its alarm too.
    constraint schedules_alarm_key unique (schedule_id, alarm_id)
);
create index schedules_unsettled on kronos.schedules (schedule_id) where unsettled;
create index schedules_by_next_tick on kronos.schedules (next_tick_at);
create index schedules_by_alarm on kronos.schedules (alarm_id);
comment on table kronos.schedules is 'One cron expression in one time zone, shared by every live job that uses it.';
comment on column kronos.schedules.next_tick_at is 'The first tick that run_due() has not handled yet.';
comment on column kronos.schedules.last_tick_at is 'The last tick that run_due() has handled in time.';
comment on column kronos.schedules.settled_at is
    'Up to here run_due() has seen every job of the schedule. A job created later may have been uncommitted when a tick was handled; run_due() gives it the ticks that it missed.';
comment on column kronos.schedules.unsettled is 'Some session was joining when run_due() last handled a tick: the next call looks again.';
comment on column kronos.schedules.revision is
    'Raised by a session that meant to delete the row and found it still in use, so that a stale snapshot cannot decide the same question.';

create table kronos.jobs (
    job_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null references kronos.workspaces,
    endpoint_id uuid not null,
    lineage_id uuid not null,
    version integer not null default 1,
    previous_version_id uuid,
    replaced_by_id uuid,
    name text,
    trigger text not null,
    status text not null default 'ACTIVE',
    cron text,
    timezone text,
    schedule_id uuid references kronos.schedules,
    input jsonb not null default '{}',
    starts_at timestamptz,
    ends_at timestamptz,
    catchup_policy text,
    catchup_window interval,
    overlap_policy text,
    jitter interval,
    run_at timestamptz,
    priority integer not null default 5,
    idempotency_key text,
    declared boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    active_since timestamptz not null default clock_timestamp(),
    paused_at timestamptz,
    paused_reason text,
    retired_at timestamptz,
    retired_reason text,
    is_live boolean generated always as (case when status <> 'RETIRED' then true end) stored,
    constraint jobs_endpoint_in_same_workspace
        foreign key (workspace_id, endpoint_id) references kronos.endpoints (workspace_id, endpoint_id),
    constraint jobs_live_job_has_live_endpoint
        foreign key (endpoint_id, is_live) references kronos.endpoints (endpoint_id, is_live),
    constraint jobs_lineage_key unique (job_id, lineage_id),
    constraint jobs_one_job_per_version unique (lineage_id, version),
    constraint jobs_one_successor_per_version unique (previous_version_id),
    constraint jobs_replaced_by_in_lineage
        foreign key (replaced_by_id, lineage_id) references kronos.jobs (job_id, lineage_id)
        deferrable initially deferred,
    constraint jobs_idempotency_key_unique_per_endpoint unique (endpoint_id, idempotency_key),
    constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 200),
    constraint jobs_name_length check (length(name) between 1 and 200),
    constraint jobs_declared_has_name check (name is not null or not declared),
    constraint jobs_trigger_known check (trigger in ('IMMEDIATE', 'DELAYED', 'CRON')),
    constraint jobs_status_known check (status in ('ACTIVE', 'PAUSED', 'RETIRED')),
    constraint jobs_cron_has_expression_and_timezone
        check ((trigger = 'CRON') = (cron is not null) and (trigger = 'CRON') = (timezone is not null)),
    constraint jobs_live_cron_job_has_schedule
        check ((trigger = 'CRON' and status = 'ACTIVE') = (schedule_id is not null)),
    constraint jobs_first_version_starts_lineage
        check ((version = 1) = (previous_version_id is null) and (version = 1) = (lineage_id = job_id) and version >= 1),
    constraint jobs_paused_has_time check (status <> 'PAUSED' or paused_at is not null),
    constraint jobs_paused_reason_length check (length(paused_reason) between 1 and 1000),
    constraint jobs_retired_has_time_and_reason
        check ((status = 'RETIRED') = (retired_at is not null) and (status = 'RETIRED') = (retired_reason is not null)),
    constraint jobs_retired_reason_known check (retired_reason in ('REPLACED', 'CANCELLED', 'FINISHED')),
    constraint jobs_replaced_names_successor
        check (coalesce(retired_reason = 'REPLACED', false) = (replaced_by_id is not null)),
    constraint jobs_cron_has_policies
        check ((trigger = 'CRON') = (catchup_policy is not null) and (trigger = 'CRON') = (catchup_window is not null)
               and (trigger = 'CRON') = (overlap_policy is not null) and (trigger = 'CRON') = (jitter is not null)),
    constraint jobs_catchup_policy_known check (catchup_policy in ('none', 'last', 'all')),
    constraint jobs_catchup_window_not_negative check (catchup_window >= interval '0'),
    constraint jobs_overlap_policy_known check (overlap_policy in ('allow', 'skip', 'queue_one', 'replace')),
    constraint jobs_jitter_within_a_day check (jitter between interval '0' and interval '1 day'),
    constraint jobs_delayed_has_run_at check ((trigger = 'DELAYED') = (run_at is not null) and isfinite(run_at)),
    constraint jobs_priority_known check (priority between 0 and 9),
    constraint jobs_window_not_empty check (starts_at < ends_at),
    constraint jobs_window_finite check (isfinite(starts_at) and isfinite(ends_at))
);
create unique index jobs_one_active_version_per_lineage on kronos.jobs (lineage_id) where status <> 'RETIRED';
create unique index jobs_one_live_job_per_name on kronos.jobs (workspace_id, name) where status <> 'RETIRED';
create index jobs_by_schedule on kronos.jobs (schedule_id) where schedule_id is not null;
create index jobs_live_by_endpoint on kronos.jobs (endpoint_id) where is_live is not null;
create index jobs_by_workspace on kronos.jobs (workspace_id, job_id);
create index jobs_retired on kronos.jobs (workspace_id, retired_at) where status = 'RETIRED';
comment on table kronos.jobs is
    'Immutable versions of jobs. An update retires one version and adds the next; job_id names a version, lineage_id the job through all of them.';
comment on column kronos.jobs.name is 'What callers may call it by, through all its versions; unique among the live jobs of a workspace.';
comment on column kronos.jobs.overlap_policy is
    'What becomes of a tick while an execution of the job is not finished: allow (it runs as well), skip (it is skipped), queue_one (one waits, further ones are skipped), replace (waiting ones are cancelled, a running one is asked to stop).';
comment on column kronos.jobs.jitter is
    'Executions may start between their tick and so much later: by how much follows from the job and the tick alone.';
comment on column kronos.jobs.declared is 'It was made by apply_crontab(), and is retired when that declares it no longer.';
comment on column kronos.jobs.catchup_policy is
    'Which ticks are made good that no wake-up has handled in time: none, the last one, or all, of those within catchup_window.';
comment on column kronos.jobs.created_at is 'The instant at which this version took over from the one before.';
comment on column kronos.jobs.active_since is 'The instant at which it was made, or last resumed: it has the ticks that come due after it.';
comment on column kronos.jobs.previous_version_id is 'The version before; prune() may have taken it.';
comment on column kronos.jobs.priority is 'Which of its workspace''s executions start first: 0 (most urgent) to 9.';
comment on column kronos.jobs.run_at is 'When a DELAYED job is to run.';
comment on column kronos.jobs.retired_reason is 'REPLACED by the next version, CANCELLED, or (a one-shot job) FINISHED.';
comment on column kronos.jobs.paused_at is 'When it was last paused; kept after a resume.';

create table kronos.pending_ticks (
    lineage_id uuid not null,
    tick_at timestamptz not null,
    job_id uuid not null,
    since timestamptz not null default clock_timestamp(),
    tried_at timestamptz not null default clock_timestamp(),
    tries integer not null default 1,
    sqlstate text,
    error text,
    constraint pending_ticks_one_per_lineage_and_tick primary key (lineage_id, tick_at),
    constraint pending_ticks_job_in_lineage foreign key (job_id, lineage_id) references kronos.jobs (job_id, lineage_id)
);
create index pending_ticks_by_tried_at on kronos.pending_ticks (tried_at);
comment on table kronos.pending_ticks is
    'Ticks that could not be materialised with the others of their schedule: the job''s row was being changed (error is null), or its execution could not be written (error says why). Each run_due() tries them again.';

select pg_catalog.pg_extension_config_dump('kronos.workspaces', '');
select pg_catalog.pg_extension_config_dump('kronos.payload_specs', '');
select pg_catalog.pg_extension_config_dump('kronos.endpoints', '');
select pg_catalog.pg_extension_config_dump('kronos.alarms', '');
select pg_catalog.pg_extension_config_dump('kronos.schedules', '');
select pg_catalog.pg_extension_config_dump('kronos.jobs', '');
select pg_catalog.pg_extension_config_dump('kronos.pending_ticks', '');
