-- What works against Kronos, beyond the violations that check() finds.
-- $1 is whether kronos.enabled is on, $2 the most entries of minutes, $3 the hot tables.
with runs as materialized (
    select u.started_at, lag(u.started_at) over (order by u.started_at) as previous_at
    from (select distinct s.started_at from kronos_internal.upkeep_steps s) u
),
defaults as materialized (
    select d.setdatabase, d.setrole, split_part(c.setting, '=', 1) as name,
           substr(c.setting, strpos(c.setting, '=') + 1) as value
    from pg_catalog.pg_db_role_setting d, unnest(d.setconfig) c (setting)
    where d.setdatabase in (0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database()))
    union all
    select 0, 0, s.name, s.reset_val
    from pg_catalog.pg_settings s
    where s.name in ('default_transaction_read_only', 'session_replication_role', 'row_security')
      and s.source in ('configuration file', 'command line')
)
select 'ERROR' as severity, format('step %s of upkeep fails: %s', u.step, u.error) as finding,
       jsonb_build_object('step', u.step, 'at', u.started_at) as detail,
       'remove the cause; the next run of upkeep repeats the step' as advice
from kronos_internal.upkeep_steps u
where u.started_at = (select max(r.started_at) from runs r) and u.error is not null

union all
select 'ERROR', 'upkeep has not run for more than five minutes',
       jsonb_build_object('last_run', max(r.started_at)),
       'SELECT kronos.start(); if pg_cron does not run it then, the other findings say why'
from runs r
where $1 and not pg_is_in_recovery()
having max(r.started_at) < clock_timestamp() - interval '5 minutes'

union all
select 'WARNING', 'upkeep did not run for more than ten minutes: the server or pg_cron stood still, or the clock was moved forward',
       jsonb_build_object('from', r.previous_at, 'to', r.started_at),
       'none needed: ticks that were missed follow the catchup_policy of their job'
from runs r
where r.started_at > now() - interval '1 day' and r.started_at - r.previous_at > interval '10 minutes'

union all
select 'ERROR', 'the clock went back', jsonb_build_object('last_run_of_upkeep', max(r.started_at), 'now', clock_timestamp()),
       'see that the clock is right now. Ticks that have run do not run again; upkeep prunes nothing while its clock jumps'
from runs r
having max(r.started_at) > clock_timestamp() + interval '1 minute'

union all
select 'WARNING', 'kronos.enabled is off: no tick is written and no execution is claimed', '{}',
       'switch it on, unless this is a copy that must stay quiet'
where not $1

union all
select 'WARNING', 'all pg_cron entries for schedules of minutes are in use: upkeep wakes the others, within a minute',
       jsonb_build_object('max_entries', $2, 'without_entry', count(*)),
       'none needed, unless these schedules must be on time to the second: then raise kronos.max_entries'
from kronos_internal.schedules s
where s.slot is null and $2 > 0
having count(*) > 0

union all
select 'WARNING', 'few pg_cron entries for schedules of seconds are free: the next schedules will be refused',
       jsonb_build_object('used', count(*), 'of', 60),
       'let jobs share schedules, or use schedules of minutes'
from kronos_internal.schedules s
where s.slot > 10000
having count(*) > 54

union all
select 'ERROR', 'autovacuum is off: claims become slower with every execution that finishes',
       jsonb_build_object('setting', s.name), format('set %s = on', s.name)
from pg_catalog.pg_settings s
where s.name in ('autovacuum', 'track_counts') and s.setting = 'off'

union all
select 'ERROR', format('autovacuum is off for kronos_internal.%I: claims become slower with every execution that finishes', c.relname),
       jsonb_build_object('table', c.relname),
       format('ALTER TABLE kronos_internal.%I RESET (autovacuum_enabled)', c.relname)
from pg_catalog.pg_class c
where c.relnamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'kronos_internal')
  and c.relname = any ($3)
  and c.reloptions && array['autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0', 'autovacuum_enabled=no']

union all
select 'WARNING', 'a transaction that has been open for more than ten minutes keeps VACUUM from removing finished rows',
       jsonb_build_object('pid', a.pid, 'role', a.usename, 'application_name', a.application_name, 'state', a.state, 'since', a.xact_start),
       format('end it: SELECT pg_terminate_backend(%s)', a.pid)
from pg_catalog.pg_stat_activity a
where a.backend_xmin is not null and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
  and a.xact_start < clock_timestamp() - interval '10 minutes'

union all
select 'WARNING', 'a prepared transaction keeps VACUUM from removing finished rows',
       jsonb_build_object('gid', p.gid, 'owner', p.owner, 'since', p.prepared),
       format('COMMIT PREPARED %L or ROLLBACK PREPARED %L', p.gid, p.gid)
from pg_catalog.pg_prepared_xacts p
where p.prepared < clock_timestamp() - interval '10 minutes'

union all
select 'WARNING', 'an unused replication slot keeps VACUUM from removing finished rows',
       jsonb_build_object('slot', r.slot_name), format('connect its standby, or SELECT pg_drop_replication_slot(%L)', r.slot_name)
from pg_catalog.pg_replication_slots r
where not r.active and (r.xmin is not null or r.catalog_xmin is not null)

union all
select 'ERROR', format('the default of %s works against Kronos', d.name),
       jsonb_strip_nulls(jsonb_build_object('setting', d.name, 'value', d.value,
           'role', (select r.rolname from pg_catalog.pg_roles r where r.oid = d.setrole),
           'database', (select b.datname from pg_catalog.pg_database b where b.oid = d.setdatabase))),
       case d.name
           when 'default_transaction_read_only' then 'callers cannot write: ALTER … RESET default_transaction_read_only'
           when 'session_replication_role' then 'PostgreSQL checks no foreign keys: ALTER … RESET session_replication_role'
           when 'row_security' then 'readers of the views get an error: ALTER … RESET row_security'
           else 'calls without a workspace argument fail: create the workspace, or change the default'
       end
from defaults d
where d.name = 'default_transaction_read_only' and lower(d.value) in ('on', 'true', 'yes', '1')
   or d.name = 'session_replication_role' and d.value = 'replica'
   or d.name = 'row_security' and lower(d.value) in ('off', 'false', 'no', '0')
   or d.name = 'kronos.workspace' and d.value <> 'default'
      and not exists (select from kronos_internal.workspaces w where w.name = d.value)

union all
select 'ERROR', 'the tables of Kronos belong to several roles', jsonb_build_object('owners', jsonb_agg(distinct pg_get_userbyid(c.relowner))),
       format('SELECT kronos.set_owner(%L)', current_user)
from pg_catalog.pg_class c
where c.relkind = 'r' and c.relnamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'kronos_internal')
having count(distinct c.relowner) > 1

union all
select 'WARNING', 'a newer version of the extension is installed on the server',
       jsonb_build_object('version', x.extversion, 'available', a.default_version), 'ALTER EXTENSION kronos UPDATE'
from pg_catalog.pg_extension x join pg_catalog.pg_available_extensions a on a.name = x.extname
where x.extname = 'kronos' and a.default_version <> x.extversion

union all
select 'WARNING', 'executions have been due for more than five minutes, and no worker runs any of this type',
       jsonb_build_object('workspace', w.name, 'endpoint_type', q.endpoint_type, 'due_since', oldest.run_at),
       'start workers that claim this endpoint type'
from (select distinct e.workspace_id, e.endpoint_type from kronos_internal.endpoints e) q
join kronos_internal.workspaces w using (workspace_id)
cross join lateral (select kronos_internal.oldest_waiting(q.workspace_id, q.endpoint_type) as run_at) oldest
where oldest.run_at < now() - interval '5 minutes' and w.deleted_at is null
  and not exists (select
                  from kronos_internal.live_executions r
                  where r.status = 'RUNNING' and r.workspace_id = q.workspace_id and r.endpoint_type = q.endpoint_type)

union all
select 'WARNING', format('endpoint %s of workspace %s has been paused for more than a day', e.name, w.name),
       jsonb_build_object('workspace', w.name, 'endpoint', e.name, 'paused_at', e.paused_at, 'paused_by', e.paused_by,
                          'reason', e.paused_reason),
       format('SELECT kronos.resume_endpoint(%L, workspace => %L), or leave it paused', e.name, w.name)
from kronos_internal.endpoints e join kronos_internal.workspaces w using (workspace_id)
where e.paused_at < now() - interval '1 day'
