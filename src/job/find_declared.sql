select true as is_named, j.job_id, j.version, j.status, j.schedule_id, j.name, j.endpoint_id, j.cron, j.timezone, j.starts_at,
       j.ends_at, j.catchup_policy, j.catchup_window, j.overlap_policy, j.jitter, j.priority, j.concurrency_key, j.on_failure_id,
       j.max_consecutive_failures, j.ledger_from, j.paused_at, j.retired_at, j.retired_reason, j.declared_by, j.input = d.input as same_input, j.metadata = d.metadata as same_metadata
from unnest($3::text[], $4::jsonb[], $5::jsonb[]) as d (name, input, metadata)
join kronos_internal.jobs j on j.workspace_id = $1 and j.name = d.name and j.status <> 'RETIRED'
union all
select false, j.job_id, j.version, j.status, j.schedule_id, j.name, j.endpoint_id, j.cron, j.timezone, j.starts_at,
       j.ends_at, j.catchup_policy, j.catchup_window, j.overlap_policy, j.jitter, j.priority, j.concurrency_key, j.on_failure_id,
       j.max_consecutive_failures, j.ledger_from, j.paused_at, j.retired_at, j.retired_reason, j.declared_by, null, null
from kronos_internal.jobs j
where j.workspace_id = $1
  and j.declared_by = $2
  and j.status <> 'RETIRED'
