"""How long next_ticks takes to find one tick, of 10,000 in one call. Kronos only."""

import time

from report import KRONOS, Group, alternate
from server import connect

TICKS = 10_000
SCHEDULES = [
    ("*/5 * * * *", "UTC"),
    ("*/5 * * * *", "Europe/Berlin"),
    ("15 2 1,15 * fri", "Australia/Lord_Howe"),
]


def measure(options):
    note = f"One call of next_ticks finds {TICKS:,} ticks."
    group = Group("Calendar", "microseconds per tick", lower_is_better=True, note=note)
    if options.kronos:
        alternate(group, options.rounds, {KRONOS: find_ticks}, lambda measure: measure())
    yield group


def find_ticks():
    measured = {}
    with connect() as connection:
        for cron, timezone in SCHEDULES:
            start = time.monotonic()
            connection.execute("select count(*) from kronos.next_ticks(%s, %s, max => %s)", [cron, timezone, TICKS])
            measured[f"{cron}, {timezone}"] = 1_000_000 * (time.monotonic() - start) / TICKS
    return measured
