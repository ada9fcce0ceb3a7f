-- Moves waiting executions to history as CANCELLED.
-- $1 execution_ids
with moved as (
    delete from kronos_internal.live_executions x
    where x.execution_id = any ($1) and x.status <> 'RUNNING'
    returning x.*
)
insert into kronos_internal.history as h
    (execution_id, workspace_id, endpoint_id, job_id, run_at, tick_at, created_at, finished_at, stop_requested_at,
     retried_at, rescheduled_at, version, priority, attempt, failed_attempts, origin, status, endpoint_type,
     concurrency_key, status_reason, retried_by, input, metadata, key)
select m.execution_id, m.workspace_id, m.endpoint_id, m.job_id, m.run_at, m.tick_at, m.created_at, clock_timestamp(),
       m.stop_requested_at, m.retried_at, m.rescheduled_at, m.version, m.priority, m.attempt, m.failed_attempts,
       m.origin, 'CANCELLED', m.endpoint_type, m.concurrency_key, 'cancelled', m.retried_by, m.input, m.metadata, m.key
from moved m
returning h.workspace_id,
          case when h.job_id is not null
                    and exists (select
                                from kronos_internal.live_executions o
                                where o.job_id = h.job_id and o.in_order and o.execution_id <> h.execution_id)
               then h.finished_at end as startable_at,
          h.endpoint_type = 'SQL' as is_sql
