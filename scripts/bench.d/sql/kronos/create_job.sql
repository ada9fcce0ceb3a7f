\set i :i + 1
select job_id from kronos.create_cron_job('noop', '0 0 1 1 *', name => 'r:run-' || :client_id || '-' || :i);
