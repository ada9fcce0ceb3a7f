-- The workspaces with waiting executions, each found by one index lookup.
-- $1 max
with recursive walk (workspace_id) as (
    (select x.workspace_id
     from kronos_internal.live_executions x
     where x.status <> 'RUNNING'
     order by x.workspace_id
     limit 1)
    union all
    select (select x.workspace_id
            from kronos_internal.live_executions x
            where x.workspace_id > w.workspace_id and x.status <> 'RUNNING'
            order by x.workspace_id
            limit 1)
    from walk w
    where w.workspace_id is not null
)
select w.workspace_id from walk w where w.workspace_id is not null limit $1
