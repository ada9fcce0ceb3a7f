-- The reason why pg_cron would not fire an entry of this database; null if it would. A setting without a description
-- does not come from pg_cron: it is a line in postgresql.conf for a library that is not loaded.
select case
           when not exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
               then 'the extension pg_cron is not in this database'
           when not coalesce(bool_or(name = 'cron.database_name'), false)
               then 'pg_cron is not loaded by the server'
           when bool_or(name = 'cron.database_name' and setting <> current_database())
               then 'pg_cron runs in another database'
           when bool_or(name = 'cron.launch_active_jobs' and setting = 'off')
               then 'pg_cron starts no jobs: cron.launch_active_jobs is off'
       end as problem
from pg_catalog.pg_settings
where name in ('cron.database_name', 'cron.launch_active_jobs') and short_desc is not null
