-- Replaces a waiting one-shot. Its attempts keep their numbers, but no longer count as failed.
-- $1 workspace_id, $2 key, $3 endpoint_id, $4 endpoint_type, $5 run_at, $6 now, $7 priority, $8 input, $9 metadata,
-- $10 concurrency_key
update kronos_internal.live_executions
set endpoint_id = $3, endpoint_type = $4, run_at = coalesce($5, $6), priority = $7, input = $8, metadata = $9,
    status = case when $5 > $6 then 'PENDING' else 'QUEUED' end, status_reason = null, failed_attempts = 0,
    lane = '', concurrency_key = $10
where workspace_id = $1 and key = $2 and status <> 'RUNNING'
returning row(execution_id, status, run_at, false)::kronos.enqueued_execution, execution_id
