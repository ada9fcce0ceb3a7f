insert into kronos_internal.live_executions as x
    (execution_id, workspace_id, endpoint_id, job_id, run_at, version, priority, origin, status, endpoint_type,
     concurrency_key)
select $2, workspace_id, endpoint_id, job_id, clock_timestamp(), version, priority, 'TRIGGER', 'QUEUED', endpoint_type,
       concurrency_key
from kronos_internal.jobs
where job_id = $1
  and status <> 'RETIRED'
returning row(x.execution_id, x.status, x.run_at, true)::kronos.enqueued_execution
