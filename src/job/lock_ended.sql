-- Locks a job that has ended: its ends_at is past, and every tick before ends_at is in the ledger. No row if the job has
-- not ended, or if another session has locked it.
-- $1 job_id
select j.job_id, j.schedule_id
from kronos_internal.jobs j
where j.job_id = $1
  and j.status <> 'RETIRED'
  and j.ends_at <= now()
  and not exists (select
                  from kronos_internal.schedules s
                  where s.schedule_id = j.schedule_id and s.next_tick_at < j.ends_at)
  and not exists (select from kronos_internal.owed o where o.job_id = j.job_id)
for no key update of j skip locked
