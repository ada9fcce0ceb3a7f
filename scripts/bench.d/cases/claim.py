"""Claim and complete executions that do nothing: 1, 8 and 32 clients, batches of 1, 10 and 100.
The floor is a hand-written queue: a table with leases and priorities, claimed with SKIP LOCKED, and a history table."""

from report import Group, alternate
from systems import NODE_QUEUES, PYTHON_QUEUES, SQL_QUEUES

# The time limit of a measurement, in seconds. At the limit it counts the executions that are done.
LIMIT, QUICK_LIMIT = 30, 5

# (clients, batch): the executions of one measurement, a few seconds of work for the floor on two cores.
PGBENCH = {
    (1, 1): 5_000, (8, 1): 16_000, (32, 1): 16_000,
    (1, 10): 30_000, (8, 10): 80_000, (32, 10): 80_000,
    (1, 100): 80_000, (8, 100): 200_000, (32, 100): 200_000,
}  # fmt: skip
NODE = {(1, 1): 5_000, (8, 1): 12_000, (32, 1): 12_000, (8, 10): 60_000, (8, 100): 150_000}
PYTHON = {(8, 1): 4_000, (8, 10): 20_000, (8, 100): 40_000}

QUICK = {(8, 1), (8, 100)}
QUICK_PGBENCH = QUICK | {(1, 1), (8, 10)}
QUICK_DIVISOR = 4


def groups():
    note = "Each queue is filled first. Claim and completion are two round trips."
    yield Group("Claim and complete, pgbench", "executions per second", note=note), SQL_QUEUES, PGBENCH, QUICK_PGBENCH
    yield Group("Claim and complete, one Node.js process", "executions per second"), NODE_QUEUES, NODE, QUICK
    yield Group("Claim and complete, one Python process", "executions per second"), PYTHON_QUEUES, PYTHON, QUICK


def measure(options):
    limit = QUICK_LIMIT if options.quick else LIMIT
    for group, queues, points, quick in groups():
        for (clients, batch), amount in points.items():
            if options.quick:
                if (clients, batch) not in quick:
                    continue
                amount //= QUICK_DIVISOR
            point = f"{clients} client{'s' * (clients > 1)}, batch {batch}"
            # procrastinate has no batches.
            contenders = {name: queue for name, queue in queues.items() if batch == 1 or name != "procrastinate"}
            alternate(
                group, options.rounds, contenders, lambda queue: {point: queue.claim(clients, batch, amount, limit)}
            )
        yield group
