-- Starts executions that this transaction has locked. An execution of a gated endpoint starts only from its lane, in
-- which the claim has found room for it.
-- $1 execution_ids, $2 now, $3 worker_id, $4 lease
with started as (
    update kronos_internal.live_executions x
    set status = 'RUNNING', attempt = x.attempt + 1, worker_id = $3, started_at = $2,
        lease_expires_at = least($2 + $4, $2 + e.attempt_timeout), deadline_at = $2 + e.attempt_timeout
    from kronos_internal.endpoints e
    where x.execution_id = any ($1) and e.endpoint_id = x.endpoint_id and (e.gated_at is null or x.lane > '')
    returning x.execution_id, x.attempt, x.workspace_id, x.job_id, x.version, x.tick_at, x.run_at, x.priority, x.input,
              x.metadata, x.endpoint_type, x.failed_attempts, x.lease_expires_at, x.deadline_at,
              e.name as endpoint, e.spec, e.max_attempts
)
select row(s.execution_id, s.attempt, w.name, s.job_id, j.name, s.version, s.tick_at, s.run_at, s.priority,
           coalesce(s.input, case when s.version = j.version then j.input else v.input end),
           coalesce(s.metadata, case when s.version = j.version then j.metadata else v.metadata end),
           s.endpoint, s.endpoint_type, s.spec, s.failed_attempts, s.max_attempts, s.lease_expires_at, s.deadline_at
       )::kronos.claimed_execution
from started s
join kronos_internal.workspaces w on w.workspace_id = s.workspace_id
left join kronos_internal.jobs j on j.job_id = s.job_id
left join kronos_internal.job_versions v on v.job_id = s.job_id and v.version = nullif(s.version, j.version)
order by s.priority, s.run_at
