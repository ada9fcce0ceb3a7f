-- Records that writing the ticks $2 of the jobs $1 failed with SQLSTATE $3 and error $4. $5 is 1 if the job was tried
-- alone, which counts as a try and doubles the pause, or 0 if it was one of a group, in which another job may have
-- failed.
update kronos_internal.owed o
set tries = o.tries + $5, sqlstate = $3, error = $4,
    next_try_at = clock_timestamp() + interval '30 seconds' * power(2, o.tries * $5)
from unnest($1::uuid[], $2::timestamptz[]) f (job_id, tick_at)
where o.job_id = f.job_id and o.tick_at = f.tick_at
