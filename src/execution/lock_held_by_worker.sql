-- Locks executions that a worker holds, whatever their leases. Skips rows that other sessions have locked.
-- $1 worker_id, $2 workspace_id (null: any), $3 max, $4 the role that ends the leases
select x.execution_id,
       case when x.lease_expires_at >= x.deadline_at and x.deadline_at <= clock_timestamp() then 'TIMED_OUT' else 'LOST' end
           as outcome,
       'the lease of worker ' || x.worker_id || ' was ended by ' || pg_catalog.pg_get_userbyid($4::oid) as error
from kronos_internal.live_executions x
where x.status = 'RUNNING' and x.worker_id = $1 and ($2::uuid is null or x.workspace_id = $2)
order by x.lease_expires_at
limit $3
for no key update skip locked
