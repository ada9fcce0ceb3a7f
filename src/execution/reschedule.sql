-- Changes when and how urgently a waiting execution starts. The caller has locked the row.
-- $1 execution_id, $2 run_at, $3 priority (null: unchanged), $4 now
update kronos_internal.live_executions x
set run_at = coalesce($2, x.run_at), priority = coalesce($3, x.priority), rescheduled_at = $4,
    status = case when x.status = 'RETRYING' or $2 is null then x.status
                  when $2 > $4 then 'PENDING'
                  else 'QUEUED' end
where x.execution_id = $1 and x.status <> 'RUNNING'
returning x.workspace_id, x.run_at as startable_at, x.endpoint_type = 'SQL' as is_sql
