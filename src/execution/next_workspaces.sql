-- The workspaces with waiting executions, each found by one index lookup in the common lane and one in the others.
-- $1 max
with recursive walk (workspace_id) as (
    select least((select x.workspace_id
                  from kronos_internal.live_executions x
                  where x.lane = '' and x.status <> 'RUNNING'
                  order by x.workspace_id
                  limit 1),
                 (select x.workspace_id
                  from kronos_internal.live_executions x
                  where x.lane <> '' and x.status <> 'RUNNING'
                  order by x.workspace_id
                  limit 1))
    union all
    select least((select x.workspace_id
                  from kronos_internal.live_executions x
                  where x.workspace_id > w.workspace_id and x.lane = '' and x.status <> 'RUNNING'
                  order by x.workspace_id
                  limit 1),
                 (select x.workspace_id
                  from kronos_internal.live_executions x
                  where x.workspace_id > w.workspace_id and x.lane <> '' and x.status <> 'RUNNING'
                  order by x.workspace_id
                  limit 1))
    from walk w
    where w.workspace_id is not null
)
select w.workspace_id from walk w where w.workspace_id is not null limit $1
