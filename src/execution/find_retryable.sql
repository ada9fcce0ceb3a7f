-- The executions of a workspace that can be retried and pass a filter: those that finished first.
-- $1 workspace_id, $2 job_id, $3 endpoint_id, $4 status, $5 finished_from, $6 finished_before, $7 error_contains, $8 max
-- (null: any; $5, $6 and $8 are not null), $9 the caller
select h.execution_id, j.name as job_name, e.name as endpoint, h.status,
       e.endpoint_id is null or e.deleted_at is not null as is_endpoint_gone,
       e.run_as is not null and not pg_has_role($9::oid, e.run_as::oid, 'USAGE') as is_foreign
from kronos_internal.history h
left join kronos_internal.endpoints e on e.endpoint_id = h.endpoint_id
left join kronos_internal.jobs j on j.job_id = h.job_id
where h.workspace_id = $1 and h.status <> 'SUCCEEDED' and h.finished_at >= $5 and h.finished_at < $6
  and ($2::uuid is null or h.job_id = $2) and ($3::uuid is null or h.endpoint_id = $3)
  and ($4::text is null or h.status = $4) and ($7::text is null or strpos(h.error, $7) > 0)
order by h.finished_at
limit $8
