-- Moves executions of an endpoint that is no longer gated back to the common lane. Skips rows that other sessions have
-- locked.
-- $1 workspace_id, $2 endpoint_type, $3 endpoint_id, $4 max
update kronos_internal.live_executions x
set lane = ''
where x.execution_id = any (array(
    select l.execution_id
    from kronos_internal.live_executions l
    where l.workspace_id = $1 and l.endpoint_type = $2 and l.lane >= $3::uuid::text || ':' and l.lane < $3::uuid::text || ';'
      and l.lane <> '' and l.status <> 'RUNNING'
    order by l.lane
    limit $4
    for no key update skip locked))
