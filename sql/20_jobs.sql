-- Cron jobs, their versions, the schedules that wake them, and the ledger of their ticks.

set local search_path = pg_catalog, pg_temp;

create table kronos_internal.schedules (
    schedule_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null references kronos_internal.workspaces,
    cron text not null,
    timezone text not null,
    next_tick_at timestamptz not null,
    ticked_until timestamptz not null default clock_timestamp(),
    pass_until timestamptz,
    pass_job_id uuid,
    slot integer,
    entry_cron text,
    revision bigint not null default 0,
    constraint schedules_cron_and_timezone_unique_in_workspace unique (workspace_id, cron, timezone),
    constraint schedules_slot_unique unique (slot),
    constraint schedules_slot_positive check (slot > 0),
    constraint schedules_slot_has_entry check ((slot is null) = (entry_cron is null)),
    constraint schedules_pass_has_end check (pass_job_id is null or pass_until is not null)
);
create index schedules_by_next_tick on kronos_internal.schedules (next_tick_at);
create index schedules_by_ticked_until on kronos_internal.schedules (ticked_until);
comment on table kronos_internal.schedules is
    'One cron expression in one time zone, shared by the active jobs of a workspace that use it.';
comment on column kronos_internal.schedules.next_tick_at is 'The first tick that no pass has finished yet.';
comment on column kronos_internal.schedules.ticked_until is
    'Every tick up to this instant has been handled. If it lies in the future, the clock was ahead when it was written.';
comment on column kronos_internal.schedules.pass_until is
    'The current pass handles ticks up to this instant. Ticks more than five minutes before it are missed. Null between passes.';
comment on column kronos_internal.schedules.pass_job_id is 'The last job that the current pass has handled. A pass handles jobs in the order of job_id.';
comment on column kronos_internal.schedules.slot is
    'The number of the schedule''s own pg_cron entry: 1 to kronos.max_entries, or 10001 to 10060 for schedules of seconds. Null: upkeep''s entry wakes the schedule every minute.';
comment on column kronos_internal.schedules.entry_cron is 'The cron expression of the schedule''s own pg_cron entry, in pg_cron''s time zone.';
comment on column kronos_internal.schedules.revision is
    'Incremented by a session that found the schedule still in use and kept it. A session with an older snapshot then fails instead of deleting the schedule.';

create table kronos_internal.jobs (
    job_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null,
    version integer not null default 1,
    name text,
    status text not null default 'ACTIVE',
    endpoint_id uuid not null,
    endpoint_type text not null,
    cron text not null,
    timezone text not null,
    schedule_id uuid references kronos_internal.schedules,
    input jsonb not null default '{}',
    metadata jsonb not null default '{}',
    starts_at timestamptz,
    ends_at timestamptz,
    catchup_policy text not null,
    catchup_window kronos_internal.duration not null,
    overlap_policy text not null,
    jitter kronos_internal.duration not null,
    priority integer not null,
    on_failure_id uuid,
    max_consecutive_failures integer,
    concurrency_key text,
    declared_by text,
    created_at timestamptz not null default clock_timestamp(),
    version_since timestamptz not null default clock_timestamp(),
    active_since timestamptz not null default clock_timestamp(),
    ledger_from timestamptz not null default '-infinity',
    paused_at timestamptz,
    paused_reason text,
    retired_at timestamptz,
    retired_reason text,
    is_live boolean generated always as (case when status <> 'RETIRED' then true end) stored,
    constraint jobs_endpoint_in_same_workspace
        foreign key (workspace_id, endpoint_id) references kronos_internal.endpoints (workspace_id, endpoint_id),
    constraint jobs_live_job_has_live_endpoint
        foreign key (endpoint_id, is_live) references kronos_internal.endpoints (endpoint_id, is_live),
    constraint jobs_on_failure_in_same_workspace
        foreign key (workspace_id, on_failure_id) references kronos_internal.endpoints (workspace_id, endpoint_id),
    constraint jobs_version_positive check (version >= 1),
    constraint jobs_name_length check (length(name) between 1 and 200),
    constraint jobs_status_known check (status in ('ACTIVE', 'PAUSED', 'RETIRED')),
    constraint jobs_active_job_has_schedule check ((status = 'ACTIVE') = (schedule_id is not null)),
    constraint jobs_metadata_is_object check (jsonb_typeof(metadata) = 'object'),
    constraint jobs_window_not_empty check (starts_at < ends_at),
    constraint jobs_window_finite check (isfinite(starts_at) and isfinite(ends_at)),
    constraint jobs_catchup_policy_known check (catchup_policy in ('none', 'last', 'all')),
    constraint jobs_catchup_window_range check (catchup_window <= interval '8784 hours'),
    constraint jobs_overlap_policy_known check (overlap_policy in ('allow', 'skip', 'queue_one', 'replace')),
    constraint jobs_jitter_range check (jitter <= interval '24 hours'),
    constraint jobs_priority_range check (priority between 0 and 9),
    constraint jobs_max_consecutive_failures_range check (max_consecutive_failures between 1 and 1000),
    constraint jobs_concurrency_key_length check (length(concurrency_key) between 1 and 200),
    constraint jobs_declared_has_name check (name is not null or declared_by is null),
    constraint jobs_declared_by_length check (length(declared_by) between 1 and 200),
    constraint jobs_paused_has_time check (status <> 'PAUSED' or paused_at is not null),
    constraint jobs_paused_reason_length check (length(paused_reason) between 1 and 1000),
    constraint jobs_retired_has_time_and_reason
        check ((status = 'RETIRED') = (retired_at is not null) and (status = 'RETIRED') = (retired_reason is not null)),
    constraint jobs_retired_reason_known check (retired_reason in ('CANCELLED', 'UNDECLARED', 'ENDED'))
);
create unique index jobs_one_live_job_per_name on kronos_internal.jobs (workspace_id, name) where status <> 'RETIRED';
create index jobs_by_schedule on kronos_internal.jobs (schedule_id, job_id) where schedule_id is not null;
create index jobs_live_by_endpoint on kronos_internal.jobs (endpoint_id) where is_live is not null;
create index jobs_by_on_failure on kronos_internal.jobs (on_failure_id) where on_failure_id is not null;
create index jobs_with_failure_limit on kronos_internal.jobs (job_id)
    where max_consecutive_failures is not null and schedule_id is not null;
create index jobs_by_active_since on kronos_internal.jobs (active_since) where schedule_id is not null;
create index jobs_by_workspace on kronos_internal.jobs (workspace_id, job_id);
create index jobs_retired on kronos_internal.jobs (retired_at) where status = 'RETIRED';
create index jobs_live_by_end on kronos_internal.jobs (ends_at) where ends_at is not null and status <> 'RETIRED';
create index jobs_declared on kronos_internal.jobs (workspace_id, declared_by)
    where declared_by is not null and status <> 'RETIRED';
comment on table kronos_internal.jobs is
    'A cron job in its current version. An update archives the version in job_versions and changes this row in place.';
comment on column kronos_internal.jobs.on_failure_id is
    'The endpoint that gets an execution for each execution of the job that fails; null means that of the job''s endpoint.';
comment on column kronos_internal.jobs.max_consecutive_failures is
    'How many executions must fail in a row, since active_since, for the job to be paused; null means never.';
comment on column kronos_internal.jobs.declared_by is
    'The apply_crontab() set that declares the job. The job retires when the set no longer declares it.';
comment on column kronos_internal.jobs.version_since is 'When this version began.';
comment on column kronos_internal.jobs.active_since is
    'When the job was created, last resumed or last updated. The job has only the ticks after this instant. If it lies in the future, the clock was ahead.';
comment on column kronos_internal.jobs.ledger_from is
    'Ledger rows before this instant have been pruned. No tick before it is ever materialised again.';

create table kronos_internal.job_versions (
    job_id uuid not null references kronos_internal.jobs on delete cascade,
    version integer not null,
    name text,
    endpoint_id uuid not null,
    cron text not null,
    timezone text not null,
    input jsonb not null,
    metadata jsonb not null,
    starts_at timestamptz,
    ends_at timestamptz,
    catchup_policy text not null,
    catchup_window kronos_internal.duration not null,
    overlap_policy text not null,
    jitter kronos_internal.duration not null,
    priority integer not null,
    on_failure_id uuid,
    max_consecutive_failures integer,
    concurrency_key text,
    began_at timestamptz not null,
    ended_at timestamptz not null,
    constraint job_versions_one_per_number primary key (job_id, version)
);
comment on table kronos_internal.job_versions is 'The earlier versions of jobs: one row per replaced version.';

create table kronos_internal.ticks (
    job_id uuid not null,
    tick_at timestamptz not null,
    workspace_id uuid not null,
    version integer not null,
    execution_id uuid,
    reason text,
    recorded_at timestamptz not null default clock_timestamp(),
    constraint ticks_one_per_job_and_tick primary key (job_id, tick_at),
    constraint ticks_skipped_has_reason check ((execution_id is null) = (reason is not null))
);
comment on table kronos_internal.ticks is
    'The ledger: the outcome of each (job, tick). Only a session that holds the job''s row lock writes to it, and no row is ever updated.';
comment on column kronos_internal.ticks.execution_id is 'The execution that runs the tick; null for a tick that was skipped.';
comment on column kronos_internal.ticks.reason is 'Why the tick was skipped.';

-- Adds a fraction of the jitter to the tick. The fraction is 32 bits of PostgreSQL's hash of the job and the tick, so
-- the same tick of a job always gets the same run_at.
create function kronos_internal.run_at(job_id uuid, tick_at timestamptz, jitter interval)
returns timestamptz
language sql
stable
parallel safe
return case when jitter > interval '0'
            then tick_at + jitter * ((pg_catalog.hashtextextended(job_id || ' ' || extract(epoch from tick_at), 0)
                                      & 4294967295) / 4294967296.0)
            else tick_at end;
comment on function kronos_internal.run_at is 'When the execution of a job''s tick is due.';

create table kronos_internal.dropped_ticks (
    job_id uuid not null,
    from_tick_at timestamptz not null,
    to_tick_at timestamptz not null,
    workspace_id uuid not null,
    version integer not null,
    reason text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    constraint dropped_ticks_one_per_job_and_start primary key (job_id, from_tick_at),
    constraint dropped_ticks_range_not_empty check (from_tick_at <= to_tick_at)
);
comment on table kronos_internal.dropped_ticks is
    'Missed ticks that a catchup_policy dropped: one row per job and outage, however many ticks there were. backfill_cron_job() can still run them.';

create table kronos_internal.owed (
    job_id uuid not null,
    tick_at timestamptz not null,
    workspace_id uuid not null,
    tries integer not null default 0,
    sqlstate text,
    error text,
    since timestamptz not null default clock_timestamp(),
    next_try_at timestamptz not null default clock_timestamp(),
    constraint owed_one_per_job_and_tick primary key (job_id, tick_at)
);
create index owed_by_next_try on kronos_internal.owed (next_try_at);
comment on table kronos_internal.owed is
    'Ticks that a wake-up could not write: another transaction had locked the job (error is null), or writing failed. Later wake-ups retry them. Only tick() inserts rows.';

select pg_catalog.pg_extension_config_dump('kronos_internal.schedules', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.jobs', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.job_versions', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.ticks', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.dropped_ticks', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.owed', '');
