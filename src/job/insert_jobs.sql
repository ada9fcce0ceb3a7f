insert into kronos_internal.jobs
    (job_id, workspace_id, name, endpoint_id, endpoint_type, cron, timezone, schedule_id, input, metadata, starts_at,
     ends_at, catchup_policy, catchup_window, overlap_policy, jitter, priority, on_failure_id,
     max_consecutive_failures, concurrency_key, declared_by, created_at, version_since, active_since)
select n.job_id, $2, n.name, n.endpoint_id, n.endpoint_type, n.cron, n.timezone, n.schedule_id, n.input, n.metadata,
       n.starts_at, n.ends_at, n.catchup_policy, n.catchup_window, n.overlap_policy, n.jitter, n.priority, n.on_failure_id,
       n.max_consecutive_failures, n.concurrency_key, $20, $21, $21, $21
from unnest($1::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::jsonb[],
            $10::jsonb[], $11::timestamptz[], $12::timestamptz[], $13::text[], $14::interval[], $15::text[],
            $16::interval[], $17::integer[], $18::uuid[], $19::integer[], $22::text[])
    as n (job_id, name, endpoint_id, endpoint_type, cron, timezone, schedule_id, input, metadata, starts_at, ends_at,
          catchup_policy, catchup_window, overlap_policy, jitter, priority, on_failure_id, max_consecutive_failures,
          concurrency_key)
on conflict (workspace_id, name) where status <> 'RETIRED' do nothing
returning job_id
