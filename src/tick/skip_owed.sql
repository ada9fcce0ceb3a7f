-- Writes ledger rows for the ticks $2 of the jobs $1 that will never run, with the reasons $3.
insert into kronos_internal.ticks (job_id, tick_at, workspace_id, version, reason)
select j.job_id, a.tick_at, j.workspace_id, j.version, a.reason
from unnest($1::uuid[], $2::timestamptz[], $3::text[]) a (job_id, tick_at, reason)
cross join lateral (select o.* from kronos_internal.jobs o where o.job_id = a.job_id offset 0) j
where (select true from kronos_internal.ticks t where t.job_id = a.job_id and t.tick_at = a.tick_at) is null
