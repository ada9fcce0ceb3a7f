-- Updates an endpoint. A null keeps the old value, and a timeout of 0 clears it. $10 is whether $11 replaces the
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
    updated_at = clock_timestamp()
where endpoint_id = $1
