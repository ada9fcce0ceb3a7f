-- Records that the ticks $2 of the jobs $1 are owed. $3 and $4 are the SQLSTATE and the error of the failure; null if
-- the jobs were locked. $5 is how many times each tick has been tried alone.
insert into kronos_internal.owed (job_id, tick_at, workspace_id, tries, sqlstate, error, next_try_at)
select j.job_id, a.tick_at, j.workspace_id, $5::integer, $3, $4,
       clock_timestamp() + case when $3::text is null then interval '0' else interval '30 seconds' end
from unnest($1::uuid[], $2::timestamptz[]) a (job_id, tick_at)
cross join lateral (select o.* from kronos_internal.jobs o where o.job_id = a.job_id offset 0) j
where (select true from kronos_internal.ticks t where t.job_id = a.job_id and t.tick_at = a.tick_at) is null
on conflict (job_id, tick_at) do nothing
