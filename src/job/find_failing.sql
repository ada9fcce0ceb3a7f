-- The active jobs whose last max_consecutive_failures executions have failed.
-- In random order, so that jobs which other sessions keep locked do not keep others from their turn.
-- $1 max
select w.name as workspace, j.job_id, j.name as job_name, j.max_consecutive_failures
from kronos_internal.jobs j
join kronos_internal.workspaces w using (workspace_id)
where j.max_consecutive_failures is not null
  and j.schedule_id is not null
  and kronos_internal.has_failed_in_a_row(j.job_id, j.active_since, j.max_consecutive_failures)
order by random()
limit $1
