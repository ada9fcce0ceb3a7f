-- The queues (lane, priority) of a limited endpoint, each found by one index lookup, with what runs in the lane, how many
-- attempts have started within the rate interval, and when the next one may start if that is not now.
-- $1 workspace_id, $2 endpoint_type, $3 endpoint_id, $4 lane and $5 priority after which to read, $6 max, $7 now,
-- $8 rate_limit, $9 rate_interval (null: no limit)
with recursive queues (lane, priority) as (
    (select x.lane, x.priority
     from kronos_internal.live_executions x
     where x.workspace_id = $1 and x.endpoint_type = $2 and (x.lane, x.priority) > ($4, $5)
       and x.lane < $3::uuid::text || ';' and x.lane <> '' and x.status <> 'RUNNING'
     order by x.lane, x.priority
     limit 1)
    union all
    select n.lane, n.priority
    from queues q
    cross join lateral (
        select x.lane, x.priority
        from kronos_internal.live_executions x
        where x.workspace_id = $1 and x.endpoint_type = $2 and (x.lane, x.priority) > (q.lane, q.priority)
          and x.lane < $3::uuid::text || ';' and x.lane <> '' and x.status <> 'RUNNING'
        order by x.lane, x.priority
        limit 1) n
)
select q.lane, q.priority, r.running, s.started, s.opens_at
from (select w.lane, w.priority from queues w limit $6) q
cross join lateral (
    select count(*) as running
    from kronos_internal.live_executions x
    where x.lane = q.lane and x.lane <> '' and x.status = 'RUNNING') r
cross join lateral (
    select coalesce(max(b.started), 0) as started,
           max(b.started_at) filter (where b.started >= $8::bigint) + $9::interval as opens_at
    from (select a.started_at, sum(a.starts) over (order by a.started_at desc)::bigint as started
          from kronos_internal.attempt_starts a
          where a.lane = q.lane and a.started_at > $7 - $9::interval and a.started_at <= $7 + $9::interval) b) s
