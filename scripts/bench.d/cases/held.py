"""The rate of claim and complete before and after a REPEATABLE READ transaction is held open for ten minutes,
in which 1,000 executions a second come and go. Left out with --quick; --minutes N holds it for another time."""

from pgbench import pgbench
from report import Group, alternate
from server import connect
from systems import SQL_QUEUES

CLIENTS, BATCH = 4, 10
WAITING = 200_000
SECONDS = 5
LIVES_A_SECOND = 1_000


def rate(queue):
    queue.add(WAITING)
    return queue.claim_waiting(CLIENTS, BATCH, seconds=SECONDS)


def held_open(queue, minutes):
    queue.reset()
    before = rate(queue)
    with connect() as holder:
        holder.execute("begin isolation level repeatable read")
        holder.execute("select count(*) from pg_class")
        # A fixed load: at full speed a faster queue would leave more dead rows.
        script = queue.script("enqueue", BATCH) + queue.script("claim", BATCH)
        pgbench(script, CLIENTS, seconds=max(1, round(60 * minutes)), rate=LIVES_A_SECOND // BATCH)
        after = rate(queue)
        holder.execute("rollback")
    queue.reset()
    return {"before": before, f"after {minutes:g} min": after, "part that remains": after / before}


def measure(options):
    group = Group("A snapshot held open", "executions per second", note=f"{CLIENTS} clients, batch {BATCH}.")
    if not options.quick:
        alternate(group, 1, SQL_QUEUES, lambda queue: held_open(queue, options.minutes))
    yield group
