-- Ends one attempt in success, and moves its execution to history. DELETE checks its conditions on the newest row, even
-- if it has waited for the row's lock.
-- $1 execution_id, $2 attempt, $3 worker_id, $4 output, $5 workspace_ids (null: any)
with moved as (
    delete from kronos_internal.live_executions x
    where x.execution_id = $1 and x.attempt = $2 and x.worker_id = $3
      and x.lease_expires_at > statement_timestamp() and ($5::uuid[] is null or x.workspace_id = any ($5))
    returning x.*
)
insert into kronos_internal.history as h
    (execution_id, workspace_id, endpoint_id, job_id, run_at, tick_at, created_at, started_at, finished_at,
     stop_requested_at, retried_at, rescheduled_at, version, priority, attempt, failed_attempts, origin, status,
     endpoint_type, lane, concurrency_key, worker_id, retried_by, outcome, input, metadata, output, key)
select m.execution_id, m.workspace_id, m.endpoint_id, m.job_id, m.run_at, m.tick_at, m.created_at, m.started_at,
       clock_timestamp(), m.stop_requested_at, m.retried_at, m.rescheduled_at, m.version, m.priority, m.attempt,
       m.failed_attempts, m.origin, 'SUCCEEDED', m.endpoint_type, m.lane, m.concurrency_key,
       m.worker_id, m.retried_by, 'SUCCEEDED', m.input,
       m.metadata, $4, m.key
from moved m
returning row(h.execution_id, h.attempt, true, h.status, h.run_at, null, h.stop_requested_at is not null, null, null
              )::kronos.execution_report,
          h.execution_id, h.attempt, h.workspace_id,
          case when h.job_id is not null
                    and exists (select
                                from kronos_internal.live_executions o
                                where o.job_id = h.job_id and o.in_order and o.execution_id <> h.execution_id)
               then h.finished_at end as startable_at,
          h.endpoint_type = 'SQL' as is_sql, h.endpoint_type, nullif(h.lane, '') as lane
