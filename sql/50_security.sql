-- Row-level security: whoever reads the views sees the rows of the workspaces for which they have a grant. The views run
-- with the rights of their reader (security_invoker). Nobody but the owner can name the tables, since schema
-- kronos_internal grants no USAGE (members of pg_read_all_data can, and see the specs of endpoints in their workspaces).
-- The owner's own statements are not restricted.
--
-- Each policy looks the workspaces up once per query. A correlated subquery took 8 s on two million rows.

set local search_path = pg_catalog, pg_temp;

alter table kronos_internal.workspaces enable row level security;
create policy readers on kronos_internal.workspaces for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.workspace_grants enable row level security;
create policy admins on kronos_internal.workspace_grants for select
    using (workspace_id = any (array(select kronos.my_workspaces('admin')))
           or workspace_id is null and (select kronos_internal.has_everywhere('admin')));

alter table kronos_internal.payload_specs enable row level security;
create policy readers on kronos_internal.payload_specs for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.endpoints enable row level security;
create policy readers on kronos_internal.endpoints for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.schedules enable row level security;
create policy readers on kronos_internal.schedules for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.jobs enable row level security;
create policy readers on kronos_internal.jobs for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

-- Versions are read together with their job.
alter table kronos_internal.job_versions enable row level security;
create policy readers on kronos_internal.job_versions for select
    using (job_id in (select j.job_id from kronos_internal.jobs j));

alter table kronos_internal.ticks enable row level security;
create policy readers on kronos_internal.ticks for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.dropped_ticks enable row level security;
create policy readers on kronos_internal.dropped_ticks for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.owed enable row level security;
create policy readers on kronos_internal.owed for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.live_executions enable row level security;
create policy readers on kronos_internal.live_executions for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.history enable row level security;
create policy readers on kronos_internal.history for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.attempts enable row level security;
create policy readers on kronos_internal.attempts for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

alter table kronos_internal.execution_logs enable row level security;
create policy readers on kronos_internal.execution_logs for select
    using (workspace_id = any (array(select kronos.my_workspaces('viewer'))));

-- Nobody but the owner reads idempotency keys and the starts of attempts.
alter table kronos_internal.idempotency_keys enable row level security;
alter table kronos_internal.attempt_starts enable row level security;

alter table kronos_internal.upkeep_steps enable row level security;
create policy operators on kronos_internal.upkeep_steps for select
    using ((select kronos_internal.has_everywhere('viewer')));

grant select on all tables in schema kronos_internal to public;
revoke select on kronos_internal.idempotency_keys, kronos_internal.attempt_starts from public;
grant select on all tables in schema kronos to public;
