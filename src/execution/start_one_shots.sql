-- The same as start.sql for the one-shots of one workspace, which needs no table besides endpoints.
-- $1 execution_ids, $2 now, $3 worker_id, $4 lease, $5 workspace
update kronos_internal.live_executions x
set status = 'RUNNING', attempt = x.attempt + 1, worker_id = $3, started_at = $2,
    lease_expires_at = least($2 + $4, $2 + e.attempt_timeout), deadline_at = $2 + e.attempt_timeout
from kronos_internal.endpoints e
where x.execution_id = any ($1) and e.endpoint_id = x.endpoint_id and (e.gated_at is null or x.lane > '')
returning row(x.execution_id, x.attempt, $5::text, null::uuid, null::text, null::integer, null::timestamptz, x.run_at,
              x.priority, x.input, x.metadata, e.name, x.endpoint_type, e.spec, x.failed_attempts, e.max_attempts,
              x.lease_expires_at, x.deadline_at
          )::kronos.claimed_execution,
          x.priority, x.run_at
