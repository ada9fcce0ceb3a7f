"""Enqueue one by one and in batches of 100, with 1 and 8 clients, with and without NOTIFY. Reference: bare INSERT."""

from report import KRONOS, Group, alternate
from server import rows
from systems import NODE_QUEUES, SQL_QUEUES, graphile

POINTS = [(1, 1), (8, 1), (1, 100), (8, 100)]


def measure(options):
    kronos = {KRONOS: SQL_QUEUES[KRONOS]} if options.kronos else {}
    bare_insert = {"bare INSERT": SQL_QUEUES["floor"]}
    unit = "executions per second"

    group = Group("Enqueue with NOTIFY, pgbench", unit, note="The bare INSERT sends no NOTIFY.")
    enqueue(group, kronos | bare_insert | {"graphile-worker": graphile}, options)
    yield group

    rows("alter database postgres set kronos.notify_workers = off")
    group = Group("Enqueue without NOTIFY, pgbench", unit, note="kronos.notify_workers is off.")
    try:
        enqueue(group, kronos | bare_insert | {"pgmq": SQL_QUEUES["pgmq"]}, options)
    finally:
        rows("alter database postgres reset kronos.notify_workers")
    yield group

    group = Group("Enqueue with NOTIFY, one Node.js process", unit)
    enqueue(group, {name: queue for name, queue in NODE_QUEUES.items() if name != "floor"}, options)
    yield group


def enqueue(group, queues, options):
    seconds = 1 if options.quick else 5
    for clients, batch in POINTS[::3] if options.quick else POINTS:
        point = f"{clients} client{'s' * (clients > 1)}, batch {batch}"
        alternate(group, options.rounds, queues, lambda queue: {point: queue.enqueue(clients, batch, seconds)})
