insert into kronos_internal.idempotency_keys as k (workspace_id, scope, key, made_id, expires_at)
select w.workspace_id, $2, $3, $4, greatest(clock_timestamp(), $5) + w.execution_retention
from kronos_internal.workspaces w
where w.workspace_id = $1
on conflict (workspace_id, scope, key) do update
set made_id = excluded.made_id, expires_at = excluded.expires_at
where k.expires_at <= clock_timestamp()
returning made_id
