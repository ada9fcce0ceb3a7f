"""Create, update and cancel cron jobs among 0, 10,000 and 100,000 others, with 1 and 8 clients.
The reference is done by hand: INSERT into a table of jobs, and cron.schedule."""

import itertools

import kronos_jobs
from pgbench import pgbench
from report import KRONOS, Group, alternate
from server import run_file, settle, sql_file

TRANSACTIONS = {1: 1_000, 8: 4_000}
SIZES = [0, 10_000, 100_000]
LIMIT = 120

runs = itertools.count(1)


def chain(system, share):
    """Creates jobs, updates each, cancels each; for one client and for eight."""
    measured = {}
    for clients, amount in TRANSACTIONS.items():
        run = next(runs)
        for action in ("create", "update", "cancel"):
            script = sql_file(f"{system}/{action}_job", run=run)
            transactions = amount // share // clients
            done, seconds = pgbench(script, clients, transactions=transactions, limit=LIMIT, i=0)
            measured[f"{action}, {clients} client{'s' * (clients > 1)}"] = done / seconds
    return measured


def measure(options):
    share = 4 if options.quick else 1

    def by_hand(others):
        # Its entries exist only while it is measured: pg_cron would be busy reading them during the other measurements.
        run_file("by_hand/fill", jobs=others)
        settle()
        try:
            return chain("by_hand", share)
        finally:
            run_file("by_hand/reset")
            settle()

    groups = []
    created = 0
    try:
        for others in SIZES[:2] if options.quick else SIZES:
            title = f"Cron jobs among {others:,} others"
            groups.append(Group(title, "transactions per second", note="They share one schedule, which is never due."))
            contenders = {"by hand": lambda: by_hand(others)}
            if options.kronos:
                kronos_jobs.create(others - created, "0 0 1 1 *")
                created = others
                settle()
                contenders = {KRONOS: lambda: chain("kronos", share)} | contenders
            alternate(groups[-1], options.rounds, contenders, lambda measure: measure())
    finally:
        if options.kronos:
            kronos_jobs.remove_all()
    return [*groups, growth(groups)] if options.kronos else groups


def growth(groups):
    """Kronos's own rates again, with the emptiest server as its reference."""
    first, last = groups[0], groups[-1]
    group = Group("Cost of a cron job as jobs accumulate", "transactions per second", note="Kronos alone.")
    for name, source in ((KRONOS, last), (f"Kronos, {first.title[10:]}", first)):
        for point, row in source.values.items():
            for number in row.get(KRONOS, []):
                group.add(name, {point: number})
    return group
