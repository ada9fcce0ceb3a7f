-- Locks at most $5 jobs of the schedules $1 (the jobs after job $2, up to and including job $3, in the order of the
-- arrays and of job_id), and writes the tick $4 of the plain jobs. A job is plain if its overlap_policy is 'allow', no
-- number of failures pauses it, it has the tick, its version began before the tick, and it owes no tick. Skips jobs that another session has locked. If
-- a tick is in the ledger already, after a backfill or because the clock was set back, the ledger's primary key fails
-- the statement. Returns one row per schedule: how many jobs were locked, how many executions were written, and which
-- locked jobs are not plain.
with locked as materialized (
    select s.nth, s.tick_at, j.job_id, j.workspace_id, j.endpoint_id, j.version, j.priority, j.endpoint_type,
           j.concurrency_key,
           kronos.uuid_v7() as execution_id,
           kronos_internal.run_at(j.job_id, s.tick_at, j.jitter) as run_at,
           j.overlap_policy = 'allow' and j.max_consecutive_failures is null
               and s.tick_at > j.active_since and s.tick_at > j.version_since and s.tick_at >= j.ledger_from
               and (s.tick_at >= j.starts_at) is not false and (s.tick_at < j.ends_at) is not false
               and (e.is_none_owed
                    or (select true from kronos_internal.owed w where w.job_id = j.job_id limit 1) is null) as is_plain
    from (select not exists (select from kronos_internal.owed) as is_none_owed offset 0) e
    cross join unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[]) with ordinality
        s (schedule_id, after_job_id, up_to_job_id, tick_at, nth)
    cross join lateral (
        select o.*
        from kronos_internal.jobs o
        where o.schedule_id is not null and (o.schedule_id, o.job_id) > (s.schedule_id, s.after_job_id)
          and (o.schedule_id, o.job_id) <= (s.schedule_id, s.up_to_job_id)
        order by o.schedule_id, o.job_id
        limit $5
        for no key update skip locked) j
    limit $5
),
ledger as (
    insert into kronos_internal.ticks (job_id, tick_at, workspace_id, version, execution_id)
    select l.job_id, l.tick_at, l.workspace_id, l.version, l.execution_id
    from locked l
    where l.is_plain
),
written as (
    insert into kronos_internal.live_executions (execution_id, workspace_id, endpoint_id, job_id, run_at, tick_at, version,
                                                 priority, origin, status, endpoint_type, concurrency_key)
    select l.execution_id, l.workspace_id, l.endpoint_id, l.job_id, l.run_at, l.tick_at, l.version,
           l.priority, 'TICK', case when l.run_at > clock_timestamp() then 'PENDING' else 'QUEUED' end, l.endpoint_type,
           l.concurrency_key
    from locked l
    where l.is_plain
)
select l.nth - 1 as place, l.workspace_id, count(*) as jobs, count(*) filter (where l.is_plain) as executions,
       min(l.run_at) filter (where l.is_plain) as startable_at,
       bool_or(l.is_plain and l.endpoint_type = 'SQL') as is_sql,
       array_agg(l.job_id) filter (where not l.is_plain) as others,
       (select m.job_id from locked m order by m.nth desc, m.job_id desc limit 1) as last_job_id
from locked l
group by l.nth, l.workspace_id
