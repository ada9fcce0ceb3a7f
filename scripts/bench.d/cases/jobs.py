"""Create, update and cancel cron jobs among 0, 10,000 and 100,000 others, with 1 and 8 clients.
Reference: the same by hand, with a table of jobs and cron.schedule in one transaction."""

import itertools

import kronos_jobs
from pgbench import pgbench
from report import KRONOS, Group, alternate
from server import run_file, settle, sql_file

TRANSACTIONS = {1: 1_000, 8: 4_000}
SIZES = [0, 10_000, 100_000]
LIMIT = 120

runs = itertools.count(1)


def measure_actions(system, divisor):
    """Creates jobs, updates each, and cancels each, with one client and with eight."""
    measured = {}
    for clients, amount in TRANSACTIONS.items():
        run = next(runs)
        for action in ("create", "update", "cancel"):
            script = sql_file(f"{system}/{action}_job", run=run)
            transactions = amount // divisor // clients
            done, seconds = pgbench(script, clients, transactions=transactions, limit=LIMIT, i=0)
            measured[f"{action}, {clients} client{'s' * (clients > 1)}"] = done / seconds
    return measured


def measure(options):
    divisor = 4 if options.quick else 1

    def by_hand(others):
        # The entries exist only during this measurement, because pg_cron spends time reading them.
        run_file("by_hand/fill", jobs=others)
        settle()
        try:
            return measure_actions("by_hand", divisor)
        finally:
            run_file("by_hand/reset")
            settle()

    groups = []
    created = 0
    try:
        for others in SIZES[:2] if options.quick else SIZES:
            title = f"Cron jobs among {others:,} others"
            note = "All jobs share one schedule, which is never due."
            groups.append(Group(title, "transactions per second", note=note))
            contenders = {"by hand": lambda: by_hand(others)}
            if options.kronos:
                kronos_jobs.create(others - created, "0 0 1 1 *")
                created = others
                settle()
                contenders = {KRONOS: lambda: measure_actions("kronos", divisor)} | contenders
            alternate(groups[-1], options.rounds, contenders, lambda measure: measure())
    finally:
        if options.kronos:
            kronos_jobs.remove_all()
    return [*groups, growth(groups)] if options.kronos else groups


def growth(groups):
    """Compares Kronos with itself: with the most other jobs, and with none."""
    first, last = groups[0], groups[-1]
    group = Group("Cost of a cron job as jobs accumulate", "transactions per second", note="Kronos only.")
    for name, source in ((KRONOS, last), (f"Kronos, {first.title[10:]}", first)):
        for point, row in source.values.items():
            for number in row.get(KRONOS, []):
                group.add(name, {point: number})
    return group
