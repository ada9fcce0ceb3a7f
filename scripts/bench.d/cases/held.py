"""Claim and complete before and after a REPEATABLE READ transaction stays open for ten minutes, during which 1,000
executions per second are enqueued and completed. --quick leaves the case out; --minutes N changes the ten minutes."""

from pgbench import pgbench
from report import Group, alternate
from server import connect
from systems import SQL_QUEUES

CLIENTS, BATCH = 4, 10
WAITING = 200_000
SECONDS = 5
EXECUTIONS_PER_SECOND = 1_000


def measure_rate(queue):
    queue.add(WAITING)
    return queue.claim_waiting(CLIENTS, BATCH, seconds=SECONDS)


def measure_with_snapshot(queue, minutes):
    queue.reset()
    before = measure_rate(queue)
    with connect() as holder:
        holder.execute("begin isolation level repeatable read")
        holder.execute("select count(*) from pg_class")
        # The load is fixed: at full speed, a faster queue would leave more dead rows.
        script = queue.script("enqueue", BATCH) + queue.script("claim", BATCH)
        pgbench(script, CLIENTS, seconds=max(1, round(60 * minutes)), rate=EXECUTIONS_PER_SECOND // BATCH)
        after = measure_rate(queue)
        holder.execute("rollback")
    queue.reset()
    return {"before": before, f"after {minutes:g} min": after, "share that remains": after / before}


def measure(options):
    group = Group("A snapshot held open", "executions per second", note=f"{CLIENTS} clients, batch {BATCH}.")
    if not options.quick:
        alternate(group, 1, SQL_QUEUES, lambda queue: measure_with_snapshot(queue, options.minutes))
    yield group
