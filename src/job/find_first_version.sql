-- The first version of a job, to be compared with a repeated request. That one has a trace context of its own, so
-- traceparent of the metadata is not compared.
-- $1 job_id, $2 input, $3 metadata
select j.status, j.retired_at, j.retired_reason, f.name, f.endpoint_id, f.cron, f.timezone, f.starts_at, f.ends_at,
       f.catchup_policy, f.catchup_window, f.overlap_policy, f.jitter, f.priority, f.concurrency_key, f.on_failure_id,
       f.max_consecutive_failures, f.input = $2 as same_input,
       f.metadata - 'traceparent' = $3::jsonb - 'traceparent' as same_metadata
from kronos_internal.jobs j
cross join lateral (
    select j.name, j.endpoint_id, j.cron, j.timezone, j.starts_at, j.ends_at, j.catchup_policy, j.catchup_window,
           j.overlap_policy, j.jitter, j.priority, j.concurrency_key, j.on_failure_id, j.max_consecutive_failures, j.input, j.metadata
    where j.version = 1
    union all
    select v.name, v.endpoint_id, v.cron, v.timezone, v.starts_at, v.ends_at, v.catchup_policy, v.catchup_window,
           v.overlap_policy, v.jitter, v.priority, v.concurrency_key, v.on_failure_id, v.max_consecutive_failures, v.input, v.metadata
    from kronos_internal.job_versions v
    where v.job_id = j.job_id
      and v.version = 1
) f
where j.job_id = $1
