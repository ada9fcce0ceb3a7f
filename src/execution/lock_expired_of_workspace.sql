-- Locks executions of a workspace whose lease has expired. Skips rows that other sessions have locked. Reads only the
-- thousand oldest expired leases: other workspaces may have any number, and upkeep finds those beyond.
-- $1 max, $2 workspace_id
select x.execution_id,
       case when x.lease_expires_at >= x.deadline_at then 'TIMED_OUT' else 'LOST' end as outcome,
       'the lease of worker ' || x.worker_id || ' expired' as error
from (select r.execution_id
      from kronos_internal.live_executions r
      where r.status = 'RUNNING' and r.lease_expires_at <= clock_timestamp()
      order by r.lease_expires_at
      limit 1000) e
join kronos_internal.live_executions x on x.execution_id = e.execution_id
where x.workspace_id = $2 and x.status = 'RUNNING' and x.lease_expires_at <= clock_timestamp()
limit $1
for no key update of x skip locked
