-- Deletes ledger rows that are older than their workspace's retention, for at most $1 jobs that no other session has
-- locked. $2 is one slice of sixty; null means all jobs. Each job's ledger_from is raised first: no tick before it ever
-- runs again. Deletion stops at the first tick that was recorded within the retention, so that a backfill of old ticks
-- keeps its rows.
with candidates as materialized (
    select j.job_id, now() - w.execution_retention as kept_from
    from kronos_internal.jobs j
    join kronos_internal.workspaces w using (workspace_id)
    where j.created_at < now() - w.execution_retention
      and ($2::integer is null or abs(hashtext(j.job_id::text) % 60) = $2)
      and ((select t.recorded_at
            from kronos_internal.ticks t
            where t.job_id = j.job_id
            order by t.tick_at
            limit 1) < now() - w.execution_retention
           or exists (select
                      from kronos_internal.dropped_ticks d
                      where d.job_id = j.job_id and d.recorded_at < now() - w.execution_retention))
    limit $1
),
locked as materialized (
    select j.job_id, c.kept_from
    from candidates c
    join kronos_internal.jobs j on j.job_id = c.job_id
    for no key update of j skip locked
),
floors as materialized (
    select l.job_id, l.kept_from,
           least(l.kept_from, (select t.tick_at
                               from kronos_internal.ticks t
                               where t.job_id = l.job_id and t.recorded_at >= l.kept_from
                               order by t.tick_at
                               limit 1)) as ledger_from
    from locked l
),
raised as (
    update kronos_internal.jobs j
    set ledger_from = greatest(j.ledger_from, f.ledger_from)
    from floors f
    where j.job_id = f.job_id
),
ticks as (
    delete from kronos_internal.ticks t
    using floors f
    where t.job_id = f.job_id and t.tick_at < f.ledger_from
    returning 1
),
dropped as (
    delete from kronos_internal.dropped_ticks d
    using floors f
    where d.job_id = f.job_id and d.recorded_at < f.kept_from
    returning 1
)
select (select count(*) from ticks) + (select count(*) from dropped) as deleted
