-- Creates an endpoint, unless a live one already has its name.
insert into kronos_internal.endpoints
    (workspace_id, name, endpoint_type, spec, max_attempts, backoff, initial_delay_ms, max_delay_ms, retry_jitter,
     attempt_timeout, payload_spec_id, on_failure_id, run_as, max_concurrent, rate_limit, rate_interval, gated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::oid::regrole, $14, $15, $16,
        case when $14 is not null or $15 is not null then clock_timestamp() end)
on conflict (workspace_id, name) where deleted_at is null do nothing
returning endpoint_id
