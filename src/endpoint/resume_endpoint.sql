-- Resumes a paused endpoint.
-- $1 workspace_id, $2 name
update kronos_internal.endpoints
set paused_at = null,
    paused_reason = null,
    paused_by = null,
    gated_at = case when max_concurrent is not null or rate_limit is not null then gated_at end
where workspace_id = $1
  and name = $2
  and deleted_at is null
  and paused_at is not null
returning endpoint_id
