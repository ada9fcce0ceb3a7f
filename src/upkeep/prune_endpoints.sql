-- Removes at most $1 endpoints that were marked as deleted longer ago than both retentions, of jobs and of executions,
-- unless a job, a live endpoint or an unfinished execution refers to them.
with doomed as materialized (
    select e.endpoint_id
    from kronos_internal.endpoints e
    join kronos_internal.workspaces w using (workspace_id)
    where e.deleted_at < now() - greatest(w.job_retention, w.execution_retention)
      and not exists (select from kronos_internal.jobs j where j.endpoint_id = e.endpoint_id)
      and not exists (select from kronos_internal.jobs j where j.on_failure_id = e.endpoint_id)
      and not exists (select from kronos_internal.endpoints f where f.on_failure_id = e.endpoint_id)
      and not exists (select from kronos_internal.live_executions x where x.endpoint_id = e.endpoint_id)
    limit $1
    for update of e skip locked
)
delete from kronos_internal.endpoints e
using doomed d
where e.endpoint_id = d.endpoint_id
