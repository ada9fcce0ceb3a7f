-- Marks an endpoint as deleted and releases its payload spec. The foreign key of live jobs refuses it while one uses it.
update kronos_internal.endpoints
set deleted_at = clock_timestamp(),
    payload_spec_id = null,
    updated_at = clock_timestamp()
where workspace_id = $1
  and name = $2
  and deleted_at is null
returning endpoint_id
