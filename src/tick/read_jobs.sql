-- Reads the jobs of the schedules $1 after job $2, up to and including job $3, without locking them. If a tick $4 is
-- given, leaves out the jobs whose tick is in the ledger already.
select s.nth - 1 as place, j.job_id, j.workspace_id, j.active_since, j.starts_at, j.ends_at, j.ledger_from,
       j.catchup_policy, j.catchup_window::interval as catchup_window, j.overlap_policy
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[]) with ordinality
    s (schedule_id, after_job_id, up_to_job_id, tick_at, nth)
cross join lateral (
    select o.*
    from kronos_internal.jobs o
    where o.schedule_id is not null and (o.schedule_id, o.job_id) > (s.schedule_id, s.after_job_id)
      and (o.schedule_id, o.job_id) <= (s.schedule_id, s.up_to_job_id)
      and (s.tick_at is null
           or (select true from kronos_internal.ticks t where t.job_id = o.job_id and t.tick_at = s.tick_at) is null)
    offset 0) j
order by s.nth, j.job_id
