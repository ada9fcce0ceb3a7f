-- The same as choose.sql, for one endpoint type. Without the loop over types, the plan starts in three quarters of the
-- time.
-- $1 workspace_id, $2 endpoint_types (one), $3 max, $4 now, $5 the run_at to start reading from, by priority
select q.execution_id, q.priority, q.run_at, q.has_job,
       case when $3 > 50 then octet_length(q.input::text) end as input_bytes
from pg_catalog.generate_series(0, 9) p (priority)
cross join lateral (
    select x.execution_id, x.priority, x.run_at, x.job_id is not null as has_job, x.input
    from kronos_internal.live_executions x
    where x.workspace_id = $1 and x.endpoint_type = ($2::text[])[1] and x.lane = '' and x.priority = p.priority
      and x.run_at <= $4 and x.run_at >= ($5::timestamptz[])[p.priority + 1] and x.status <> 'RUNNING'
      and (not x.in_order
           or not exists (select
                          from kronos_internal.live_executions o
                          where o.job_id = x.job_id and (o.status = 'RUNNING' or o.tick_at < x.tick_at)))
    order by x.run_at
    limit $3
    for no key update skip locked) q
limit $3
