\set i :i + 1
select job_id from kronos.cancel_cron_job(job_name => 'r:run-' || :client_id || '-' || :i);
