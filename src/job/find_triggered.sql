select row(x.execution_id, x.status, x.run_at, false)::kronos.enqueued_execution
from (select execution_id, status, run_at
      from kronos_internal.live_executions
      where workspace_id = $1 and execution_id = $2
      union all
      select execution_id, status, run_at
      from kronos_internal.history
      where workspace_id = $1 and execution_id = $2) x
