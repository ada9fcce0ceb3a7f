-- Deletes at most $1 retired jobs that are older than their workspace's retention and have no executions left, with
-- their versions, ledger rows, owed ticks and idempotency keys.
with doomed as materialized (
    select j.job_id, j.workspace_id
    from kronos_internal.jobs j
    join kronos_internal.workspaces w using (workspace_id)
    where j.status = 'RETIRED'
      and j.retired_at < now() - w.job_retention
      and not exists (select from kronos_internal.live_executions x where x.job_id = j.job_id)
      and not exists (select from kronos_internal.history h where h.job_id = j.job_id)
    order by j.retired_at
    limit $1
    for update of j skip locked
),
ticks as (
    delete from kronos_internal.ticks where job_id = any (array(select d.job_id from doomed d))
),
dropped as (
    delete from kronos_internal.dropped_ticks where job_id = any (array(select d.job_id from doomed d))
),
owed as (
    delete from kronos_internal.owed where job_id = any (array(select d.job_id from doomed d))
),
keys as (
    delete from kronos_internal.idempotency_keys
    where workspace_id = any (array(select d.workspace_id from doomed d)) and scope = 'create_cron_job'
      and made_id = any (array(select d.job_id from doomed d))
)
delete from kronos_internal.jobs j
using doomed d
where j.job_id = d.job_id
