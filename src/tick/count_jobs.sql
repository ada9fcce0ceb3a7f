-- Counts the jobs of the schedules $1 after job $2, up to and including job $3.
select count(*) as jobs
from unnest($1::uuid[], $2::uuid[], $3::uuid[]) s (schedule_id, after_job_id, up_to_job_id)
cross join lateral (
    select from kronos_internal.jobs o
    where o.schedule_id is not null and (o.schedule_id, o.job_id) > (s.schedule_id, s.after_job_id)
      and (o.schedule_id, o.job_id) <= (s.schedule_id, s.up_to_job_id)
    offset 0) j
