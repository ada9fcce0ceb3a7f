-- The live endpoints of a workspace, newest first.
select case when $5 then d else jsonb_populate_record(d, '{"spec": null}') end
from kronos_internal.endpoints e
join kronos.endpoints d on d.endpoint_id = e.endpoint_id
where e.workspace_id = $1
  and e.endpoint_id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
  and ($3 is null or e.endpoint_type = $3)
  and e.deleted_at is null
order by e.endpoint_id desc
limit $4
