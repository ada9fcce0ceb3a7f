-- Locks the listed executions that the worker holds, in the order of their ids. Only a running execution has a
-- worker_id.
-- $1 worker_id, $2 list, $3 workspace_ids (null: any)
select x.execution_id, a.error, coalesce(a.retryable, true) as retryable, a.retry_at
from (select distinct on (r.execution_id, r.attempt) r.execution_id, r.attempt, r.error, r.retryable, r.retry_at
      from pg_catalog.jsonb_to_recordset($2)
           r (execution_id uuid, attempt integer, error text, retryable boolean, retry_at text)
      order by r.execution_id, r.attempt) a
join kronos_internal.live_executions x on x.execution_id = a.execution_id
where x.attempt = a.attempt and x.worker_id = $1 and x.lease_expires_at > statement_timestamp()
  and ($3::uuid[] is null or x.workspace_id = any ($3))
for no key update of x
