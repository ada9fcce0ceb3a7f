select v
from kronos.job_details v
where v.job_id = any (array(
    select j.job_id
    from kronos_internal.jobs j
    where j.workspace_id = $1
      and ($2::text is null or j.status = $2)
      and ($3::uuid is null or j.endpoint_id = $3)
      and j.job_id < coalesce($5, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
    order by j.job_id desc
    limit $4))
order by v.job_id desc
