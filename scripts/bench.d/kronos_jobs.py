"""Creates many cron jobs of Kronos, and makes a tick of each due."""

import time

from psycopg import sql
from server import connect, rows, run_file, value

CREATE_AT_ONCE = 1000


def create(amount, cron):
    """Creates jobs on one schedule by the interface, in chunks."""
    for left in range(amount, 0, -CREATE_AT_ONCE):
        rows(
            """select count(*) from kronos.create_cron_jobs((
                   select jsonb_agg(jsonb_build_object('endpoint', 'noop', 'cron', %s::text))
                   from generate_series(1, %s)))""",
            cron,
            min(left, CREATE_AT_ONCE),
        )


def copy(amount):
    """Adds jobs as copies of one that exists: creating a million through the interface would take longer than the measurement."""
    with connect() as connection:
        columns = insertable(connection, "jobs", "job_id", "name")
        statement = sql.SQL(
            """insert into kronos_internal.jobs (job_id, name, {columns})
               select gen_random_uuid(), 'copy-' || gen_random_uuid(), {columns}
               from (select * from kronos_internal.jobs limit 1) original, generate_series(1, %s)"""
        ).format(columns=columns)
        # Skips foreign key checks.
        connection.execute("set session_replication_role = replica")
        connection.execute(statement, [amount])


def insertable(connection, table, *without):
    """The columns of a private table that an INSERT may name, as SQL."""
    found = connection.execute(
        """select column_name from information_schema.columns
           where table_schema = 'kronos_internal' and table_name = %s and is_generated = 'NEVER'
           and not column_name = any (%s)""",
        [table, list(without)],
    )
    return sql.SQL(", ").join(sql.Identifier(name) for (name,) in found)


def create_on_schedules(schedules, jobs_each):
    """Creates jobs on so many schedules that tick at every minute of today and tomorrow."""
    run_file("kronos/schedules", schedules=schedules)
    at_once = CREATE_AT_ONCE // jobs_each
    for first in range(1, schedules, at_once):
        rows(
            """select count(*) from kronos.create_cron_jobs((
                   select jsonb_agg(jsonb_build_object('endpoint', 'noop', 'cron', cron))
                   from schedules, generate_series(1, %s) where place between %s and %s))""",
            jobs_each,
            first,
            first + at_once - 1,
        )
    rows("drop table schedules")


def backdate():
    run_file("kronos/backdate")
    rows("vacuum (analyze) kronos_internal.jobs")


def remove_all():
    run_file("kronos/remove_jobs")


def set_pg_cron_active(active):
    """Deactivated, its entries cannot tick beside what is measured."""
    rows("update cron.job set active = %s", active)


def wait_for_second(earliest, latest):
    """Waits until the second of the minute lies in a range."""
    second = value("select extract(second from clock_timestamp())::float")
    if second < earliest:
        time.sleep(earliest - second)
    elif second > latest:
        time.sleep(60 - second + earliest)


def make_due():
    run_file("kronos/make_due")


def executions():
    return value("select count(*) from kronos_internal.live_executions")
