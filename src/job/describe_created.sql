select row(c.name, c.job_id, c.version, c.status, c.cron, c.timezone, c.next_tick_at, c.created)::kronos.created_job
from unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::boolean[])
    with ordinality as c (job_id, name, version, status, cron, timezone, next_tick_at, created, place)
order by c.place
