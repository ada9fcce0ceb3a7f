-- Detaches the objects of the extension from it, since pg_dump leaves out the objects of an extension.
delete from pg_init_privs p using pg_depend d, pg_extension e
where e.extname = 'kronos' and d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
  and (d.classid, d.objid) = (p.classoid, p.objoid);
delete from pg_depend d using pg_extension e
where e.extname = 'kronos' and ((d.refclassid, d.refobjid) = ('pg_extension'::regclass, e.oid)
                                or (d.classid, d.objid) = ('pg_extension'::regclass, e.oid));
delete from pg_extension where extname = 'kronos';
