-- Moves executions from history back to live_executions, to run again with a new round of attempts. Their last attempts
-- move to attempts. The caller has locked the rows in an earlier statement. Returns the executions that it has moved:
-- one whose key names an unfinished execution stays.
-- $1 workspace_id, $2 execution_ids, $3 run_at, $4 now, $5 the role that retries them
with written as (
    insert into kronos_internal.live_executions as x
        (execution_id, workspace_id, endpoint_id, job_id, run_at, tick_at, created_at, retried_at, rescheduled_at,
         version, priority, attempt, origin, status, endpoint_type, retried_by, input, metadata, key, concurrency_key)
    select h.execution_id, h.workspace_id, h.endpoint_id, h.job_id, $3, h.tick_at, h.created_at, $4, h.rescheduled_at,
           h.version, h.priority, h.attempt, h.origin, case when $3 > $4 then 'PENDING' else 'QUEUED' end, h.endpoint_type,
           pg_catalog.pg_get_userbyid($5::oid), h.input, h.metadata, h.key, h.concurrency_key
    from kronos_internal.history h
    where h.workspace_id = $1 and h.execution_id = any ($2)
    on conflict (workspace_id, key) where key is not null do nothing
    returning x.execution_id
),
archived as (
    insert into kronos_internal.attempts
        (execution_id, attempt, workspace_id, started_at, finished_at, outcome, worker_id, error)
    select h.execution_id, h.attempt, h.workspace_id, h.started_at, h.finished_at, h.outcome, h.worker_id, h.error
    from kronos_internal.history h
    where h.workspace_id = $1 and h.execution_id = any (array(select w.execution_id from written w))
      and h.outcome is not null
)
delete from kronos_internal.history h
where h.workspace_id = $1 and h.execution_id = any (array(select w.execution_id from written w))
returning h.execution_id, h.workspace_id, $3 as startable_at, h.endpoint_type = 'SQL' as is_sql
