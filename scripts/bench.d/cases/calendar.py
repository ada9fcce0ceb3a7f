"""What finding one tick takes, of 10,000 in one call of next_ticks. Kronos alone."""

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
    group = Group("The calendar", "microseconds a tick", lower_is_better=True)
    if options.kronos:
        alternate(group, options.rounds, {KRONOS: find_ticks}, lambda measure: measure())
    yield group


def find_ticks():
    measured = {}
    with connect() as connection:
        for cron, timezone in SCHEDULES:
            begun = time.monotonic()
            connection.execute("select count(*) from kronos.next_ticks(%s, %s, max => %s)", [cron, timezone, TICKS])
            measured[f"{cron}, {timezone}"] = 1_000_000 * (time.monotonic() - begun) / TICKS
    return measured
