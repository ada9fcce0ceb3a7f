-- The schemas belong to the extension. A schema of the same name that exists already is an error: its owner could have
-- put functions into it.

do $$
begin
    if pg_catalog.current_setting('server_encoding') operator(pg_catalog.<>) 'UTF8' then
        raise exception 'kronos needs a database whose encoding is UTF8, not %', pg_catalog.current_setting('server_encoding')
            using errcode = 'feature_not_supported';
    end if;
end
$$;

create schema kronos;
comment on schema kronos is 'Kronos: job scheduling that commits with your data, on top of pg_cron.';

create schema kronos_internal;
comment on schema kronos_internal is
    'Private to Kronos: its tables change without notice. Read the views of schema kronos instead.';
revoke all on schema kronos_internal from public;

-- The library works only with the version of the objects for which it was built. Each upgrade script replaces the type.
create type kronos_internal."version 0.1.0" as ();
