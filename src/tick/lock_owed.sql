-- Locks at most $2 owed ticks whose next try is due at $1.
select o.job_id, o.tick_at, o.tries
from kronos_internal.owed o
where o.next_try_at <= $1
order by o.next_try_at
limit $2
for update skip locked
