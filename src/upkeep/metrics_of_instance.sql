-- The metrics of the whole instance.
with upkeep as materialized (
    select u.started_at, sum(u.duration) as duration, count(u.error) as errors
    from kronos_internal.upkeep_steps u
    where u.started_at = (select max(l.started_at) from kronos_internal.upkeep_steps l)
    group by u.started_at
),
schedules as materialized (
    select count(*) as schedules, count(s.slot) as entries, min(s.next_tick_at) as next_tick_at
    from kronos_internal.schedules s
),
tables as materialized (
    select c.relname, pg_total_relation_size(c.oid) as bytes, greatest(c.reltuples, 0) as rows, t.n_dead_tup, t.n_tup_ins
    from pg_catalog.pg_class c
    left join pg_catalog.pg_stat_user_tables t on t.relid = c.oid
    where c.relkind = 'r' and c.relnamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'kronos_internal')
)
select m.name, m.labels, m.value::float8 as value, m.help
from (
    select 'kronos_info' as name, jsonb_build_object('version', x.extversion) as labels, 1 as value,
           'The version of the extension.' as help
    from pg_catalog.pg_extension x
    where x.extname = 'kronos'
    union all
    select 'kronos_enabled', '{}', case when $1 then 1 else 0 end, 'Whether kronos.enabled is on.'
    union all
    select 'kronos_upkeep_age_seconds', '{}', extract(epoch from clock_timestamp() - u.started_at),
           'How long ago the last run of upkeep began. Upkeep runs every minute.'
    from upkeep u
    union all
    select 'kronos_upkeep_duration_seconds', '{}', extract(epoch from u.duration), 'How long the last run of upkeep took.'
    from upkeep u
    union all
    select 'kronos_upkeep_errors', '{}', u.errors, 'How many steps of the last run of upkeep failed: see kronos.upkeep_runs.'
    from upkeep u
    union all
    select 'kronos_tick_lag_seconds', '{}', coalesce(greatest(extract(epoch from now() - s.next_tick_at), 0), 0),
           'How long the earliest tick that no wake-up has handled has been due.'
    from schedules s
    union all
    select 'kronos_schedules', '{}', s.schedules, 'Schedules with active jobs.'
    from schedules s
    union all
    select 'kronos_schedule_entries', '{}', s.entries, 'Schedules with a pg_cron entry of their own. Upkeep wakes the others every minute.'
    from schedules s
    union all
    select 'kronos_executions_created_total', '{}', t.n_tup_ins,
           'Executions created since the statistics of the server were reset.'
    from tables t
    where t.relname = 'live_executions'
    union all
    select 'kronos_executions_finished_total', '{}', t.n_tup_ins,
           'Executions finished since the statistics of the server were reset.'
    from tables t
    where t.relname = 'history'
    union all
    select 'kronos_table_bytes', jsonb_build_object('table', t.relname), t.bytes, 'The size of a table of Kronos, with its indexes.'
    from tables t
    union all
    select 'kronos_table_rows', jsonb_build_object('table', t.relname), t.rows, 'The rows of a table of Kronos, as of its last VACUUM or ANALYZE.'
    from tables t
    union all
    select 'kronos_table_dead_rows', jsonb_build_object('table', t.relname), coalesce(t.n_dead_tup, 0),
           'Rows of a table of Kronos that VACUUM has not removed yet.'
    from tables t
    union all
    select 'kronos_oldest_snapshot_seconds', '{}', coalesce(max(extract(epoch from clock_timestamp() - a.xact_start)), 0),
           'How long the oldest transaction that keeps VACUUM from removing rows has been open.'
    from pg_catalog.pg_stat_activity a
    where a.backend_xmin is not null and a.pid <> pg_backend_pid()
) m (name, labels, value, help)
