-- Writes the one-shots of a list. The arrays have one element for each one-shot; a null execution_id skips it.
-- $1 list, $2 workspace_id, $3 execution_ids, $4 endpoint_ids, $5 endpoint_types, $6 run_ats, $7 now, $8 priorities,
-- $9 concurrency_keys, $10 whether the endpoint is gated
insert into kronos_internal.live_executions
    (execution_id, workspace_id, endpoint_id, run_at, created_at, priority, origin, status, endpoint_type, lane,
     concurrency_key, input, metadata)
select n.execution_id, $2, n.endpoint_id, coalesce(n.run_at, $7), $7, n.priority, 'ENQUEUE',
       case when n.run_at > $7 then 'PENDING' else 'QUEUED' end, n.endpoint_type,
       case when n.is_gated then kronos_internal.lane(n.endpoint_id, n.concurrency_key) else '' end, n.concurrency_key,
       coalesce(n.value -> 'input', '{}'), coalesce(nullif(n.value -> 'metadata', 'null'), '{}')
from rows from (
    pg_catalog.jsonb_array_elements($1),
    pg_catalog.unnest($3::uuid[]), pg_catalog.unnest($4::uuid[]), pg_catalog.unnest($5::text[]),
    pg_catalog.unnest($6::timestamptz[]), pg_catalog.unnest($8::integer[]), pg_catalog.unnest($9::text[]),
    pg_catalog.unnest($10::boolean[])
) n (value, execution_id, endpoint_id, endpoint_type, run_at, priority, concurrency_key, is_gated)
where n.execution_id is not null
returning row(execution_id, status, run_at, true)::kronos.enqueued_execution, execution_id
