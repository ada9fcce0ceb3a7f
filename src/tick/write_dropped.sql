-- Records that the catchup policies of the jobs $1 dropped the missed ticks from $2 to $3. If the clock was set
-- back, the ticks may have come due before: then the row is extended.
insert into kronos_internal.dropped_ticks as d (job_id, from_tick_at, to_tick_at, workspace_id, version, reason)
select j.job_id, a.from_tick_at, a.to_tick_at, j.workspace_id, j.version, 'catchup_policy ' || j.catchup_policy
from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) a (job_id, from_tick_at, to_tick_at)
cross join lateral (select o.* from kronos_internal.jobs o where o.job_id = a.job_id offset 0) j
on conflict (job_id, from_tick_at) do update set to_tick_at = greatest(d.to_tick_at, excluded.to_tick_at)
