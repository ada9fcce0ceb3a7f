"""Bytes of WAL in the life of an execution that succeeds at once: enqueue, claim, complete.
Full-page images are left out."""

from pgbench import pgbench
from report import Group, alternate
from server import rows, value
from systems import SQL_QUEUES

LIVES = 3_000


def lives(queue, batch):
    queue.reset()
    before = value("select pg_current_wal_insert_lsn()")
    pgbench(queue.script("enqueue", batch) + queue.script("claim", batch), 1, transactions=LIVES // batch)
    written = value("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s::pg_lsn)", before)
    return {f"batch {batch}": float(written) / value(queue.finished)}


def measure(options):
    group = Group("WAL of an execution's life", "bytes", lower_is_better=True, note="One client.")
    set_quiet(True)
    try:
        for batch in (1, 100):
            alternate(group, options.rounds, SQL_QUEUES, lambda queue: lives(queue, batch))
    finally:
        set_quiet(False)
    yield group


def set_quiet(quiet):
    """Turns off full-page images, whose bytes depend on checkpoints; autovacuum, which writes WAL of its own; and
    synchronous_commit, which does not change what is written."""
    for setting in ("full_page_writes", "autovacuum", "synchronous_commit"):
        rows(f"alter system {f'set {setting} = off' if quiet else f'reset {setting}'}")
    rows("select pg_reload_conf()")
