-- The current state of each execution of a list, and the worker that holds it.
-- $1 list, $2 workspace_ids (null: any)
select row(a.execution_id, a.attempt, false, x.status, x.run_at, x.lease_expires_at, x.stop_requested_at is not null,
           x.worker_id, x.attempt)::kronos.execution_report,
       a.execution_id, a.attempt
from pg_catalog.jsonb_to_recordset($1) a (execution_id uuid, attempt integer)
left join lateral (
    select l.status, l.run_at, l.lease_expires_at, l.stop_requested_at, l.worker_id, l.attempt
    from kronos_internal.live_executions l
    where l.execution_id = a.execution_id and ($2::uuid[] is null or l.workspace_id = any ($2))
    union all
    select h.status, h.run_at, null, h.stop_requested_at, null, h.attempt
    from kronos_internal.history h
    where h.workspace_id = any (coalesce($2, array(select w.workspace_id from kronos_internal.workspaces w)))
      and h.execution_id = a.execution_id) x on true
