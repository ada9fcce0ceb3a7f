-- When the first execution of queues (lane, priority) may start: when it is due, if its lane is open by then.
-- $1 workspace_id, $2 endpoint_type, $3 lanes, $4 priorities, $5 when the lanes open (null: open), $6 now
select min(greatest(n.run_at, q.opens_at)) as startable_at
from rows from (pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::integer[]), pg_catalog.unnest($5::timestamptz[]))
     q (lane, priority, opens_at)
cross join lateral (
    (select x.run_at
     from kronos_internal.live_executions x
     where x.workspace_id = $1 and x.endpoint_type = $2 and x.lane = q.lane and x.lane <> ''
       and x.priority = q.priority and x.run_at > $6
       and x.status <> 'RUNNING'
     order by x.run_at
     limit 1)
    union all
    (select $6
     from kronos_internal.live_executions x
     where x.workspace_id = $1 and x.endpoint_type = $2 and x.lane = q.lane and x.lane <> ''
       and x.priority = q.priority and x.run_at <= $6
       and x.status <> 'RUNNING'
       and (not x.in_order
            or not exists (select
                           from kronos_internal.live_executions o
                           where o.job_id = x.job_id and (o.status = 'RUNNING' or o.tick_at < x.tick_at)))
     limit 1)) n (run_at)
