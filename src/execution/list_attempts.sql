-- A page of the attempts of an execution, oldest first.
-- $1 workspace_id, $2 execution_id, $3 outcome, $4 max, $5 after
select d
from kronos.attempts d
where d.workspace_id = $1 and d.execution_id = $2 and ($3::text is null or d.outcome = $3)
  and d.attempt > coalesce($5, 0)
order by d.attempt
limit $4
