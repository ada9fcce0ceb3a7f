-- Appends a line to an execution's log, and deletes all but the last 1000 lines.
-- $1 execution_id, $2 attempt, $3 level, $4 message, $5 data
with appended as (
    insert into kronos_internal.execution_logs (execution_id, workspace_id, line, attempt, level, message, data)
    select $1, (select x.workspace_id from kronos_internal.live_executions x where x.execution_id = $1),
           coalesce((select l.line from kronos_internal.execution_logs l where l.execution_id = $1 order by l.line desc limit 1), 0) + 1,
           $2, $3, $4, $5
    returning line
),
dropped as (
    delete from kronos_internal.execution_logs l
    where l.execution_id = $1 and l.line <= (select a.line - 1000 from appended a)
)
select a.line from appended a
