-- The execution that an earlier request created, and the names of the arguments in which this request differs. Retries
-- move run_at, and reschedule_execution() moves run_at and priority, so they are compared only before that. A request
-- with a key is compared by its key alone: another request with the key may have replaced the rest. A repeated request
-- has a trace context of its own, so traceparent is not compared.
-- $1 workspace_id, $2 execution_id, $3 endpoint_id, $4 run_at, $5 priority, $6 input, $7 metadata, $8 key, $9 concurrency_key
select row(x.execution_id, x.status, x.run_at, false)::kronos.enqueued_execution,
       array_remove(array[
           case when x.key is distinct from $8 then 'key' end,
           case when $8 is null and x.endpoint_id <> $3 then 'endpoint' end,
           case when $8 is null and x.input <> $6 then 'input' end,
           case when $8 is null and x.failed_attempts = 0 and x.retried_at is null and x.rescheduled_at is null
                     and x.run_at <> coalesce($4, x.created_at) then 'run_at' end,
           case when $8 is null and x.rescheduled_at is null and x.priority <> $5 then 'priority' end,
           case when $8 is null and x.metadata - 'traceparent' <> $7::jsonb - 'traceparent' then 'metadata' end,
           case when $8 is null and x.concurrency_key is distinct from $9 then 'concurrency_key' end
       ], null) as differing
from (select l.execution_id, l.status, l.run_at, l.created_at, l.retried_at, l.rescheduled_at, l.endpoint_id,
             l.failed_attempts, l.priority, l.input, l.metadata, l.key, l.concurrency_key
      from kronos_internal.live_executions l
      where l.workspace_id = $1 and l.execution_id = $2
      union all
      select h.execution_id, h.status, h.run_at, h.created_at, h.retried_at, h.rescheduled_at, h.endpoint_id,
             h.failed_attempts, h.priority, h.input, h.metadata, h.key, h.concurrency_key
      from kronos_internal.history h
      where h.workspace_id = $1 and h.execution_id = $2) x
