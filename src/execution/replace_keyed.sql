-- Replaces a waiting one-shot. Its attempts keep their numbers, but no longer count as failed.
-- The parameters are those of insert_keyed.sql; the execution keeps its id.
update kronos_internal.live_executions
set endpoint_id = $3, endpoint_type = $4, run_at = coalesce($5, $6), priority = $7, input = $8, metadata = $9,
    status = case when $5 > $6 then 'PENDING' else 'QUEUED' end, status_reason = null, failed_attempts = 0,
    lane = '', concurrency_key = $11
where workspace_id = $2 and key = $10 and status <> 'RUNNING'
returning row(execution_id, status, run_at, false)::kronos.enqueued_execution, execution_id
