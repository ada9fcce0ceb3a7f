-- Whether an SQL execution runs, or may start before $1.
select
where exists (select from kronos_internal.live_executions x where x.status = 'RUNNING' and x.endpoint_type = 'SQL')
   or exists (select
              from kronos_internal.endpoints e
              cross join pg_catalog.generate_series(0, 9) p (priority)
              where e.run_as is not null
                and exists (select
                            from kronos_internal.live_executions x
                            where x.workspace_id = e.workspace_id and x.endpoint_type = 'SQL'
                              and x.priority = p.priority and x.run_at < $1 and x.lane = '' and x.status <> 'RUNNING'))
   or exists (select
              from kronos_internal.endpoints e
              where e.run_as is not null and e.paused_at is null
                and exists (select
                            from kronos_internal.live_executions x
                            where x.workspace_id = e.workspace_id and x.endpoint_type = 'SQL' and x.lane <> ''
                              and x.status <> 'RUNNING'))
