-- Ends attempts that did not succeed. The retry policies of the endpoints decide the next states of the executions; a
-- released execution waits until its retry_at, if it has one. The caller has locked the rows in an earlier statement, so
-- this one sees their newest values, including a stop request that the lock waited for.
-- $1 execution_ids, $2 outcomes, $3 errors, $4 retryable, $5 retry_ats, $6 now
with ending as materialized (
    select x.*, a.outcome, a.retryable, a.retry_at, e.max_attempts, e.backoff, e.initial_delay_ms, e.max_delay_ms, e.retry_jitter,
           e.on_failure_id,
           case when length(a.error) > 10000 then left(a.error, 10000) || ' … (cut)' else a.error end as error,
           x.failed_attempts + case when a.outcome = 'RELEASED' then 0 else 1 end as failures
    from rows from (
        pg_catalog.unnest($1::uuid[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]),
        pg_catalog.unnest($4::boolean[]), pg_catalog.unnest($5::timestamptz[])
    ) a (execution_id, outcome, error, retryable, retry_at)
    join kronos_internal.live_executions x on x.execution_id = a.execution_id
    join kronos_internal.endpoints e on e.endpoint_id = x.endpoint_id
),
decided as materialized (
    select d.*,
           case when d.next_status = 'CANCELLED' then coalesce(d.status_reason, 'its worker was asked to stop')
                when d.next_status = 'FAILED' and d.failures < d.max_attempts then 'not retryable'
                when d.next_status = 'FAILED' then 'attempt ' || d.failures || ' of ' || d.max_attempts || ' failed'
                else d.status_reason end as reason,
           case when d.next_status = 'RETRYING'
                then coalesce(d.retry_at, $6 + kronos.retry_delay(d.backoff, d.initial_delay_ms, d.max_delay_ms, d.failures)
                                               * (1 - d.retry_jitter * random()))
                when d.next_status = 'PENDING' then d.retry_at
                else d.run_at end as next_run_at,
           least($6, d.lease_expires_at) as ended_at
    from (select n.*,
                 case when n.stop_requested_at is not null then 'CANCELLED'
                      when n.outcome = 'RELEASED' then case when n.retry_at > $6 then 'PENDING' else 'QUEUED' end
                      when not n.retryable or n.failures >= n.max_attempts then 'FAILED'
                      else 'RETRYING' end as next_status
          from ending n) d
),
moved as (
    delete from kronos_internal.live_executions x
    where x.execution_id = any (array(select d.execution_id from decided d where d.next_status in ('FAILED', 'CANCELLED')))
),
finished as (
    insert into kronos_internal.history
        (execution_id, workspace_id, endpoint_id, job_id, run_at, tick_at, created_at, started_at, finished_at,
         stop_requested_at, retried_at, rescheduled_at, version, priority, attempt, failed_attempts, origin, status,
         endpoint_type, concurrency_key, status_reason, worker_id, retried_by, outcome, input, metadata, error, key)
    select d.execution_id, d.workspace_id, d.endpoint_id, d.job_id, d.run_at, d.tick_at, d.created_at, d.started_at,
           d.ended_at, d.stop_requested_at, d.retried_at, d.rescheduled_at, d.version, d.priority, d.attempt,
           d.failures, d.origin, d.next_status, d.endpoint_type, d.concurrency_key, d.reason, d.worker_id, d.retried_by, d.outcome,
           d.input, d.metadata, d.error, d.key
    from decided d
    where d.next_status in ('FAILED', 'CANCELLED')
),
waiting as (
    update kronos_internal.live_executions x
    set status = d.next_status, run_at = d.next_run_at, failed_attempts = d.failures, status_reason = d.reason,
        rescheduled_at = case d.next_status when 'PENDING' then $6 else x.rescheduled_at end,
        worker_id = null, started_at = null, lease_expires_at = null, deadline_at = null
    from decided d
    where d.next_status in ('RETRYING', 'QUEUED', 'PENDING') and x.execution_id = d.execution_id
),
archived as (
    insert into kronos_internal.attempts
        (execution_id, attempt, workspace_id, started_at, finished_at, outcome, worker_id, error)
    select d.execution_id, d.attempt, d.workspace_id, d.started_at, d.ended_at, d.outcome, d.worker_id, d.error
    from decided d
    where d.next_status in ('RETRYING', 'QUEUED', 'PENDING')
)
select row(d.execution_id, d.attempt, true, d.next_status, d.next_run_at, null, d.stop_requested_at is not null, null, null
       )::kronos.execution_report,
       d.execution_id, d.attempt, d.workspace_id,
       case when d.lane <> ''
                 and exists (select
                             from kronos_internal.live_executions o
                             where o.workspace_id = d.workspace_id and o.endpoint_type = d.endpoint_type and o.lane = d.lane
                               and o.lane <> '' and o.status <> 'RUNNING') then $6
            when d.next_status in ('RETRYING', 'QUEUED', 'PENDING') then d.next_run_at
            when d.job_id is not null
                 and exists (select
                             from kronos_internal.live_executions o
                             where o.job_id = d.job_id and o.in_order and o.execution_id <> d.execution_id)
            then $6 end as startable_at,
       d.endpoint_type = 'SQL' as is_sql,
       d.next_status = 'FAILED' and d.origin <> 'ON_FAILURE'
           and (d.on_failure_id is not null
                or d.job_id is not null
                   and exists (select
                               from kronos_internal.jobs j
                               where j.job_id = d.job_id and j.on_failure_id is not null)) as is_handled
from decided d
