-- The execution that an earlier request created, and the names of the arguments in which this request differs. A retry
-- moves run_at, so run_at is compared only before the first retry.
-- $1 workspace_id, $2 execution_id, $3 endpoint_id, $4 run_at, $5 priority, $6 input, $7 metadata, $8 concurrency_key
select row(x.execution_id, x.status, x.run_at, false)::kronos.enqueued_execution,
       array_remove(array[
           case when x.endpoint_id <> $3 then 'endpoint' end,
           case when x.input <> $6 then 'input' end,
           case when x.failed_attempts = 0 and x.run_at <> coalesce($4, x.created_at) then 'run_at' end,
           case when x.priority <> $5 then 'priority' end,
           case when x.metadata <> $7 then 'metadata' end,
           case when x.concurrency_key is distinct from $8 then 'concurrency_key' end
       ], null) as differing
from (select l.execution_id, l.status, l.run_at, l.created_at, l.endpoint_id, l.failed_attempts, l.priority, l.input, l.metadata,
             l.concurrency_key
      from kronos_internal.live_executions l
      where l.workspace_id = $1 and l.execution_id = $2
      union all
      select h.execution_id, h.status, h.run_at, h.created_at, h.endpoint_id, h.failed_attempts, h.priority, h.input, h.metadata,
             h.concurrency_key
      from kronos_internal.history h
      where h.workspace_id = $1 and h.execution_id = $2) x
