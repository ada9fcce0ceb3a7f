-- How many bytes the input and the spec of each execution have as JSON text.
-- $1 execution_ids
select x.execution_id,
       octet_length((select e.spec from kronos_internal.endpoints e where e.endpoint_id = x.endpoint_id)::text)
       + coalesce(octet_length(coalesce(
             x.input,
             (select j.input from kronos_internal.jobs j where j.job_id = x.job_id and j.version = x.version),
             (select v.input from kronos_internal.job_versions v
              where v.job_id = x.job_id and v.version = x.version))::text), 0) as bytes
from kronos_internal.live_executions x
where x.execution_id = any ($1)
