"""How long create_cron_job waits on a schedule of which 100,000 jobs are being materialised. Kronos alone."""

import statistics
import threading
import time

import kronos_jobs
from report import KRONOS, Group, alternate
from server import Failed, connect

JOBS = 100_000
EVERY_MINUTE = "* * * * *"
# Entries stay active, since each create checks them: measurements keep away from the beginning of the minute, when
# pg_cron ticks by itself.
BETWEEN = (20, 45)


class Tick(threading.Thread):
    """CALL kronos.tick() on a connection of its own."""

    def __init__(self):
        super().__init__(daemon=True)
        self.connection = connect()

    def run(self):
        with self.connection:
            self.connection.execute("call kronos.tick()")


def creates(while_true):
    """The milliseconds that each of successive calls takes, as long as the condition holds."""
    milliseconds = []
    with connect() as connection:
        connection.execute("set statement_timeout = '1min'")
        while while_true():
            begun = time.monotonic()
            connection.execute("select job_id from kronos.create_cron_job('noop', %s)", [EVERY_MINUTE])
            milliseconds.append(1000 * (time.monotonic() - begun))
    if not milliseconds:
        raise Failed("the tick was over before the first call")
    return {"median": statistics.median(milliseconds), "longest": max(milliseconds)}


def during_a_tick():
    kronos_jobs.wait_for_second(*BETWEEN)
    kronos_jobs.make_due()
    tick = Tick()
    tick.start()
    measured = creates(tick.is_alive)
    tick.join()
    return measured


def without_a_tick():
    kronos_jobs.wait_for_second(*BETWEEN)
    end = time.monotonic() + 2
    return creates(lambda: time.monotonic() < end)


def measure(options):
    group = Group("create_cron_job while its schedule ticks", "milliseconds a call", lower_is_better=True)
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
