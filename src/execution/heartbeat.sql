-- Extends the leases of the listed executions that the worker holds, but not past an attempt's deadline. Only a running
-- execution has a worker_id.
-- $1 worker_id, $2 list, $3 lease, $4 workspace_ids (null: any)
update kronos_internal.live_executions x
set lease_expires_at = least(clock_timestamp() + $3, x.deadline_at)
from (select distinct on (r.execution_id, r.attempt) r.execution_id, r.attempt
      from pg_catalog.jsonb_to_recordset($2) r (execution_id uuid, attempt integer)
      order by r.execution_id, r.attempt) a
where x.execution_id = a.execution_id and x.attempt = a.attempt and x.worker_id = $1
  and x.lease_expires_at > statement_timestamp() and ($4::uuid[] is null or x.workspace_id = any ($4))
returning row(x.execution_id, x.attempt, true, x.status, x.run_at, x.lease_expires_at, x.stop_requested_at is not null,
              x.worker_id, x.attempt)::kronos.execution_report,
          x.execution_id, x.attempt
