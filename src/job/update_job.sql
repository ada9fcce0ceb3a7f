with archived as (
    insert into kronos_internal.job_versions
        (job_id, version, name, endpoint_id, cron, timezone, input, metadata, starts_at, ends_at, catchup_policy,
         catchup_window, overlap_policy, jitter, priority, on_failure_id, max_consecutive_failures, concurrency_key, began_at,
         ended_at)
    select job_id, version, name, endpoint_id, cron, timezone, input, metadata, starts_at, ends_at, catchup_policy,
           catchup_window, overlap_policy, jitter, priority, on_failure_id, max_consecutive_failures, concurrency_key, version_since,
           $19
    from kronos_internal.jobs
    where job_id = $1
)
update kronos_internal.jobs
set version = version + 1,
    name = $2,
    status = case when $7::uuid is null then 'PAUSED' else 'ACTIVE' end,
    endpoint_id = $3,
    endpoint_type = $4,
    cron = $5,
    timezone = $6,
    schedule_id = $7,
    input = coalesce($8, input),
    metadata = coalesce($9, metadata),
    starts_at = $10,
    ends_at = $11,
    catchup_policy = $12,
    catchup_window = $13,
    overlap_policy = $14,
    jitter = $15,
    priority = $16,
    on_failure_id = $17,
    max_consecutive_failures = $18,
    concurrency_key = $21,
    version_since = $19,
    active_since = case when $20 then $19 else active_since end
where job_id = $1
