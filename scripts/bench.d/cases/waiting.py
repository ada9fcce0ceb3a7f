"""How long create_cron_job takes while tick() handles 100,000 jobs on the same schedule. Kronos only."""

import statistics
import threading
import time

import kronos_jobs
from report import KRONOS, Group, alternate
from server import Failed, connect

JOBS = 100_000
EVERY_MINUTE = "* * * * *"
# The seconds of the minute in which a measurement may start. pg_cron stays active, because each create checks the
# entries, and it ticks at the start of the minute.
START_BETWEEN = (20, 45)


class TickThread(threading.Thread):
    """Runs CALL kronos.tick() on a connection of its own."""

    def __init__(self):
        super().__init__(daemon=True)
        self.connection = connect()

    def run(self):
        with self.connection:
            self.connection.execute("call kronos.tick()")


def time_creates(while_true):
    """Calls create_cron_job as long as the condition holds, and returns the milliseconds that a call takes."""
    milliseconds = []
    with connect() as connection:
        connection.execute("set statement_timeout = '1min'")
        while while_true():
            start = time.monotonic()
            connection.execute("select job_id from kronos.create_cron_job('noop', %s)", [EVERY_MINUTE])
            milliseconds.append(1000 * (time.monotonic() - start))
    if not milliseconds:
        raise Failed("the tick ended before the first call")
    return {"median": statistics.median(milliseconds), "longest": max(milliseconds)}


def during_a_tick():
    kronos_jobs.wait_for_second(*START_BETWEEN)
    kronos_jobs.make_due()
    tick = TickThread()
    tick.start()
    measured = time_creates(tick.is_alive)
    tick.join()
    return measured


def without_a_tick():
    kronos_jobs.wait_for_second(*START_BETWEEN)
    end = time.monotonic() + 2
    return time_creates(lambda: time.monotonic() < end)


def measure(options):
    group = Group("create_cron_job while its schedule ticks", "milliseconds per call", lower_is_better=True)
    if options.kronos:
        try:
            kronos_jobs.create(1, EVERY_MINUTE)
            kronos_jobs.backdate()
            kronos_jobs.copy(JOBS - 1)
            contenders = {KRONOS: during_a_tick, "Kronos without a tick": without_a_tick}
            alternate(group, options.rounds, contenders, lambda measure: measure())
        finally:
            kronos_jobs.remove_all()
    yield group
