-- Locks executions of a workspace that may start now. Reads each queue of the common lane (endpoint type, priority) in
-- the order of its index, until there are enough. Skips rows that other sessions have locked. Executions of an ordered
-- job run one at a time, oldest tick first: only the oldest is eligible, so two sessions cannot start two of them. 50
-- executions are never too large for a claim, so inputs are measured only if more are wanted. An execution of a job has
-- no input.
-- $1 workspace_id, $2 endpoint_types, $3 max, $4 now, $5 the run_at to start reading from, by priority
select q.execution_id, q.priority, q.run_at, q.has_job,
       case when $3 > 50 then octet_length(q.input::text) end as input_bytes
from pg_catalog.generate_series(0, 9) p (priority)
cross join lateral (
    select m.execution_id, m.priority, m.run_at, m.has_job, m.input
    from pg_catalog.unnest($2::text[]) t (endpoint_type)
    cross join lateral (
        select x.execution_id, x.priority, x.run_at, x.job_id is not null as has_job, x.input
        from kronos_internal.live_executions x
        where x.workspace_id = $1 and x.endpoint_type = t.endpoint_type and x.lane = '' and x.priority = p.priority
          and x.run_at <= $4 and x.run_at >= ($5::timestamptz[])[p.priority + 1] and x.status <> 'RUNNING'
          and (not x.in_order
               or not exists (select
                              from kronos_internal.live_executions o
                              where o.job_id = x.job_id and (o.status = 'RUNNING' or o.tick_at < x.tick_at)))
        order by x.run_at
        limit $3
        for no key update skip locked) m
    order by m.run_at
    limit $3) q
limit $3
