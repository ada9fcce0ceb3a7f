-- What keeps pg_cron from firing the entries of Kronos, by its settings, its own history and the state of the server.
-- $1 is the commands of Kronos's entries, $2 how many background processes pg_cron leaves free.
with settings as materialized (
    select coalesce(current_setting('cron.use_background_workers', true) = 'on', false) as uses_workers,
           coalesce(current_setting('cron.enable_superuser_jobs', true) = 'on', true) as allows_superusers,
           coalesce(current_setting('cron.log_run', true) = 'on', true) as logs_runs,
           current_setting('max_worker_processes')::integer as max_workers,
           current_setting('kronos.max_sql_workers')::integer as max_sql_workers,
           -- Beside the free ones, the dispatcher of SQL executions takes one.
           current_setting('max_worker_processes')::integer - $2 + 1 + current_setting('kronos.max_sql_workers')::integer as needed,
           current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer as max_connections
),
processes as materialized (
    select count(*) filter (where a.backend_type = 'pg_cron launcher') as launchers,
           count(*) filter (where a.backend_type = 'client backend') as connections,
           count(*) filter (where a.backend_type not in ('client backend', 'autovacuum launcher', 'autovacuum worker', 'background writer',
                                                         'checkpointer', 'walwriter', 'walsender', 'walreceiver', 'startup', 'archiver',
                                                         'standalone backend', 'slotsync worker', 'walsummarizer', 'io worker')) as workers
    from pg_catalog.pg_stat_activity a
),
-- The last run of each of Kronos's entries.
runs as materialized (
    select distinct on (r.jobid) r.jobid, r.status, coalesce(r.return_message, '') as return_message,
           coalesce(r.end_time, r.start_time) as at
    from (select d.jobid, d.runid, d.status, d.return_message, d.start_time, d.end_time
          from cron.job_run_details d
          order by d.runid desc
          limit 500) r
    join cron.job e using (jobid)
    where e.command = any ($1) and e.username = current_user and e.database = current_database()
    order by r.jobid, r.runid desc
)
select 'ERROR' as severity, 'pg_cron cannot run the entries of Kronos: ' || trim(r.return_message, E' \n') as finding,
       jsonb_build_object('entries', count(*), 'last_failure', max(r.at)) as detail,
       case
           when r.return_message like 'connection failed%' then
               'pg_cron connects to cron.host as the role that owns Kronos: see that the address and the port are right and that pg_hba.conf lets the role in without a password, or set cron.use_background_workers = on'
           when r.return_message like '%background%' then
               'raise max_worker_processes, and restart the server'
           else 'SELECT * FROM cron.job_run_details ORDER BY runid DESC LIMIT 10'
       end as advice
from runs r
where r.status = 'failed'
group by r.return_message

union all
select 'ERROR', 'the scheduler of pg_cron does not run', '{}',
       'see the server''s log; restart the server'
from processes p
where p.launchers = 0 and not pg_is_in_recovery()

union all
select 'ERROR', 'a role that owns a pg_cron entry was dropped: pg_cron may stop firing any entry',
       jsonb_build_object('role', e.username, 'entries', count(*)),
       format('DELETE FROM cron.job WHERE username = %L; then restart the server', e.username)
from cron.job e
where not exists (select from pg_catalog.pg_roles r where r.rolname = e.username)
group by e.username

union all
select 'ERROR', 'no background worker is free for pg_cron',
       jsonb_build_object('max_worker_processes', s.max_workers, 'running', p.workers),
       'raise max_worker_processes, and restart the server'
from settings s, processes p
where s.uses_workers and p.workers >= s.max_workers

union all
select 'ERROR', 'no connection is free for pg_cron and for workers',
       jsonb_build_object('max_connections', s.max_connections, 'used', p.connections),
       'close sessions, use a pooler, or raise max_connections'
from settings s, processes p
where not s.uses_workers and p.connections >= s.max_connections

union all
select 'ERROR', 'pg_cron runs no entry of a superuser, and a superuser owns Kronos',
       jsonb_build_object('owner', current_user),
       'set cron.enable_superuser_jobs = on and restart the server, or give Kronos to a plain role with kronos.set_owner()'
from settings s
where not s.allows_superusers and (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)

union all
select 'WARNING', 'max_worker_processes is too small for kronos.max_sql_workers beside pg_cron',
       jsonb_build_object('max_worker_processes', s.max_workers, 'kronos.max_sql_workers', s.max_sql_workers, 'needed', s.needed),
       format('raise max_worker_processes to at least %s, or lower kronos.max_sql_workers, and restart the server', s.needed)
from settings s
where s.max_workers < s.needed and exists (select from kronos_internal.endpoints e where e.run_as is not null)

union all
select 'WARNING', 'pg_cron keeps no record of its runs, so nobody sees why one fails', '{}',
       'set cron.log_run = on, and restart the server'
from settings s
where not s.logs_runs

union all
select 'WARNING', 'pg_cron has more than 1000 active entries: it fires about 150 a second and stands still near 10000',
       jsonb_build_object('entries', count(*)), 'replace entries by jobs of Kronos, which share schedules'
from cron.job e
where e.active
having count(*) > 1000
