select j.job_id, j.job_name, j.version, j.status, j.cron, j.timezone, j.next_tick_at
from kronos.job_details j
where j.job_id = any ($1)
