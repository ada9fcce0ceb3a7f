-- Extends the leases of executions that live SQL workers run, when a third of the lease is over, and returns the workers
-- that run one, and whether it is well past its deadline: its statement does not react to being cancelled.
-- $1 worker_ids, $2 lease, $3 now
with running as (
    select x.execution_id, x.worker_id, x.lease_expires_at, x.deadline_at
    from kronos_internal.live_executions x
    where x.status = 'RUNNING' and x.endpoint_type = 'SQL' and x.worker_id = any ($1::text[])
),
extended as (
    update kronos_internal.live_executions x
    set lease_expires_at = least($3 + $2, x.deadline_at + interval '1 minute')
    from (select l.execution_id
          from kronos_internal.live_executions l
          where l.execution_id in (select r.execution_id
                                   from running r
                                   where r.lease_expires_at < $3 + 2 * $2 / 3)
          for no key update skip locked) l
    where x.execution_id = l.execution_id
)
select r.worker_id, coalesce(r.deadline_at < $3 - interval '5 seconds', false) as is_overdue from running r
