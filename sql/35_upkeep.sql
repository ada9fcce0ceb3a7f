-- The runs of upkeep.

set local search_path = pg_catalog, pg_temp;

create table kronos_internal.upkeep_steps (
    started_at timestamptz,
    step text,
    count bigint not null,
    duration interval not null,
    error text,
    constraint upkeep_steps_one_per_run_and_step primary key (started_at, step)
);
comment on table kronos_internal.upkeep_steps is 'The steps of the last thousand runs of upkeep().';

select pg_catalog.pg_extension_config_dump('kronos_internal.upkeep_steps', '');
