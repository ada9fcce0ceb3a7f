-- $1 the role
select format('alter table %s owner to %I', d.objid::regclass, $1) as change
from pg_catalog.pg_depend d
join pg_catalog.pg_extension x on d.refobjid = x.oid
join pg_catalog.pg_class c on d.objid = c.oid
where d.refclassid = 'pg_extension'::regclass
  and d.classid = 'pg_class'::regclass
  and d.deptype = 'e'
  and x.extname = 'kronos'
  and c.relkind = 'r'
union all
select format(privilege, $1)
from (values ('grant usage on schema kronos, kronos_internal, cron to %I'),
             ('grant select, update (active) on cron.job to %I'),
             ('grant select, delete on cron.job_run_details to %I'),
             ('grant pg_monitor to %I')) p (privilege)
