-- Writes a one-shot, if its endpoint exists and either has neither a payload spec nor a role, or is still the one for which
-- the request has been checked ($9, $10). The execution of a gated endpoint is written to its lane.
-- $1 execution_id, $2 workspace, $3 endpoint, $4 run_at, $5 now, $6 priority, $7 input, $8 metadata, $9 endpoint_id and
-- $10 run_as of the check (null: not checked), $11 concurrency_key
insert into kronos_internal.live_executions
    (execution_id, workspace_id, endpoint_id, run_at, created_at, priority, origin, status, endpoint_type, lane,
     concurrency_key, input, metadata)
select $1, e.workspace_id, e.endpoint_id, coalesce($4, $5), $5, $6, 'ENQUEUE',
       case when $4 > $5 then 'PENDING' else 'QUEUED' end, e.endpoint_type,
       case when e.gated_at is null then '' else kronos_internal.lane(e.endpoint_id, $11) end, $11, $7, $8
from kronos_internal.workspaces w
join kronos_internal.endpoints e on e.workspace_id = w.workspace_id
where w.name = $2 and e.name = $3 and e.deleted_at is null 
  and ($9::uuid is null and e.payload_spec_id is null and e.run_as is null
       or e.endpoint_id = $9 and e.run_as::oid is not distinct from $10::oid)
returning row(execution_id, status, run_at, true)::kronos.enqueued_execution, workspace_id
