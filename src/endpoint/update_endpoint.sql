-- Updates an endpoint. A null keeps the old value, and 0 clears a timeout or limit. $10 is whether $11 replaces the
-- payload spec, and $12 whether $13 replaces on_failure; $14 is the new run_as.
update kronos_internal.endpoints
set name = coalesce($2, name),
    spec = coalesce($3, spec),
    max_attempts = coalesce($4, max_attempts),
    backoff = coalesce($5, backoff),
    initial_delay_ms = coalesce($6, initial_delay_ms),
    max_delay_ms = coalesce($7, max_delay_ms),
    retry_jitter = coalesce($8, retry_jitter),
    attempt_timeout = nullif(coalesce($9, attempt_timeout), interval '0'),
    payload_spec_id = case when $10 then $11 else payload_spec_id end,
    on_failure_id = case when $12 then $13 else on_failure_id end,
    run_as = coalesce($14::oid::regrole, run_as),
    max_concurrent = nullif(coalesce($15, max_concurrent), 0),
    rate_limit = nullif(coalesce($16, rate_limit), 0),
    rate_interval = case when $16 = 0 then null else coalesce($17, rate_interval) end,
    gated_at = case when paused_at is not null or coalesce($15, max_concurrent, 0) > 0 or coalesce($16, rate_limit, 0) > 0
                    then coalesce(gated_at, clock_timestamp()) end,
    updated_at = clock_timestamp()
where endpoint_id = $1
