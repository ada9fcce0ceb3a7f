-- Moves locked executions of gated endpoints from the common lane to the lanes of their endpoints.
-- $1 execution_ids
update kronos_internal.live_executions x
set lane = kronos_internal.lane(x.endpoint_id, x.concurrency_key)
from kronos_internal.endpoints e
where x.execution_id = any ($1) and x.lane = '' and x.status <> 'RUNNING'
  and e.endpoint_id = x.endpoint_id and e.gated_at is not null
returning x.workspace_id, x.endpoint_type
