insert into kronos_internal.jobs as j
    (job_id, workspace_id, name, endpoint_id, endpoint_type, cron, timezone, schedule_id, input, metadata, starts_at,
     ends_at, catchup_policy, catchup_window, overlap_policy, jitter, priority, on_failure_id, max_consecutive_failures,
     concurrency_key, created_at, version_since, active_since)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $22, $20, $20, $20)
on conflict (workspace_id, name) where status <> 'RETIRED' do nothing
returning row(j.name, j.job_id, j.version, j.status, j.cron, j.timezone, $21::timestamptz, true)::kronos.created_job
