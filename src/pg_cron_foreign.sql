-- The entries that are not Kronos's, by name or number, as far as the caller sees them.
-- $1 filter: a LIKE pattern for the name; an entry without one matches by its number
select e.jobid, e.jobname::text as name, e.schedule, e.command, e.username::text as role, e.active,
       e.database = current_database() as is_of_this_database
from cron.job e
where coalesce(e.jobname::text, e.jobid::text) like $1
  and e.jobname::text is distinct from 'kronos upkeep' and (e.jobname::text like 'kronos schedule %') is not true
order by e.jobid
