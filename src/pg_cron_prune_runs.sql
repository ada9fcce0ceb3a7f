-- Deletes at most $1 runs of the commands $2 that ended more than a week ago.
delete from cron.job_run_details
where runid in (select d.runid
                from cron.job_run_details d
                where d.command = any ($2::text[]) and d.database = current_database() and d.username = current_user
                  and d.end_time < now() - interval '7 days'
                order by d.runid
                limit $1)
