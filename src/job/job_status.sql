with executions as (
    select execution_id, status, null::timestamptz as finished_at, null::interval as duration
    from kronos_internal.live_executions
    where job_id = $1
    union all
    select execution_id, status, finished_at, finished_at - started_at
    from kronos_internal.history
    where job_id = $1
      and execution_id >= kronos.uuid_v7_at(now() - interval '24 hours')
),
day as (
    select count(*) filter (where execution_id >= kronos.uuid_v7_at(now() - interval '24 hours')) as total,
           count(*) filter (where status = 'SUCCEEDED') as succeeded,
           count(*) filter (where status = 'FAILED') as failed,
           count(*) filter (where status in ('PENDING', 'QUEUED', 'RETRYING')) as waiting,
           count(*) filter (where status = 'RUNNING') as running,
           avg(duration) filter (where status in ('SUCCEEDED', 'FAILED')) as mean_duration,
           percentile_cont(0.99) within group (order by duration)
               filter (where status in ('SUCCEEDED', 'FAILED')) as p99_duration
    from executions
),
latest as (
    select count(*) as ended, count(*) filter (where status = 'FAILED') as failed
    from (select status
          from executions
          where status in ('SUCCEEDED', 'FAILED')
          order by finished_at desc
          limit 10) l
),
last_execution as (
    select execution_id, status, finished_at
    from (select execution_id, status, finished_at from executions
          union all
          (select execution_id, status, finished_at
           from kronos_internal.history
           where job_id = $1
           order by execution_id desc
           limit 1)) x
    order by execution_id desc
    limit 1
)
select row(j.job_name, j.job_id, j.status,
           case when l.ended = 0 then 'IDLE'
                when l.failed = 0 then 'HEALTHY'
                when l.failed * 2 >= l.ended then 'FAILING'
                else 'DEGRADED'
           end,
           d.waiting, d.running, j.last_tick_at, j.next_tick_at, x.execution_id, x.status, x.finished_at, d.total,
           d.succeeded, d.failed,
           (select count(*)
            from kronos_internal.ticks t
            where t.job_id = $1 and t.execution_id is null and t.tick_at >= now() - interval '24 hours'),
           d.mean_duration, d.p99_duration)::kronos.job_status
from kronos.job_details j
cross join day d
cross join latest l
left join last_execution x on true
where j.job_id = $1
