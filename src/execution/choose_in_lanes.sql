-- Locks executions of queues (lane, priority) that may start now, in the order of priority and run_at. No other session
-- claims from these lanes meanwhile, so the rows can be ranked before they are locked.
-- $1 workspace_id, $2 endpoint_type, $3 lanes, $4 priorities, $5 how many may start in the lane, $6 now, $7 max
select x.execution_id, x.priority, x.run_at, x.job_id is not null as has_job,
       case when $7 > 50 then octet_length(x.input::text) end as input_bytes, x.lane
from kronos_internal.live_executions x
where x.execution_id = any (array(
    select r.execution_id
    from (select c.execution_id, c.priority, c.run_at, c.free,
                 row_number() over (partition by c.lane order by c.priority, c.run_at) as place
          from (select w.execution_id, q.lane, q.priority, q.free, w.run_at
                from rows from (pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::integer[]), pg_catalog.unnest($5::bigint[]))
                     q (lane, priority, free)
                cross join lateral (
                    select l.execution_id, l.run_at
                    from kronos_internal.live_executions l
                    where l.workspace_id = $1 and l.endpoint_type = $2 and l.lane = q.lane and l.lane <> '' and l.priority = q.priority
                      and l.run_at <= $6 and l.status <> 'RUNNING'
                      and (not l.in_order
                           or not exists (select
                                          from kronos_internal.live_executions o
                                          where o.job_id = l.job_id and (o.status = 'RUNNING' or o.tick_at < l.tick_at)))
                    order by l.run_at
                    limit least(q.free, $7)) w) c) r
    where r.place <= r.free
    order by r.priority, r.run_at
    limit $7))
  and x.status <> 'RUNNING' and x.lane > '' and x.run_at <= $6
for no key update skip locked
