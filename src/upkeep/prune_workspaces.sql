-- Deletes rows of deleted workspaces that no retention covers: at most $1 idempotency keys, and at most $1 executions
-- that were enqueued while their workspace was being deleted. Deletes the row of a workspace once nothing refers to it,
-- a day after the deletion at the earliest: a transaction may still be open that began before. Skips rows that other
-- sessions have locked.
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
    returning execution_id
),
attempts as (
    delete from kronos_internal.attempts where execution_id = any (array(select x.execution_id from executions x))
),
logs as (
    delete from kronos_internal.execution_logs where execution_id = any (array(select x.execution_id from executions x))
),
grants as (
    delete from kronos_internal.workspace_grants
    where (role, workspace_id, capability) in (select g.role, g.workspace_id, g.capability
                                               from deleted d join kronos_internal.workspace_grants g using (workspace_id)
                                               for update of g skip locked)
),
endpoints as (
    update kronos_internal.endpoints
    set deleted_at = now(), payload_spec_id = null, on_failure_id = null
    where endpoint_id in (select e.endpoint_id
                          from deleted d join kronos_internal.endpoints e using (workspace_id)
                          where e.deleted_at is null
                          for update of e skip locked)
),
specs as (
    delete from kronos_internal.payload_specs
    where payload_spec_id in (select p.payload_spec_id
                              from deleted d join kronos_internal.payload_specs p using (workspace_id)
                              where not exists (select
                                                from kronos_internal.endpoints e
                                                where e.payload_spec_id = p.payload_spec_id)
                              for update of p skip locked)
    returning 1
),
workspaces as (
    delete from kronos_internal.workspaces
    where workspace_id in (
        select w.workspace_id
        from kronos_internal.workspaces w
        where w.deleted_at < now() - interval '1 day'
          and not exists (select from kronos_internal.workspace_grants g where g.workspace_id = w.workspace_id)
          and not exists (select from kronos_internal.endpoints e where e.workspace_id = w.workspace_id)
          and not exists (select from kronos_internal.payload_specs p where p.workspace_id = w.workspace_id)
          and not exists (select from kronos_internal.jobs j where j.workspace_id = w.workspace_id)
          and not exists (select from kronos_internal.schedules s where s.workspace_id = w.workspace_id)
          and not exists (select from kronos_internal.live_executions x where x.workspace_id = w.workspace_id)
          and not exists (select from kronos_internal.history h where h.workspace_id = w.workspace_id)
          and not exists (select from kronos_internal.idempotency_keys k where k.workspace_id = w.workspace_id)
        for update of w skip locked)
    returning 1
)
select (select count(*) from keys) + (select count(*) from executions) + (select count(*) from specs)
       + (select count(*) from workspaces) as deleted
