-- The same as complete.sql for a list, in the order of its ids, so that two sessions with the same ids do not deadlock.
-- Only a running execution has a worker_id.
-- $1 worker_id, $2 list, $3 workspace_ids (null: any)
with moved as (
    delete from kronos_internal.live_executions x
    using (select distinct on (r.execution_id, r.attempt) r.execution_id, r.attempt, r.output
           from pg_catalog.jsonb_to_recordset($2) r (execution_id uuid, attempt integer, output jsonb)
           order by r.execution_id, r.attempt) a
    where x.execution_id = a.execution_id and x.attempt = a.attempt and x.worker_id = $1
      and x.lease_expires_at > statement_timestamp() and ($3::uuid[] is null or x.workspace_id = any ($3))
    returning x.*, a.output
)
insert into kronos_internal.history as h
    (execution_id, workspace_id, endpoint_id, job_id, run_at, tick_at, created_at, started_at, finished_at,
     stop_requested_at, retried_at, rescheduled_at, version, priority, attempt, failed_attempts, origin, status,
     endpoint_type, lane, concurrency_key, worker_id, retried_by, outcome, input, metadata, output, key)
select m.execution_id, m.workspace_id, m.endpoint_id, m.job_id, m.run_at, m.tick_at, m.created_at, m.started_at,
       clock_timestamp(), m.stop_requested_at, m.retried_at, m.rescheduled_at, m.version, m.priority, m.attempt,
       m.failed_attempts, m.origin, 'SUCCEEDED', m.endpoint_type, m.lane, m.concurrency_key,
       m.worker_id, m.retried_by, 'SUCCEEDED', m.input,
       m.metadata, m.output, m.key
from moved m
returning row(h.execution_id, h.attempt, true, h.status, h.run_at, null, h.stop_requested_at is not null, null, null
              )::kronos.execution_report,
          h.execution_id, h.attempt, h.workspace_id, octet_length(h.output::text) as output_bytes,
          case when h.job_id is not null
                    and exists (select
                                from kronos_internal.live_executions o
                                where o.job_id = h.job_id and o.in_order and o.execution_id <> h.execution_id)
               then h.finished_at end as startable_at,
          h.endpoint_type = 'SQL' as is_sql, h.endpoint_type, nullif(h.lane, '') as lane
