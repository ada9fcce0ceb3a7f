-- Tenants: workspaces, with their payload specs and endpoints.

set local search_path = pg_catalog, pg_temp;

-- A duration has neither months nor days, so that comparing it and adding it agree. PostgreSQL compares intervals with
-- months of 30 days but adds them by the calendar: '-60000000 months 1800000100 days' compares as 100 days.
create domain kronos_internal.duration as interval
    constraint duration_is_canonical
        check (value >= interval '0' and date_part('year', value) = 0
               and date_part('month', value) = 0 and date_part('day', value) = 0);
comment on domain kronos_internal.duration is 'A length of time in hours, minutes and seconds: never negative, no days or months.';

-- Ids sort by time, so a list or a range of time is read by id alone. An id has 48 bits for its time, so an instant
-- outside the years 1970 to 10889 counts as the nearest one inside.
create function kronos.uuid_v7_at(at timestamptz) returns uuid
language sql
immutable strict parallel safe
return (pg_catalog.lpad(pg_catalog.to_hex(least(greatest(pg_catalog.floor(extract(epoch from at) * 1000), 0),
                                             281474976710655)::bigint), 12, '0')
        || '70008000000000000000')::uuid;

create table kronos_internal.workspaces (
    workspace_id uuid primary key default kronos.uuid_v7(),
    name text,
    execution_retention kronos_internal.duration not null default interval '720 hours',
    job_retention kronos_internal.duration not null default interval '720 hours',
    created_at timestamptz not null default clock_timestamp(),
    deleted_at timestamptz,
    constraint workspaces_name_unique unique (name),
    constraint workspaces_name_length check (length(name) between 1 and 200),
    constraint workspaces_only_deleted_has_no_name check ((name is null) = (deleted_at is not null)),
    constraint workspaces_retention_at_least_a_day
        check (deleted_at is not null or execution_retention >= interval '24 hours' and job_retention >= interval '24 hours')
);
create index workspaces_deleted on kronos_internal.workspaces (deleted_at) where deleted_at is not null;
comment on table kronos_internal.workspaces is 'A tenant: it owns endpoints, jobs and executions.';
comment on column kronos_internal.workspaces.execution_retention is
    'How long finished executions, ledger rows and idempotency keys are kept.';
comment on column kronos_internal.workspaces.job_retention is 'How long retired jobs and deleted endpoints are kept.';
comment on column kronos_internal.workspaces.deleted_at is
    'A deleted workspace has no name, and its retention is zero. The row stays until prune() has deleted the rows of the workspace, for at least a day.';

create table kronos_internal.workspace_grants (
    role regrole not null,
    workspace_id uuid references kronos_internal.workspaces,
    capability text not null,
    granted_by regrole not null,
    granted_at timestamptz not null default clock_timestamp(),
    constraint workspace_grants_unique unique nulls not distinct (role, workspace_id, capability),
    constraint workspace_grants_capability_known check (capability in ('viewer', 'producer', 'worker', 'admin'))
);
create index workspace_grants_by_workspace on kronos_internal.workspace_grants (workspace_id);
comment on table kronos_internal.workspace_grants is
    'What roles may do in workspaces. A role that was dropped and created again has another oid, and so no grants.';
comment on column kronos_internal.workspace_grants.workspace_id is 'Null means all workspaces, also those to come.';

create table kronos_internal.payload_specs (
    payload_spec_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null references kronos_internal.workspaces,
    name text not null,
    schema jsonb not null,
    revision_id uuid not null default kronos.uuid_v7(),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint payload_specs_name_unique_in_workspace unique (workspace_id, name),
    constraint payload_specs_workspace_key unique (workspace_id, payload_spec_id),
    constraint payload_specs_name_length check (length(name) between 1 and 200),
    constraint payload_specs_schema_size check (octet_length(schema::text) <= 65536)
);
comment on table kronos_internal.payload_specs is 'A JSON Schema that inputs must satisfy.';
comment on column kronos_internal.payload_specs.revision_id is
    'Changes whenever the schema changes, so that no session uses an outdated compiled schema.';

create table kronos_internal.endpoints (
    endpoint_id uuid primary key default kronos.uuid_v7(),
    workspace_id uuid not null references kronos_internal.workspaces,
    name text not null,
    endpoint_type text not null,
    spec jsonb not null,
    max_attempts integer not null,
    backoff text not null,
    initial_delay_ms bigint not null,
    max_delay_ms bigint not null,
    retry_jitter float8 not null,
    attempt_timeout kronos_internal.duration,
    payload_spec_id uuid,
    run_as regrole,
    on_failure_id uuid,
    max_concurrent integer,
    rate_limit integer,
    rate_interval kronos_internal.duration,
    paused_at timestamptz,
    paused_reason text,
    paused_by text,
    gated_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    deleted_at timestamptz,
    is_live boolean generated always as (case when deleted_at is null then true end) stored,
    constraint endpoints_workspace_key unique (workspace_id, endpoint_id),
    constraint endpoints_live_key unique (endpoint_id, is_live),
    constraint endpoints_payload_spec_in_same_workspace
        foreign key (workspace_id, payload_spec_id)
        references kronos_internal.payload_specs (workspace_id, payload_spec_id),
    constraint endpoints_name_length check (length(name) between 1 and 200),
    constraint endpoints_type_length check (length(endpoint_type) between 1 and 100),
    constraint endpoints_only_sql_has_role check ((endpoint_type = 'SQL') = (run_as is not null)),
    constraint endpoints_spec_is_object check (jsonb_typeof(spec) = 'object'),
    constraint endpoints_spec_size check (octet_length(spec::text) <= 65536),
    constraint endpoints_max_attempts_range check (max_attempts between 1 and 1000),
    constraint endpoints_backoff_known check (backoff in ('fixed', 'linear', 'exponential')),
    constraint endpoints_delay_range
        check (initial_delay_ms between 0 and 2592000000 and max_delay_ms between 0 and 2592000000),
    constraint endpoints_retry_jitter_range check (retry_jitter between 0 and 1),
    constraint endpoints_attempt_timeout_range
        check (attempt_timeout > interval '0' and attempt_timeout <= interval '720 hours'),
    constraint endpoints_max_concurrent_range check (max_concurrent between 1 and 100000),
    constraint endpoints_rate_limit_range check (rate_limit between 1 and 100000),
    constraint endpoints_rate_interval_range
        check (rate_interval >= interval '0.001 seconds' and rate_interval <= interval '24 hours'),
    constraint endpoints_rate_limit_has_interval check ((rate_limit is null) = (rate_interval is null)),
    constraint endpoints_paused_reason_length check (length(paused_reason) between 1 and 1000),
    constraint endpoints_paused_by_known check ((paused_at is null) = (paused_by is null)),
    constraint endpoints_gated_if_paused_or_limited
        check ((gated_at is null) = (paused_at is null and max_concurrent is null and rate_limit is null))
);
create unique index endpoints_name_unique_in_workspace
    on kronos_internal.endpoints (workspace_id, name) where deleted_at is null;
create index endpoints_by_type on kronos_internal.endpoints (workspace_id, endpoint_type);
create index endpoints_of_sql on kronos_internal.endpoints (workspace_id) where run_as is not null;
create index endpoints_by_payload_spec on kronos_internal.endpoints (payload_spec_id) where payload_spec_id is not null;
create index endpoints_by_on_failure on kronos_internal.endpoints (on_failure_id) where on_failure_id is not null;
comment on table kronos_internal.endpoints is 'Where executions run: a type, its spec, and how failures are retried.';
comment on column kronos_internal.endpoints.attempt_timeout is
    'The longest that one attempt may take. Heartbeats do not extend its lease past this.';
comment on column kronos_internal.endpoints.run_as is
    'The role as which the server runs the statement of an SQL endpoint: the one that last wrote it.';
comment on column kronos_internal.endpoints.on_failure_id is
    'The endpoint that gets an execution for each execution of this one that fails. Once it is deleted, it gets none. It has no foreign key, because pg_dump warns of a table that refers to itself.';
comment on column kronos_internal.endpoints.gated_at is
    'Since when the endpoint is paused or has limits without interruption. Executions of a gated endpoint start from lanes only.';
comment on column kronos_internal.endpoints.deleted_at is
    'A deleted endpoint stays for its history and its unfinished executions until prune() removes it.';
comment on column kronos_internal.endpoints.is_live is
    'Live jobs reference this column, so PostgreSQL refuses to delete an endpoint that is in use.';

-- The lane in which the executions of a gated endpoint wait: one for each concurrency key. It begins with the 36
-- characters of the endpoint's id and a colon, so that the lanes of an endpoint are neighbours in an index.
create function kronos_internal.lane(endpoint_id uuid, concurrency_key text) returns text
language sql
immutable
parallel safe
return endpoint_id::text || ':' || coalesce(concurrency_key, '');

-- The delay after an execution's n-th failed attempt, before jitter; see AWS's "Exponential Backoff and Jitter". The
-- exponent is capped so that the power stays finite, and the delay at the 30 days of a policy so that it fits an interval.
create function kronos.retry_delay(backoff text, initial_delay_ms bigint, max_delay_ms bigint, failed_attempts integer)
returns interval
language sql
immutable
parallel safe
return pg_catalog.make_interval(secs => greatest(0, least(
    2592000000,
    max_delay_ms::float8,
    initial_delay_ms::float8
    * case backoff
          when 'fixed' then 1
          when 'linear' then failed_attempts
          else pg_catalog.power(2::float8, least(greatest(failed_attempts, 1) - 1, 100))
      end)) / 1000);

select pg_catalog.pg_extension_config_dump('kronos_internal.workspaces', '');
select pg_catalog.pg_extension_config_dump(
    'kronos_internal.workspace_grants', 'where exists (select from pg_catalog.pg_roles r where r.oid = role::oid)');
select pg_catalog.pg_extension_config_dump('kronos_internal.payload_specs', '');
select pg_catalog.pg_extension_config_dump('kronos_internal.endpoints', '');
