-- Locks the jobs $1 in any status, and skips jobs that another session has locked.
select j.job_id, j.workspace_id, j.active_since, j.starts_at, j.ends_at, j.ledger_from, j.catchup_policy,
       j.catchup_window::interval as catchup_window, j.overlap_policy, j.status, j.version_since, j.cron, j.timezone
from kronos_internal.jobs j
where j.job_id = any ($1::uuid[])
for no key update skip locked
