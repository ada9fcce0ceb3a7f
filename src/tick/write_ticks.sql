-- Writes the ticks $2 of the jobs $1 that are not in the ledger: one ledger row each, and an execution unless the job's
-- overlap_policy or max_consecutive_failures skips the tick. $3 and $4 are whether the tick is the first and the last tick of its job in this call.
-- $5 is the origin: TICK, or BACKFILL, which runs at once and may overlap. The caller holds the row locks of the jobs,
-- so that no other session writes their ledger rows, and of the unfinished executions that a tick replaces. Each lookup
-- is a subquery that the planner cannot turn into a join (OFFSET 0, scalar): a generic plan made while a table was
-- small would later scan the whole table.
with decided as materialized (
    select a.*, kronos.uuid_v7() as execution_id,
           case
               when a.failure_limit is not null
                    and kronos_internal.has_failed_in_a_row(a.job_id, a.active_since, a.failure_limit)
               then 'max_consecutive_failures ' || a.failure_limit || ': the last executions failed'
               when a.overlap_policy = 'skip'
                    and (not a.is_first
                         or exists (select from kronos_internal.live_executions x where x.job_id = a.job_id))
               then 'overlap_policy skip: an execution was unfinished'
               when a.overlap_policy = 'queue_one'
                    and (not a.is_first
                         or exists (select from kronos_internal.live_executions x
                                    where x.job_id = a.job_id
                                      and (x.status in ('PENDING', 'QUEUED')
                                           or x.status in ('RUNNING', 'RETRYING') and x.tick_at > a.tick_at)))
               then 'overlap_policy queue_one: an execution was waiting'
               when a.overlap_policy = 'replace'
                    and (not a.is_last
                         or exists (select from kronos_internal.ticks t
                                    where t.job_id = a.job_id and t.tick_at > a.tick_at and t.execution_id is not null))
               then 'overlap_policy replace: a later tick was due'
           end as skipped
    from (
        select j.workspace_id, j.job_id, j.version, a.tick_at, a.is_first, a.is_last, j.endpoint_id, j.endpoint_type, j.priority,
               j.concurrency_key,
               case $5 when 'TICK' then j.overlap_policy else 'allow' end as overlap_policy,
               case $5 when 'TICK' then j.max_consecutive_failures end as failure_limit, j.active_since,
               case when $5 = 'TICK' then kronos_internal.run_at(j.job_id, a.tick_at, j.jitter)
                    else clock_timestamp() end as run_at
        from unnest($1::uuid[], $2::timestamptz[], $3::boolean[], $4::boolean[]) a (job_id, tick_at, is_first, is_last)
        cross join lateral (select o.* from kronos_internal.jobs o where o.job_id = a.job_id offset 0) j
        where (select true from kronos_internal.ticks t where t.job_id = a.job_id and t.tick_at = a.tick_at) is null
    ) a
),
replacing as materialized (
    select x.execution_id, x.status
    from decided d
    cross join lateral (
        select l.execution_id, l.status
        from kronos_internal.live_executions l
        where l.job_id = d.job_id
        offset 0) x
    where d.overlap_policy = 'replace' and d.skipped is null
),
replaced as (
    delete from kronos_internal.live_executions x
    where x.execution_id = any (array(select r.execution_id from replacing r where r.status <> 'RUNNING'))
    returning x.*
),
archived as (
    insert into kronos_internal.history (execution_id, workspace_id, endpoint_id, job_id, run_at, tick_at, created_at,
                                         finished_at, stop_requested_at, retried_at, rescheduled_at, version, priority,
                                         attempt, failed_attempts, origin, status, endpoint_type, concurrency_key, status_reason,
                                         retried_by, input, metadata)
    select r.execution_id, r.workspace_id, r.endpoint_id, r.job_id, r.run_at, r.tick_at, r.created_at,
           clock_timestamp(), r.stop_requested_at, r.retried_at, r.rescheduled_at, r.version, r.priority, r.attempt,
           r.failed_attempts, r.origin, 'CANCELLED', r.endpoint_type, r.concurrency_key, 'overlap_policy replace: a later tick was due',
           r.retried_by, r.input, r.metadata
    from replaced r
),
stopped as (
    update kronos_internal.live_executions x
    set stop_requested_at = coalesce(x.stop_requested_at, clock_timestamp()),
        status_reason = 'overlap_policy replace: a later tick was due'
    where x.execution_id = any (array(select r.execution_id from replacing r where r.status = 'RUNNING'))
),
ledger as (
    insert into kronos_internal.ticks (job_id, tick_at, workspace_id, version, execution_id, reason)
    select d.job_id, d.tick_at, d.workspace_id, d.version, case when d.skipped is null then d.execution_id end, d.skipped
    from decided d
),
written as (
    insert into kronos_internal.live_executions (execution_id, workspace_id, endpoint_id, job_id, run_at, tick_at, version,
                                                 priority, in_order, origin, status, endpoint_type, concurrency_key)
    select d.execution_id, d.workspace_id, d.endpoint_id, d.job_id, d.run_at, d.tick_at, d.version,
           d.priority, d.overlap_policy in ('queue_one', 'replace'), $5,
           case when d.run_at > clock_timestamp() then 'PENDING' else 'QUEUED' end, d.endpoint_type, d.concurrency_key
    from decided d
    where d.skipped is null
)
select d.workspace_id, count(*) filter (where d.skipped is null) as executions,
       count(*) filter (where d.skipped is not null) as skipped,
       min(d.run_at) filter (where d.skipped is null) as startable_at,
       bool_or(d.skipped is null and d.endpoint_type = 'SQL') as is_sql
from decided d
group by d.workspace_id
