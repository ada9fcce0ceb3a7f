"""A crowded minute: 1,000 to 1,000,000 jobs on one schedule, and 10,000 schedules of 10 jobs; its memory, too.
References: bare INSERT … SELECT of the same rows into tables of the same structure; as many rows for the floor."""

import time

import kronos_jobs
from memory import PeakMemory
from report import KRONOS, Group, alternate
from server import Failed, connect, rows, run_file

JOBS = [1_000, 10_000, 100_000, 1_000_000]
SCHEDULES, JOBS_EACH = 10_000, 10
EVERY_MINUTE = "* * * * *"
TABLES = ["ticks", "live_executions"]


def tick(expected, memory, point):
    """Times CALL kronos.tick() for jobs that are due at once."""
    rows("checkpoint")
    kronos_jobs.wait_for_second(0, 55)
    kronos_jobs.make_due()
    with connect() as connection:
        with PeakMemory(connection.info.backend_pid) as peak:
            begun = time.monotonic()
            connection.execute("call kronos.tick()")
            seconds = time.monotonic() - begun
    if (written := kronos_jobs.executions()) != expected:
        raise Failed(f"a tick of {expected} jobs has written {written} executions")
    memory.add(KRONOS, {point: peak.megabytes})
    return seconds


def prepare_references():
    """Keeps the rows that the last tick has written, and makes empty tables for them, with the same indexes."""
    for table in TABLES:
        rows(f"drop table if exists kept_{table}, bare_{table}")
        rows(f"create table kept_{table} as select * from kronos_internal.{table}")
        rows(f"create table bare_{table} (like kronos_internal.{table} including all)")


def bare_insert():
    with connect() as connection:
        columns = {table: kronos_jobs.insertable(connection, table).as_string(connection) for table in TABLES}
        for table in TABLES:
            connection.execute(f"truncate bare_{table}")
        connection.execute("checkpoint")
        begun = time.monotonic()
        with connection.transaction():
            for table, names in columns.items():
                connection.execute(f"insert into bare_{table} ({names}) select {names} from kept_{table}")
        return time.monotonic() - begun


def floor_insert(amount):
    run_file("floor/reset")
    rows("checkpoint")
    begun = time.monotonic()
    run_file("floor/enqueue_many", batch=amount)
    return time.monotonic() - begun


def crowd(point, amount, time_group, memory, options):
    contenders = {}
    if options.kronos:
        # The first tick is not measured: it writes the rows that the references insert.
        tick(amount, Group("", ""), point)
        prepare_references()
        contenders[KRONOS] = lambda: tick(amount, memory, point)
        contenders["bare INSERT of the same rows"] = bare_insert
    contenders["INSERT for the floor"] = lambda: floor_insert(amount)
    alternate(time_group, options.rounds, contenders, lambda seconds: {point: seconds()})


def with_kronos(time_group, memory, options):
    # pg_cron's own wake-ups would take the ticks that are to be measured.
    kronos_jobs.create(1, EVERY_MINUTE)
    kronos_jobs.set_pg_cron_active(False)
    kronos_jobs.backdate()
    created = 1
    for amount in sizes(options):
        kronos_jobs.copy(amount - created)
        created = amount
        rows("vacuum (analyze) kronos_internal.jobs")
        crowd(f"{amount:,} jobs", amount, time_group, memory, options)
    kronos_jobs.remove_all()
    if not options.quick:
        kronos_jobs.set_pg_cron_active(True)
        kronos_jobs.create_on_schedules(SCHEDULES, JOBS_EACH)
        kronos_jobs.set_pg_cron_active(False)
        kronos_jobs.backdate()
        crowd(f"{SCHEDULES:,} schedules × {JOBS_EACH}", SCHEDULES * JOBS_EACH, time_group, memory, options)


def sizes(options):
    return JOBS[:3] if options.quick else JOBS


def measure(options):
    time_group = Group("A crowded minute", "seconds", lower_is_better=True, note="Kronos: CALL kronos.tick().")
    memory = Group("Memory of a crowded minute", "MB of RssAnon of the ticking backend, peak less before", True)
    if options.kronos:
        try:
            with_kronos(time_group, memory, options)
        finally:
            kronos_jobs.remove_all()
            kronos_jobs.set_pg_cron_active(True)
    else:
        for amount in sizes(options):
            crowd(f"{amount:,} jobs", amount, time_group, memory, options)
    return [time_group, memory]
