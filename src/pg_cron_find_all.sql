-- All entries with names of Kronos, and whether pg_cron would fire them for this role in this database.
select e.jobid, e.jobname::text as name, e.schedule, e.command,
       -- The settings of pg_cron are null if the server has not loaded it.
       coalesce(
           e.active
           and e.database = current_database()
           and e.username = current_user
           and (current_setting('cron.use_background_workers', true) = 'on'
                or e.nodename = current_setting('cron.host', true) and e.nodeport = current_setting('port')::integer)
           and (current_setting('cron.enable_superuser_jobs', true) = 'on'
                or not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = e.username)),
           false) as fires
from cron.job e
where e.jobname::text = 'kronos upkeep' or e.jobname::text like 'kronos schedule %'
order by e.username <> current_user, e.jobid
