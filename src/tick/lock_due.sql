-- Locks at most $4 schedules that have a tick due up to $1, or whose ticked_until is after $2, because the clock was
-- ahead. Skips the unreadable schedules $3 and schedules that another wake-up handles.
select s.schedule_id, s.cron, s.timezone, s.ticked_until, s.pass_until, s.pass_job_id
from kronos_internal.schedules s
where (s.next_tick_at <= $1 or s.ticked_until > $2)
  and s.schedule_id <> all ($3::uuid[])
order by s.workspace_id, s.next_tick_at, s.schedule_id
limit $4
for no key update skip locked
