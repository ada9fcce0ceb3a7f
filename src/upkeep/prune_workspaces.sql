-- Deletes rows of deleted workspaces that no retention covers: at most $1 idempotency keys, and at most $1 executions
-- that were enqueued while their workspace was being deleted. Deletes the row of a workspace once nothing refers to it,
-- a day after the deletion at the earliest: a transaction may still be open that began before.
with deleted as materialized (
    select w.workspace_id from kronos_internal.workspaces w where w.deleted_at is not null
),
keys as (
    delete from kronos_internal.idempotency_keys
    where (workspace_id, scope, key) in (select k.workspace_id, k.scope, k.key
                                         from deleted d join kronos_internal.idempotency_keys k using (workspace_id)
                                         limit $1
                                         for update of k skip locked)
    returning 1
),
executions as (
    delete from kronos_internal.live_executions
    where execution_id in (select x.execution_id
                           from deleted d join kronos_internal.live_executions x using (workspace_id)
                           where x.status <> 'RUNNING'
                           limit $1
                           for update of x skip locked)
    returning 1
),
endpoints as (
    update kronos_internal.endpoints e
    set deleted_at = now(), payload_spec_id = null
    from deleted d
    where e.workspace_id = d.workspace_id and e.deleted_at is null
),
specs as (
    delete from kronos_internal.payload_specs p
    using deleted d
    where p.workspace_id = d.workspace_id
      and not exists (select from kronos_internal.endpoints e where e.payload_spec_id = p.payload_spec_id)
    returning 1
),
workspaces as (
    delete from kronos_internal.workspaces w
    where w.deleted_at < now() - interval '1 day'
      and not exists (select from kronos_internal.endpoints e where e.workspace_id = w.workspace_id)
      and not exists (select from kronos_internal.payload_specs p where p.workspace_id = w.workspace_id)
      and not exists (select from kronos_internal.jobs j where j.workspace_id = w.workspace_id)
      and not exists (select from kronos_internal.schedules s where s.workspace_id = w.workspace_id)
      and not exists (select from kronos_internal.live_executions x where x.workspace_id = w.workspace_id)
      and not exists (select from kronos_internal.history h where h.workspace_id = w.workspace_id)
      and not exists (select from kronos_internal.idempotency_keys k where k.workspace_id = w.workspace_id)
    returning 1
)
select (select count(*) from keys) + (select count(*) from executions) + (select count(*) from specs)
       + (select count(*) from workspaces) as deleted
