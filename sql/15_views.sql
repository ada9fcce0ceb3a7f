-- What people read: tables with what belongs to them.

create view kronos.job_details as
select j.*,
       case when s.schedule_id is not null
            then (select t
                  from kronos.next_ticks(j.cron, j.timezone, greatest(s.next_tick_at - interval '1 microsecond',
                                                                      j.starts_at - interval '1 microsecond',
                                                                      j.active_since), 1) t
                  where t < coalesce(j.ends_at, 'infinity'))
       end as next_tick_at,
       (select max(x.tick_at)
        from kronos.executions x
        where x.lineage_id = j.lineage_id
          and x.tick_at > j.created_at
          and x.tick_at <= coalesce(j.retired_at, 'infinity')) as last_tick_at,
       (select count(*)
        from kronos.executions x
        where x.lineage_id = j.lineage_id
          and x.status = 'SKIPPED'
          and x.tick_at > now() - interval '1 day') as skipped_last_day
from kronos.jobs j left join kronos.schedules s using (schedule_id);
comment on view kronos.job_details is 'Every version of every job, with the ticks around now.';
comment on column kronos.job_details.next_tick_at is
    'The first tick of a live job that has not been handled yet; null if it has none to come, or is not live.';
comment on column kronos.job_details.last_tick_at is 'The last tick that has an execution, of those of this version.';
comment on column kronos.job_details.skipped_last_day is
    'How many ticks of the last 24 hours the job (in all its versions) has skipped by its overlap_policy.';
