-- The same as choose_of_type.sql, for the SQL endpoints that run as one role. A session reads past the executions of other
-- roles once: its front moves on.
-- $1 workspace_id, $2 endpoint_types (one), $3 max, $4 now, $5 the run_at to start reading from, by priority, $6 run_as
select q.execution_id, q.priority, q.run_at, q.has_job,
       case when $3 > 50 then octet_length(q.input::text) end as input_bytes
from (select from kronos_internal.endpoints e where e.workspace_id = $1 and e.run_as::oid = $6 limit 1) w
cross join pg_catalog.generate_series(0, 9) p (priority)
cross join lateral (
    select x.execution_id, x.priority, x.run_at, x.job_id is not null as has_job, x.input
    from kronos_internal.live_executions x
    where x.workspace_id = $1 and x.endpoint_type = ($2::text[])[1] and x.priority = p.priority
      and x.run_at <= $4 and x.run_at >= ($5::timestamptz[])[p.priority + 1] and x.lane = '' and x.status <> 'RUNNING'
      and (select e.run_as::oid = $6 from kronos_internal.endpoints e where e.endpoint_id = x.endpoint_id)
      and (not x.in_order
           or not exists (select
                          from kronos_internal.live_executions o
                          where o.job_id = x.job_id and (o.status = 'RUNNING' or o.tick_at < x.tick_at)))
    order by x.run_at
    limit $3
    for no key update skip locked) q
limit $3
