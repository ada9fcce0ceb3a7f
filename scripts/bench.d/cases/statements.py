"""SQL that the server runs: how soon a statement starts, how many run a second, and a tick of 1,000 jobs.

pg_cron runs each entry in a background worker of its own here, as cron.use_background_workers = on makes it do: entries
of every minute with a trivial statement, all due at once."""

import subprocess
import time

from report import KRONOS, Group
from server import BIN, HOST, connect, rows, run_file, value

STATEMENTS = 5_000
JOBS = 1_000
ENTRIES = 400


def restart(**settings):
    """Restarts the server with other settings."""
    with connect() as connection:
        connection.execute("load 'kronos'")
        for name, setting in settings.items():
            connection.execute(f"alter system set {name} = '{setting}'")
        data = connection.execute("show data_directory").fetchone()[0]
    command = [BIN / "pg_ctl", "-D", data, "-s", "-w", "restart", "-l", f"{HOST}/log"]
    subprocess.run(["sudo", "-u", "postgres", *command], check=True)


def wait_until(statement, limit=120):
    until = time.monotonic() + limit
    while not value(statement):
        if time.monotonic() > until:
            raise TimeoutError(statement)
        time.sleep(0.005)


IS_DONE = "select not exists (select from kronos_internal.live_executions where endpoint_type = 'SQL')"


def start_latency(count, prepare):
    """The median time from enqueue() to the statement, which reads the clock, in milliseconds."""
    rows("truncate ledger")
    enqueue = "select kronos.enqueue('clock', jsonb_build_object('at', extract(epoch from clock_timestamp())))"
    with connect() as connection:
        connection.execute(enqueue)
        for _ in range(count):
            prepare()
            connection.execute(enqueue)
    wait_until(IS_DONE)
    return value(
        """select percentile_cont(0.5) within group (order by 1000 * (extract(epoch from at) - (input ->> 'at')::numeric))
           from (select * from ledger order by at offset 1) l"""
    )


def end_processes():
    """Ends the dispatcher, and with it the workers, once they have nothing to do."""
    wait_until(IS_DONE)
    wait_until(
        """select count(pg_terminate_backend(pid)) filter (where backend_type = 'kronos sql dispatcher') = 0 and count(*) = 0
           from pg_stat_activity where backend_type like 'kronos sql%'"""
    )


def throughput():
    run_file("kronos/reset")
    rows("select kronos.create_endpoint('trivial', 'SQL', '{\"statement\": \"select 1\"}', if_not_exists => true)")
    with connect() as connection:
        connection.execute("load 'kronos'")
        connection.execute("alter system set kronos.enabled = off")
        connection.execute("select pg_reload_conf()")
        connection.execute(
            """select count(*) from kronos.enqueue_many((
                   select jsonb_agg(jsonb_build_object('endpoint', 'trivial')) from generate_series(1, %s)))""",
            [STATEMENTS],
        )
        connection.execute("alter system reset kronos.enabled")
        connection.execute("select pg_reload_conf()")
    rows("select kronos.enqueue('trivial')")
    wait_until(IS_DONE)
    return value(
        """select count(*) / extract(epoch from max(finished_at) - min(started_at))
           from kronos.execution_details where endpoint = 'trivial'"""
    )


def tick_of_jobs():
    """How long a tick of 1,000 jobs takes, from the wake-up until its last execution is done, in seconds."""
    run_file("kronos/reset")
    rows(
        """select count(*) from kronos.create_cron_jobs((
               select jsonb_agg(jsonb_build_object('endpoint', 'trivial', 'cron', '* * * * *')) from generate_series(1, %s)))""",
        JOBS,
    )
    run_file("kronos/backdate")
    run_file("kronos/make_due")
    with connect() as connection:
        started_at = connection.execute("select clock_timestamp()").fetchone()[0]
        connection.execute("call kronos.tick()")
    wait_until(f"select count(*) = {JOBS} from kronos_internal.history where origin = 'TICK'")
    seconds = value("select extract(epoch from max(finished_at) - %s) from kronos_internal.history", started_at)
    run_file("kronos/remove_jobs")
    return seconds


def pg_cron_throughput():
    """Runs a second of pg_cron's own background workers, from its own record."""
    rows("select count(cron.schedule('bench ' || n, '* * * * *', 'select 1')) from generate_series(1, %s) n", ENTRIES)
    rows("delete from cron.job_run_details")
    done = f"select count(*) >= {ENTRIES} from cron.job_run_details where status = 'succeeded' and command = 'select 1'"
    wait_until(done, 180)
    rate = value(
        """select count(*) / extract(epoch from max(end_time) - min(start_time))
           from (select * from cron.job_run_details where status = 'succeeded' and command = 'select 1'
                 order by start_time limit %s) r""",
        ENTRIES,
    )
    rows("select cron.unschedule(jobid) from cron.job where starts_with(jobname, 'bench ')")
    return rate


def measure(options):
    started = Group("A statement starts after the commit that enqueued it", "milliseconds, median", lower_is_better=True)
    rate = Group("Trivial statements that the server runs", "a second", note="Two SQL workers; up to five runs at once in pg_cron, its default.")
    tick = Group(f"A tick of {JOBS:,} SQL jobs is done", "seconds after the wake-up, four SQL workers", lower_is_better=True)
    for _ in range(options.rounds):
        if options.kronos:
            run_file("kronos/reset")
            rows("create table if not exists ledger (at timestamptz, input jsonb)")
            rows(
                """select kronos.create_endpoint('clock', 'SQL',
                       '{"statement": "insert into ledger values (clock_timestamp(), $1)"}', if_not_exists => true)"""
            )
            started.add(KRONOS, {"a worker waits": start_latency(200, lambda: time.sleep(0.02))})
            started.add(KRONOS, {"no process runs": start_latency(20, end_processes)})
            rate.add(KRONOS, {"": throughput()})
        restart(**{"cron.use_background_workers": "on", "max_worker_processes": "16", "cron.max_running_jobs": "5"})
        rate.add("pg_cron", {"": pg_cron_throughput()})
        restart(**{"cron.use_background_workers": "off", "kronos.max_sql_workers": "4"})
        if options.kronos:
            tick.add(KRONOS, {"": tick_of_jobs()})
        restart(**{"kronos.max_sql_workers": "2"})
    yield started
    yield rate
    yield tick
