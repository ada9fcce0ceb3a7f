-- The types of a workspace's endpoints, each found by one index lookup, without SQL, which only the server itself runs; and
-- whether executions of the type wait in lanes.
-- $1 workspace_id
with recursive types (endpoint_type) as (
    (select e.endpoint_type
     from kronos_internal.endpoints e
     where e.workspace_id = $1
     order by e.endpoint_type
     limit 1)
    union all
    select (select e.endpoint_type
            from kronos_internal.endpoints e
            where e.workspace_id = $1 and e.endpoint_type > t.endpoint_type
            order by e.endpoint_type
            limit 1)
    from types t
    where t.endpoint_type is not null
)
select t.endpoint_type,
       exists (select
               from kronos_internal.live_executions x
               where x.workspace_id = $1 and x.endpoint_type = t.endpoint_type and x.lane <> '' and x.status <> 'RUNNING') as has_lanes
from types t
where t.endpoint_type <> 'SQL'
