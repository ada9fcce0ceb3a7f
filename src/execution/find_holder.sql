-- The current state of an execution, and the worker that holds it.
-- $1 execution_id, $2 workspace_ids (null: any)
select l.status, l.attempt, l.worker_id, l.lease_expires_at
from kronos_internal.live_executions l
where l.execution_id = $1 and ($2::uuid[] is null or l.workspace_id = any ($2))
union all
select h.status, h.attempt, null, null
from kronos_internal.history h
where h.workspace_id = any (coalesce($2, array(select w.workspace_id from kronos_internal.workspaces w))) and h.execution_id = $1
