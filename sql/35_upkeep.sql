-- The runs of upkeep.

set local search_path = pg_catalog, pg_temp;

create table kronos_internal.upkeep_runs (
    started_at timestamptz primary key,
    finished_at timestamptz,
    expired_leases bigint not null default 0,
    renewed_entries bigint not null default 0,
    corrected_ticks bigint not null default 0,
    pruned_rows bigint not null default 0
);
comment on table kronos_internal.upkeep_runs is 'The last thousand runs of upkeep().';
comment on column kronos_internal.upkeep_runs.finished_at is 'Null while the run is in progress, and for a run that failed.';
comment on column kronos_internal.upkeep_runs.corrected_ticks is
    'Schedules whose stored next tick was wrong, after a change of the time zone data or of the clock.';

select pg_catalog.pg_extension_config_dump('kronos_internal.upkeep_runs', '');
