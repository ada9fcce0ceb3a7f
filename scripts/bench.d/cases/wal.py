"""Bytes of WAL that an execution costs from enqueue to completion, if its first attempt succeeds.
Full-page images are left out."""

from pgbench import pgbench
from report import Group, alternate
from server import rows, value
from systems import SQL_QUEUES

EXECUTIONS = 3_000


def wal_per_execution(queue, batch):
    queue.reset()
    before = value("select pg_current_wal_insert_lsn()")
    pgbench(queue.script("enqueue", batch) + queue.script("claim", batch), 1, transactions=EXECUTIONS // batch)
    written = value("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s::pg_lsn)", before)
    return {f"batch {batch}": float(written) / value(queue.count_finished)}


def measure(options):
    group = Group("WAL of one execution", "bytes", lower_is_better=True, note="One client.")
    set_minimal_wal(True)
    try:
        for batch in (1, 100):
            alternate(group, options.rounds, SQL_QUEUES, lambda queue: wal_per_execution(queue, batch))
    finally:
        set_minimal_wal(False)
    yield group


def set_minimal_wal(minimal):
    """Turns off full-page images, whose size depends on checkpoints, and autovacuum, which writes WAL of its own. Also
    turns off synchronous_commit, which does not affect the amount of WAL."""
    for setting in ("full_page_writes", "autovacuum", "synchronous_commit"):
        rows(f"alter system {f'set {setting} = off' if minimal else f'reset {setting}'}")
    rows("select pg_reload_conf()")
