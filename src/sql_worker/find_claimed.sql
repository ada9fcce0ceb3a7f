-- What a worker needs to run a claimed execution.
-- $1 execution_id
select coalesce(j.name, e.name) as name, e.spec, x.deadline_at,
       coalesce(x.input, case when x.version = j.version then j.input else v.input end) as input
from kronos_internal.live_executions x
join kronos_internal.endpoints e on e.endpoint_id = x.endpoint_id
left join kronos_internal.jobs j on j.job_id = x.job_id
left join kronos_internal.job_versions v on v.job_id = x.job_id and v.version = nullif(x.version, j.version)
where x.execution_id = $1
