-- The payload specs of a workspace, newest first.
select d
from kronos_internal.payload_specs p
join kronos.payload_specs d on d.payload_spec_id = p.payload_spec_id
where p.workspace_id = $1
  and p.payload_spec_id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
order by p.payload_spec_id desc
limit $3
