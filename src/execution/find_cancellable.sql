-- The unfinished executions of a workspace that can be cancelled and pass a filter, by their run_at. A running one can be
-- asked to stop, once.
-- $1 workspace_id, $2 job_id, $3 endpoint_id, $4 status (null: any), $5 run_from, $6 run_before, $7 created_from,
-- $8 created_before, $9 whether running executions count, $10 max
select x.execution_id, j.name as job_name, e.name as endpoint, x.status
from kronos_internal.live_executions x
left join kronos_internal.endpoints e on e.endpoint_id = x.endpoint_id
left join kronos_internal.jobs j on j.job_id = x.job_id
where x.workspace_id = $1 and x.run_at >= $5 and x.run_at < $6 and x.created_at >= $7 and x.created_at < $8
  and ($2::uuid is null or x.job_id = $2) and ($3::uuid is null or x.endpoint_id = $3)
  and ($4::text is null or x.status = $4) and (x.status <> 'RUNNING' or $9 and x.stop_requested_at is null)
order by x.run_at
limit $10
