-- The earliest of three times: now, if an execution of the common lane may start now; the next run_at of an execution that
-- waits there; the next end of a lease. The first two take one index lookup for each queue (workspace, endpoint type,
-- priority). Also the workspaces and endpoint types with executions in other lanes.
-- $1 first and $2 last workspace_id, $3 endpoint_types (null: any but SQL), $4 now
with recursive queues (workspace_id, endpoint_type, priority) as (
    (select x.workspace_id, x.endpoint_type, x.priority
     from kronos_internal.live_executions x
     where x.workspace_id between $1 and $2 and x.lane = '' and x.status <> 'RUNNING'
     order by x.workspace_id, x.endpoint_type, x.priority
     limit 1)
    union all
    select n.workspace_id, n.endpoint_type, n.priority
    from queues q
    cross join lateral (
        select x.workspace_id, x.endpoint_type, x.priority
        from kronos_internal.live_executions x
        where (x.workspace_id, x.endpoint_type, x.priority) > (q.workspace_id, q.endpoint_type, q.priority)
          and x.workspace_id <= $2 and x.lane = '' and x.status <> 'RUNNING'
        order by x.workspace_id, x.endpoint_type, x.priority
        limit 1) n
),
lanes (workspace_id, endpoint_type) as (
    (select x.workspace_id, x.endpoint_type
     from kronos_internal.live_executions x
     where x.workspace_id between $1 and $2 and x.lane <> '' and x.status <> 'RUNNING'
     order by x.workspace_id, x.endpoint_type
     limit 1)
    union all
    select n.workspace_id, n.endpoint_type
    from lanes l
    cross join lateral (
        select x.workspace_id, x.endpoint_type
        from kronos_internal.live_executions x
        where (x.workspace_id, x.endpoint_type) > (l.workspace_id, l.endpoint_type) and x.workspace_id <= $2
          and x.lane <> '' and x.status <> 'RUNNING'
        order by x.workspace_id, x.endpoint_type
        limit 1) n
)
select least(
    (select min(n.run_at)
     from queues q
     cross join lateral (
         (select x.run_at
          from kronos_internal.live_executions x
          where x.workspace_id = q.workspace_id and x.endpoint_type = q.endpoint_type and x.priority = q.priority
            and x.run_at > $4 and x.lane = '' and x.status <> 'RUNNING'
          order by x.run_at
          limit 1)
         union all
         (select $4
          from kronos_internal.live_executions x
          where x.workspace_id = q.workspace_id and x.endpoint_type = q.endpoint_type and x.priority = q.priority
            and x.run_at <= $4 and x.lane = '' and x.status <> 'RUNNING'
            and (not x.in_order
                 or not exists (select
                                from kronos_internal.live_executions o
                                where o.job_id = x.job_id and (o.status = 'RUNNING' or o.tick_at < x.tick_at)))
          limit 1)) n (run_at)
     where case when $3::text[] is null then q.endpoint_type <> 'SQL' else q.endpoint_type = any ($3) end),
    (select x.lease_expires_at
     from kronos_internal.live_executions x
     where x.status = 'RUNNING' and x.workspace_id between $1 and $2
       and case when $3::text[] is null then x.endpoint_type <> 'SQL' else x.endpoint_type = any ($3) end
     order by x.lease_expires_at
     limit 1)) as wakeup_at,
       array(select l.workspace_id
             from lanes l
             where $3::text[] is null or l.endpoint_type = any ($3)) as workspace_ids,
       array(select l.endpoint_type
             from lanes l
             where $3::text[] is null or l.endpoint_type = any ($3)) as endpoint_types
