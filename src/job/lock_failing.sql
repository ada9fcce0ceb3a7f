-- Locks an active job whose last max_consecutive_failures executions have failed. No row if there are fewer of them, or if
-- another session has locked the job.
-- $1 job_id
select j.schedule_id, j.max_consecutive_failures
from kronos_internal.jobs j
where j.job_id = $1
  and j.schedule_id is not null
  and kronos_internal.has_failed_in_a_row(j.job_id, j.active_since, j.max_consecutive_failures)
for no key update of j skip locked
