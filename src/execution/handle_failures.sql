-- Gives the endpoints that handle failures an execution for each listed execution that has failed. Handlers that have been
-- deleted get none.
-- $1 workspace_ids and $2 execution_ids of the failed executions, $3 now
insert into kronos_internal.live_executions
    (workspace_id, endpoint_id, run_at, priority, origin, status, endpoint_type, input, metadata)
select f.workspace_id, h.endpoint_id, $3, f.priority, 'ON_FAILURE', 'QUEUED', h.endpoint_type,
       pg_catalog.jsonb_build_object(
           'execution_id', f.execution_id, 'endpoint', e.name, 'job_id', f.job_id, 'job_name', j.name, 'tick_at', f.tick_at,
           'attempt', f.attempt, 'failed_attempts', f.failed_attempts, 'error', f.error, 'status_reason', f.status_reason,
           'worker_id', f.worker_id, 'finished_at', f.finished_at,
           'input', case when octet_length(o.input::text) <= 65536 then o.input end),
       o.metadata
from rows from (pg_catalog.unnest($1::uuid[]), pg_catalog.unnest($2::uuid[])) a (workspace_id, execution_id)
join kronos_internal.history f on f.workspace_id = a.workspace_id and f.execution_id = a.execution_id
join kronos_internal.endpoints e on e.endpoint_id = f.endpoint_id
left join kronos_internal.jobs j on j.job_id = f.job_id
left join kronos_internal.job_versions v on v.job_id = f.job_id and v.version = nullif(f.version, j.version)
join kronos_internal.endpoints h on h.endpoint_id = coalesce(j.on_failure_id, e.on_failure_id) and h.deleted_at is null
cross join lateral (
    select coalesce(f.input, case when f.version = j.version then j.input else v.input end) as input,
           coalesce(f.metadata, case when f.version = j.version then j.metadata else v.metadata end) as metadata) o
returning workspace_id, run_at as startable_at, endpoint_type = 'SQL' as is_sql
