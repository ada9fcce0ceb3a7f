"""Time and memory of a tick of 1,000 to 1,000,000 jobs on one schedule, and of 10 jobs on each of 10,000 schedules.
References: INSERT of the same rows into bare tables of the same structure; INSERT of as many rows for the floor."""

import time

import kronos_jobs
from memory import PeakMemory
from report import KRONOS, Group, alternate
from server import Failed, connect, rows, run_file

JOBS = [1_000, 10_000, 100_000, 1_000_000]
SCHEDULES, JOBS_EACH = 10_000, 10
EVERY_MINUTE = "* * * * *"
TABLES = ["ticks", "live_executions"]


def time_tick(expected, memory, point):
    """Times CALL kronos.tick() for jobs that are all due."""
    rows("checkpoint")
    kronos_jobs.wait_for_second(0, 55)
    kronos_jobs.make_due()
    with connect() as connection:
        with PeakMemory(connection.info.backend_pid) as peak:
            start = time.monotonic()
            connection.execute("call kronos.tick()")
            seconds = time.monotonic() - start
    if (written := kronos_jobs.count_executions()) != expected:
        raise Failed(f"a tick of {expected} jobs wrote {written} executions")
    memory.add(KRONOS, {point: peak.megabytes})
    return seconds


def prepare_references():
    """Copies the rows that the last tick wrote, and creates empty tables with the same indexes to insert them into."""
    for table in TABLES:
        rows(f"drop table if exists kept_{table}, bare_{table}")
        rows(f"create table kept_{table} as select * from kronos_internal.{table}")
        rows(f"create table bare_{table} (like kronos_internal.{table} including all)")


def time_bare_insert():
    with connect() as connection:
        columns = {table: kronos_jobs.insertable_columns(connection, table).as_string(connection) for table in TABLES}
        for table in TABLES:
            connection.execute(f"truncate bare_{table}")
        connection.execute("checkpoint")
        start = time.monotonic()
        with connection.transaction():
            for table, names in columns.items():
                connection.execute(f"insert into bare_{table} ({names}) select {names} from kept_{table}")
        return time.monotonic() - start


def time_floor_insert(amount):
    run_file("floor/reset")
    rows("checkpoint")
    start = time.monotonic()
    run_file("floor/enqueue_many", batch=amount)
    return time.monotonic() - start


def compare(point, amount, time_group, memory, options):
    contenders = {}
    if options.kronos:
        # The first tick is not measured. It writes the rows that the references insert.
        time_tick(amount, Group("", ""), point)
        prepare_references()
        contenders[KRONOS] = lambda: time_tick(amount, memory, point)
        contenders["bare INSERT of the same rows"] = time_bare_insert
    contenders["INSERT for the floor"] = lambda: time_floor_insert(amount)
    alternate(time_group, options.rounds, contenders, lambda seconds: {point: seconds()})


def compare_with_kronos(time_group, memory, options):
    # Without pg_cron, whose own wake-ups would handle the ticks before they are measured.
    kronos_jobs.create(1, EVERY_MINUTE)
    kronos_jobs.set_pg_cron_active(False)
    kronos_jobs.backdate()
    created = 1
    for amount in sizes(options):
        kronos_jobs.copy(amount - created)
        created = amount
        rows("vacuum (analyze) kronos_internal.jobs")
        compare(f"{amount:,} jobs", amount, time_group, memory, options)
    kronos_jobs.remove_all()
    if not options.quick:
        kronos_jobs.set_pg_cron_active(True)
        kronos_jobs.create_on_schedules(SCHEDULES, JOBS_EACH)
        kronos_jobs.set_pg_cron_active(False)
        kronos_jobs.backdate()
        compare(f"{SCHEDULES:,} schedules × {JOBS_EACH}", SCHEDULES * JOBS_EACH, time_group, memory, options)


def sizes(options):
    return JOBS[:3] if options.quick else JOBS


def measure(options):
    time_group = Group("A tick of many jobs", "seconds", lower_is_better=True, note="Kronos runs CALL kronos.tick().")
    memory = Group("Memory of a tick of many jobs", "MB by which RssAnon of the backend grows at its peak", True)
    if options.kronos:
        try:
            compare_with_kronos(time_group, memory, options)
        finally:
            kronos_jobs.remove_all()
            kronos_jobs.set_pg_cron_active(True)
    else:
        for amount in sizes(options):
            compare(f"{amount:,} jobs", amount, time_group, memory, options)
    return [time_group, memory]
