-- Finds the active job $1 if its schedule is due up to $2 or it has owed ticks. The ticks of the job up to
-- handled_until have been handled: those of the current pass too, if the pass has reached the job.
select j.job_id, j.workspace_id, j.active_since, j.starts_at, j.ends_at, j.ledger_from, j.catchup_policy,
       j.catchup_window::interval as catchup_window, j.overlap_policy, j.cron, j.timezone,
       case when s.pass_job_id >= j.job_id then s.pass_until else s.ticked_until end as handled_until,
       o.is_owed
from kronos_internal.jobs j
join kronos_internal.schedules s on s.schedule_id = j.schedule_id
cross join lateral (select exists (select from kronos_internal.owed w where w.job_id = j.job_id) as is_owed) o
where j.job_id = $1 and (s.next_tick_at <= $2 or o.is_owed)
