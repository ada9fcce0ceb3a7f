-- The endpoints with executions in lanes, each found by one index lookup, and what holds these executions back. An
-- endpoint that is no longer gated has no gated_at.
-- $1 workspace_id, $2 endpoint_types
with recursive found (endpoint_type, endpoint_id) as (
    select t.endpoint_type, f.endpoint_id
    from pg_catalog.unnest($2::text[]) t (endpoint_type)
    cross join lateral (
        select left(x.lane, 36)::uuid as endpoint_id
        from kronos_internal.live_executions x
        where x.workspace_id = $1 and x.endpoint_type = t.endpoint_type and x.lane <> '' and x.status <> 'RUNNING'
        order by x.lane
        limit 1) f
    union all
    select f.endpoint_type, n.endpoint_id
    from found f
    cross join lateral (
        select left(x.lane, 36)::uuid as endpoint_id
        from kronos_internal.live_executions x
        where x.workspace_id = $1 and x.endpoint_type = f.endpoint_type and x.lane >= f.endpoint_id::text || ';'
          and x.lane <> '' and x.status <> 'RUNNING'
        order by x.lane
        limit 1) n
)
select f.endpoint_type, f.endpoint_id, e.gated_at, e.paused_at is not null as is_paused, e.max_concurrent, e.rate_limit,
       e.rate_interval::interval as rate_interval, e.run_as::oid as run_as
from found f
join kronos_internal.endpoints e on e.endpoint_id = f.endpoint_id
