"""Creates many cron jobs in Kronos, and makes a tick of each due."""

import time

from psycopg import sql
from server import connect, rows, run_file, value

JOBS_PER_CALL = 1000


def create(amount, cron):
    """Creates jobs on one schedule with create_cron_jobs, in chunks."""
    for left in range(amount, 0, -JOBS_PER_CALL):
        rows(
            """select count(*) from kronos.create_cron_jobs((
                   select jsonb_agg(jsonb_build_object('endpoint', 'noop', 'cron', %s::text))
                   from generate_series(1, %s)))""",
            cron,
            min(left, JOBS_PER_CALL),
        )


def copy(amount):
    """Copies an existing job many times. Creating a million jobs with create_cron_jobs would take longer than the
    measurement."""
    with connect() as connection:
        columns = insertable_columns(connection, "jobs", "job_id", "name")
        statement = sql.SQL(
            """insert into kronos_internal.jobs (job_id, name, {columns})
               select gen_random_uuid(), 'copy-' || gen_random_uuid(), {columns}
               from (select * from kronos_internal.jobs limit 1) original, generate_series(1, %s)"""
        ).format(columns=columns)
        # This skips the checks of foreign keys.
        connection.execute("set session_replication_role = replica")
        connection.execute(statement, [amount])


def insertable_columns(connection, table, *excluded):
    """Returns the columns of a private table that an INSERT may name, as SQL."""
    found = connection.execute(
        """select column_name from information_schema.columns
           where table_schema = 'kronos_internal' and table_name = %s and is_generated = 'NEVER'
           and not column_name = any (%s)""",
        [table, list(excluded)],
    )
    return sql.SQL(", ").join(sql.Identifier(name) for (name,) in found)


def create_on_schedules(schedules, jobs_each):
    """Creates jobs on many schedules, which tick at every minute of today and tomorrow."""
    run_file("kronos/schedules", schedules=schedules)
    schedules_per_call = JOBS_PER_CALL // jobs_each
    for first in range(1, schedules, schedules_per_call):
        rows(
            """select count(*) from kronos.create_cron_jobs((
                   select jsonb_agg(jsonb_build_object('endpoint', 'noop', 'cron', cron))
                   from schedules, generate_series(1, %s) where place between %s and %s))""",
            jobs_each,
            first,
            first + schedules_per_call - 1,
        )
    rows("drop table schedules")


def backdate():
    """Moves the creation of all jobs back by a day, so that they can have ticks in the past."""
    run_file("kronos/backdate")
    rows("vacuum (analyze) kronos_internal.jobs")


def remove_all():
    run_file("kronos/remove_jobs")


def set_pg_cron_active(active):
    """Switches the pg_cron entries on or off, so that they do not tick during a measurement."""
    rows("update cron.job set active = %s", active)


def wait_for_second(earliest, latest):
    """Waits until the second of the minute is in a range."""
    second = value("select extract(second from clock_timestamp())::float")
    if second < earliest:
        time.sleep(earliest - second)
    elif second > latest:
        time.sleep(60 - second + earliest)


def make_due():
    run_file("kronos/make_due")


def count_executions():
    return value("select count(*) from kronos_internal.live_executions")
