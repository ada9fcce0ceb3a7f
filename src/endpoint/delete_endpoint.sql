-- Marks an endpoint that is not paused as deleted, and clears its payload spec and its on_failure. A foreign key prevents
-- it while a live job uses the endpoint.
update kronos_internal.endpoints
set deleted_at = clock_timestamp(),
    payload_spec_id = null,
    on_failure_id = null,
    updated_at = clock_timestamp()
where endpoint_id = $1 and paused_at is null
