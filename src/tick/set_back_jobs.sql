-- Sets at most $3 active jobs back to the instant $1 that became active after $2, because the clock was ahead: they would
-- have no ticks until then. Skips jobs that another session has locked.
update kronos_internal.jobs j
set active_since = $1, version_since = least(j.version_since, $1)
from (select o.job_id
      from kronos_internal.jobs o
      where o.schedule_id is not null and o.active_since > $2
      limit $3
      for no key update skip locked) a
where j.job_id = a.job_id
