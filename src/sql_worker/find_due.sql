-- The roles of SQL executions that may start now: the first of each workspace, then the second, and so on. The roles $3
-- have executions in lanes that may start.
-- $1 now, $2 max, $3 roles
with recursive workspaces (workspace_id) as (
    (select e.workspace_id
     from kronos_internal.endpoints e
     where e.run_as is not null
     order by e.workspace_id
     limit 1)
    union all
    select (select e.workspace_id
            from kronos_internal.endpoints e
            where e.workspace_id > w.workspace_id and e.run_as is not null
            order by e.workspace_id
            limit 1)
    from workspaces w
    where w.workspace_id is not null
),
due as (
    select e.run_as::oid as role, x.turn
    from workspaces w
    cross join lateral (
        select q.endpoint_id, row_number() over (order by q.priority, q.run_at) as turn
        from (select x.endpoint_id, x.priority, x.run_at
              from pg_catalog.generate_series(0, 9) p (priority)
              cross join lateral (
                  select x.endpoint_id, x.priority, x.run_at
                  from kronos_internal.live_executions x
                  where x.workspace_id = w.workspace_id and x.endpoint_type = 'SQL' and x.priority = p.priority
                    and x.run_at <= $1 and x.lane = '' and x.status <> 'RUNNING'
                    and (not x.in_order
                         or not exists (select
                                        from kronos_internal.live_executions o
                                        where o.job_id = x.job_id and (o.status = 'RUNNING' or o.tick_at < x.tick_at)))
                  order by x.run_at
                  limit $2) x
              limit $2) q
    ) x
    join kronos_internal.endpoints e on e.endpoint_id = x.endpoint_id
),
first as (
    select f.role, f.turn
    from (select d.role, d.turn from due d
          union all
          select r.role, 1 from pg_catalog.unnest($3::oid[]) r (role)) f
    order by f.turn, random()
    limit $2
)
select d.role,
       case when r.oid is null then 'the role that wrote the statement does not exist any more (oid ' || d.role || ')'
            when not r.rolcanlogin and current_setting('server_version_num')::integer < 170000
            then 'role ' || quote_ident(r.rolname) || ' cannot log in; PostgreSQL before 17 starts no process as such a role'
            when not has_database_privilege(r.oid, current_database(), 'CONNECT')
            then 'role ' || quote_ident(r.rolname) || ' has no CONNECT privilege on the database'
       end as problem
from first d
left join pg_catalog.pg_roles r on r.oid = d.role
order by d.turn
