-- The metrics of workspaces. $1 is the workspaces of the caller; null means all.
-- Waiting executions are counted up to a limit, which the queues that have some share: counting a million rows takes
-- 0.2 s. Finished executions are sampled in the same way.
with recursive workspaces as materialized (
    select w.workspace_id, w.name
    from kronos_internal.workspaces w
    where w.deleted_at is null and ($1::uuid[] is null or w.workspace_id = any ($1))
),
queues as materialized (
    select distinct w.workspace_id, w.name, e.endpoint_type
    from workspaces w join kronos_internal.endpoints e using (workspace_id)
),
-- The queues with waiting executions, in the common lane and in others, each found by one index lookup.
in_common_lane (workspace_id, endpoint_type) as (
    (select x.workspace_id, x.endpoint_type
     from kronos_internal.live_executions x
     where x.lane = '' and x.status <> 'RUNNING'
     order by x.workspace_id, x.endpoint_type
     limit 1)
    union all
    select next.workspace_id, next.endpoint_type
    from in_common_lane w
    cross join lateral (
        select x.workspace_id, x.endpoint_type
        from kronos_internal.live_executions x
        where (x.workspace_id, x.endpoint_type) > (w.workspace_id, w.endpoint_type) and x.lane = '' and x.status <> 'RUNNING'
        order by x.workspace_id, x.endpoint_type
        limit 1) next
),
in_lanes (workspace_id, endpoint_type) as (
    (select x.workspace_id, x.endpoint_type
     from kronos_internal.live_executions x
     where x.lane <> '' and x.status <> 'RUNNING'
     order by x.workspace_id, x.endpoint_type
     limit 1)
    union all
    select next.workspace_id, next.endpoint_type
    from in_lanes w
    cross join lateral (
        select x.workspace_id, x.endpoint_type
        from kronos_internal.live_executions x
        where (x.workspace_id, x.endpoint_type) > (w.workspace_id, w.endpoint_type) and x.lane <> '' and x.status <> 'RUNNING'
        order by x.workspace_id, x.endpoint_type
        limit 1) next
),
walk as materialized (select * from in_common_lane union select * from in_lanes),
waiting as materialized (
    select w.workspace_id, w.endpoint_type, counted.due, counted.delayed, counted.paused,
           kronos_internal.oldest_waiting(w.workspace_id, w.endpoint_type) as run_at
    from walk w
    join workspaces using (workspace_id)
    cross join lateral (
        select count(*) filter (where x.run_at <= now() and e.paused_at is null) as due,
               count(*) filter (where x.run_at > now()) as delayed,
               count(*) filter (where x.run_at <= now() and e.paused_at is not null) as paused
        from ((select l.run_at, l.endpoint_id
               from kronos_internal.live_executions l
               where l.workspace_id = w.workspace_id and l.endpoint_type = w.endpoint_type and l.lane = ''
                 and l.status <> 'RUNNING'
               limit (select greatest(50000 / count(*), 100) from walk))
              union all
              (select l.run_at, l.endpoint_id
               from kronos_internal.live_executions l
               where l.workspace_id = w.workspace_id and l.endpoint_type = w.endpoint_type and l.lane <> ''
                 and l.status <> 'RUNNING'
               limit (select greatest(50000 / count(*), 100) from walk))) x
        left join kronos_internal.endpoints e on e.endpoint_id = x.endpoint_id) counted
),
running as materialized (
    select x.workspace_id, x.endpoint_type, count(*) as running,
           count(*) filter (where x.lease_expires_at < now()) as expired
    from kronos_internal.live_executions x
    where x.status = 'RUNNING' and x.workspace_id in (select w.workspace_id from workspaces w)
    group by x.workspace_id, x.endpoint_type
),
jobs as materialized (
    select j.workspace_id, count(*) filter (where j.status = 'ACTIVE') as active,
           count(*) filter (where j.status = 'PAUSED') as paused
    from kronos_internal.jobs j
    where j.status <> 'RETIRED' and j.workspace_id in (select w.workspace_id from workspaces w)
    group by j.workspace_id
),
owed as materialized (
    select o.workspace_id, count(*) filter (where o.error is null) as owed, count(o.error) as failing
    from kronos_internal.owed o
    where o.workspace_id in (select w.workspace_id from workspaces w)
    group by o.workspace_id
),
of_queues as (
    select q.name, q.endpoint_type, coalesce(w.due, 0) as due, coalesce(w.delayed, 0) as delayed,
           coalesce(w.paused, 0) as paused,
           coalesce(r.running, 0) as running, coalesce(r.expired, 0) as expired,
           greatest(extract(epoch from now() - w.run_at), 0) as lag
    from queues q
    left join waiting w using (workspace_id, endpoint_type)
    left join running r using (workspace_id, endpoint_type)
),
of_workspaces as (
    select w.name, coalesce(j.active, 0) as active, coalesce(j.paused, 0) as paused, coalesce(o.owed, 0) as owed,
           coalesce(o.failing, 0) as failing, recent.succeeded, recent.failed, recent.cancelled
    from workspaces w
    left join jobs j using (workspace_id)
    left join owed o using (workspace_id)
    cross join lateral (
        select count(*) filter (where f.status = 'SUCCEEDED') as succeeded, count(*) filter (where f.status = 'FAILED') as failed,
               count(*) filter (where f.status = 'CANCELLED') as cancelled
        from (select h.status, h.finished_at
              from kronos_internal.history h
              where h.workspace_id = w.workspace_id
              order by h.execution_id desc
              limit (select greatest(20000 / count(*), 10) from workspaces)) f
        where f.finished_at > now() - interval '1 hour') recent
)
select m.name, m.labels, m.value::float8 as value, h.help
from (
    select v.name, jsonb_build_object('workspace', q.name, 'endpoint_type', q.endpoint_type) || v.labels as labels, v.value
    from of_queues q
    cross join lateral (
        values ('kronos_executions', '{"state": "due"}'::jsonb, q.due),
               ('kronos_executions', '{"state": "delayed"}', q.delayed),
               ('kronos_executions', '{"state": "paused"}', q.paused),
               ('kronos_executions', '{"state": "running"}', q.running),
               ('kronos_queue_lag_seconds', '{}', q.lag),
               ('kronos_leases_expired', '{}', q.expired)) v (name, labels, value)
    union all
    select v.name, jsonb_build_object('workspace', w.name) || v.labels, v.value
    from of_workspaces w
    cross join lateral (
        values ('kronos_jobs', '{"status": "ACTIVE"}'::jsonb, w.active),
               ('kronos_jobs', '{"status": "PAUSED"}', w.paused),
               ('kronos_ticks_owed', '{}', w.owed),
               ('kronos_ticks_failing', '{}', w.failing),
               ('kronos_recent_executions', '{"status": "SUCCEEDED"}', w.succeeded),
               ('kronos_recent_executions', '{"status": "FAILED"}', w.failed),
               ('kronos_recent_executions', '{"status": "CANCELLED"}', w.cancelled)) v (name, labels, value)) m
join (
    values ('kronos_executions', 'Unfinished executions: due, delayed, paused (due, but their endpoint is paused) or running. Waiting ones are counted up to a limit of at least 100 per queue.'),
           ('kronos_queue_lag_seconds', 'How long the oldest waiting execution has been due, those of paused endpoints left out.'),
           ('kronos_leases_expired', 'Running executions whose lease has expired: their workers died or stopped sending heartbeats.'),
           ('kronos_jobs', 'Live cron jobs.'),
           ('kronos_ticks_owed', 'Ticks that a later wake-up writes, because another transaction was changing their job.'),
           ('kronos_ticks_failing', 'Ticks whose execution could not be written: see kronos.failing_ticks.'),
           ('kronos_recent_executions', 'Executions that finished within the last hour, among the newest of the workspace (at least 10).')
    ) h (name, help) using (name)
