-- Creates an endpoint, unless a live one already has its name.
insert into kronos_internal.endpoints
    (workspace_id, name, endpoint_type, spec, max_attempts, backoff, initial_delay_ms, max_delay_ms, retry_jitter,
     attempt_timeout, payload_spec_id, max_concurrent, rate_limit, rate_interval, gated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
        case when $12 is not null or $13 is not null then clock_timestamp() end)
on conflict (workspace_id, name) where deleted_at is null do nothing
returning endpoint_id
