-- The schemas belong to the extension. A schema of the same name that exists already is an error: its owner could have
-- put functions into it.

create schema kronos;
comment on schema kronos is 'Kronos: job scheduling that commits with your data, on top of pg_cron.';

create schema kronos_internal;
comment on schema kronos_internal is
    'Private to Kronos: its tables change without notice. Read the views of schema kronos instead.';
revoke all on schema kronos_internal from public;
