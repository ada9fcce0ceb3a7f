\set i :i + 1
begin;
insert into by_hand.jobs (name, cron) values ('r:run-' || :client_id || '-' || :i, '0 0 1 1 *') returning job_id \gset
select cron.schedule(:job_id, '0 0 1 1 *', 'select 1');
commit;
