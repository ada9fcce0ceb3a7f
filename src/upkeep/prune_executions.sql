-- Deletes at most $1 finished executions that are older than their workspace's retention, with their attempts and logs.
-- An execution cannot finish before it is created, so a bound on the id limits the rows that are read.
with doomed as materialized (
    select x.workspace_id, x.execution_id
    from kronos_internal.workspaces w
    cross join lateral (
        select h.workspace_id, h.execution_id
        from kronos_internal.history h
        where h.workspace_id = w.workspace_id
          and h.execution_id < kronos.uuid_v7_at(now() - w.execution_retention)
          and h.finished_at < now() - w.execution_retention
        order by h.execution_id
        limit $1
        for update skip locked) x
    limit $1
),
attempts as (
    delete from kronos_internal.attempts where execution_id = any (array(select d.execution_id from doomed d))
),
logs as (
    delete from kronos_internal.execution_logs where execution_id = any (array(select d.execution_id from doomed d))
)
delete from kronos_internal.history h
using doomed d
where h.workspace_id = d.workspace_id and h.execution_id = d.execution_id
