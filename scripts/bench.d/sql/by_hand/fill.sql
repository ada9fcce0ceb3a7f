with created as (
    insert into by_hand.jobs (name, cron) select 'background-' || n, '0 0 1 1 *' from generate_series(1, :jobs) n
    returning job_id, cron
)
insert into cron.job (jobname, schedule, command, nodename, nodeport)
select job_id, cron, 'select 1', '', 5432 from created;
