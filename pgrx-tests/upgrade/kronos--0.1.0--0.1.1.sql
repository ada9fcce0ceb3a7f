-- A step to a version that does not exist: live/upgrade.rs proves the machinery of upgrades with it.

set local search_path = pg_catalog, pg_temp;

drop type kronos_internal."version 0.1.0";
create type kronos_internal."version 0.1.1" as ();

alter table kronos_internal.upkeep_steps add column batches integer;

-- CREATE OR REPLACE VIEW could replace a stranger's view.
drop view kronos.upkeep_runs;
create view kronos.upkeep_runs with (security_invoker) as
select u.started_at, u.step, u.count, u.duration, u.error, u.batches
from kronos_internal.upkeep_steps u;
comment on view kronos.upkeep_runs is 'The last thousand runs of upkeep(): one row per step.';
comment on column kronos.upkeep_runs.started_at is 'When the run began.';
comment on column kronos.upkeep_runs.count is
    'tick: executions written. expire_leases: attempts failed. reconcile: repairs. prune: rows deleted.';
comment on column kronos.upkeep_runs.error is 'Why the step failed; the other steps ran all the same.';
comment on column kronos.upkeep_runs.batches is 'In how many transactions the step ran.';
grant select on kronos.upkeep_runs to public;

create table kronos_internal.notes (
    workspace_id uuid not null,
    note text not null
);
alter table kronos_internal.notes enable row level security;
create policy readers on kronos_internal.notes for select
    using (workspace_id operator(pg_catalog.=) any (array(select kronos.my_workspaces('viewer'))));
grant select on kronos_internal.notes to public;
select pg_catalog.pg_extension_config_dump('kronos_internal.notes', '');
