-- The live jobs whose ends_at is past, and whose ticks before ends_at are all in the ledger.
-- In random order, so that jobs which other sessions keep locked do not keep others from their turn.
-- $1 max
select w.name as workspace, j.job_id, j.name as job_name, j.ends_at
from kronos_internal.jobs j
join kronos_internal.workspaces w using (workspace_id)
where j.status <> 'RETIRED'
  and j.ends_at <= now()
  and not exists (select
                  from kronos_internal.schedules s
                  where s.schedule_id = j.schedule_id and s.next_tick_at < j.ends_at)
  and not exists (select from kronos_internal.owed o where o.job_id = j.job_id)
order by random()
limit $1
