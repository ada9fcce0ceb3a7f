-- Updates an endpoint. A null keeps the old value, and 0 clears a timeout or limit. $11 is whether $12 replaces the payload
-- spec, and $13 whether $14 replaces on_failure; $15 is the new run_as.
update kronos_internal.endpoints
set name = coalesce($3, name),
    spec = coalesce($4, spec),
    max_attempts = coalesce($5, max_attempts),
    backoff = coalesce($6, backoff),
    initial_delay_ms = coalesce($7, initial_delay_ms),
    max_delay_ms = coalesce($8, max_delay_ms),
    retry_jitter = coalesce($9, retry_jitter),
    attempt_timeout = nullif(coalesce($10, attempt_timeout), interval '0'),
    payload_spec_id = case when $11 then $12 else payload_spec_id end,
    on_failure_id = case when $13 then $14 else on_failure_id end,
    run_as = coalesce($15::oid::regrole, run_as),
    max_concurrent = nullif(coalesce($16, max_concurrent), 0),
    rate_limit = nullif(coalesce($17, rate_limit), 0),
    rate_interval = case when $17 = 0 then null else coalesce($18, rate_interval) end,
    gated_at = case when paused_at is not null or coalesce($16, max_concurrent, 0) > 0 or coalesce($17, rate_limit, 0) > 0
                    then coalesce(gated_at, clock_timestamp()) end,
    updated_at = clock_timestamp()
where workspace_id = $1
  and name = $2
  and deleted_at is null
returning endpoint_id
