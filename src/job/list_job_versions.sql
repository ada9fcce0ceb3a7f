select v
from kronos.job_versions v
where v.job_id = $1
  and v.version < coalesce($3, 2147483647)
order by v.version desc
limit $2
