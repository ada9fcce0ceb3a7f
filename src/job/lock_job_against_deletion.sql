select job_id, version, status, schedule_id, name, endpoint_id, cron, timezone, starts_at, ends_at, catchup_policy,
       catchup_window, overlap_policy, jitter, priority, concurrency_key, on_failure_id, max_consecutive_failures, ledger_from, paused_at, retired_at,
       retired_reason
from kronos_internal.jobs
where workspace_id = $1
  and job_id = $2
for key share
