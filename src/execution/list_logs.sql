-- A page of the log of an execution, oldest line first.
-- $1 execution_id, $2 attempt, $3 level, $4 max, $5 after
select d
from kronos.execution_logs d
where d.execution_id = $1 and ($2::integer is null or d.attempt = $2) and ($3::text is null or d.level = $3)
  and d.line > coalesce($5, 0)
order by d.line
limit $4
