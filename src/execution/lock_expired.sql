-- Locks executions whose lease has expired. Skips rows that other sessions have locked.
-- $1 max
select x.execution_id,
       case when x.lease_expires_at >= x.deadline_at then 'TIMED_OUT' else 'LOST' end as outcome,
       'the lease of worker ' || x.worker_id || ' expired' as error
from kronos_internal.live_executions x
where x.status = 'RUNNING' and x.lease_expires_at <= clock_timestamp()
order by x.lease_expires_at
limit $1
for no key update skip locked
