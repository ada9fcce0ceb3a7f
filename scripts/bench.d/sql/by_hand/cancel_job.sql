\set i :i + 1
begin;
update by_hand.jobs set status = 'CANCELLED' where name = 'r:run-' || :client_id || '-' || :i returning job_id \gset
select cron.unschedule(cast(:job_id as name));
commit;
