-- Locks due executions of gated endpoints among the first in the common lane.
-- $1 workspace_id, $2 endpoint_type, $3 now, $4 how many executions of each priority to read
select x.execution_id
from pg_catalog.generate_series(0, 9) p (priority)
cross join lateral (
    select l.execution_id, l.endpoint_id
    from kronos_internal.live_executions l
    where l.workspace_id = $1 and l.endpoint_type = $2 and l.lane = '' and l.priority = p.priority and l.run_at <= $3
      and l.status <> 'RUNNING'
    order by l.run_at
    limit $4) w
join kronos_internal.endpoints e on e.endpoint_id = w.endpoint_id
join kronos_internal.live_executions x on x.execution_id = w.execution_id
where e.gated_at is not null and x.lane = '' and x.status <> 'RUNNING'
for no key update of x skip locked
