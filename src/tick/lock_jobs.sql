-- Locks at most $4 jobs of the schedules $1: the jobs after job $2, up to and including job $3, in the order of the
-- arrays and of job_id. Skips jobs that another session has locked. Pairs are compared so that only the index by
-- schedule fits. With single columns the planner chooses the primary key while there is one schedule, and keeps that
-- plan when there are thousands.
select s.nth - 1 as place, j.job_id, j.workspace_id, j.active_since, j.starts_at, j.ends_at, j.ledger_from,
       j.catchup_policy, j.catchup_window::interval as catchup_window, j.overlap_policy
from unnest($1::uuid[], $2::uuid[], $3::uuid[]) with ordinality s (schedule_id, after_job_id, up_to_job_id, nth)
cross join lateral (
    select o.*
    from kronos_internal.jobs o
    where o.schedule_id is not null and (o.schedule_id, o.job_id) > (s.schedule_id, s.after_job_id)
      and (o.schedule_id, o.job_id) <= (s.schedule_id, s.up_to_job_id)
    order by o.schedule_id, o.job_id
    limit $4
    for no key update skip locked) j
limit $4
