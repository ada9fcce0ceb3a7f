-- Pauses an endpoint that is not paused.
-- $1 workspace_id, $2 name, $3 reason, $4 the role that pauses it
update kronos_internal.endpoints
set paused_at = clock_timestamp(),
    paused_reason = $3,
    paused_by = pg_get_userbyid($4::oid),
    gated_at = coalesce(gated_at, clock_timestamp())
where workspace_id = $1
  and name = $2
  and deleted_at is null
  and paused_at is null
returning endpoint_id
