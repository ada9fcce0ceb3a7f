\set i :i + 1
begin;
update by_hand.jobs set cron = '0 0 2 1 *', version = version + 1
where name = 'r:run-' || :client_id || '-' || :i returning job_id \gset
select cron.schedule(:job_id, '0 0 2 1 *', 'select 1');
commit;
