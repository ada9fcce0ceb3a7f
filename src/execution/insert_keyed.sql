-- Writes a one-shot, unless an unfinished one has its key. Waits for another transaction that is writing or finishing a
-- one-shot with the key.
-- $1 execution_id, $2 workspace_id, $3 endpoint_id, $4 endpoint_type, $5 run_at, $6 now, $7 priority, $8 input,
-- $9 metadata, $10 key, $11 concurrency_key
insert into kronos_internal.live_executions
    (execution_id, workspace_id, endpoint_id, run_at, created_at, priority, origin, status, endpoint_type, input, metadata,
     key, concurrency_key)
values ($1, $2, $3, coalesce($5, $6), $6, $7, 'ENQUEUE', case when $5 > $6 then 'PENDING' else 'QUEUED' end, $4, $8, $9,
        $10, $11)
on conflict (workspace_id, key) where key is not null do nothing
returning row(execution_id, status, run_at, true)::kronos.enqueued_execution, execution_id
