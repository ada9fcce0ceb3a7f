\set i :i + 1
select job_id from kronos.update_cron_job(job_name => 'r:run-' || :client_id || '-' || :i, cron => '0 0 2 1 *');
