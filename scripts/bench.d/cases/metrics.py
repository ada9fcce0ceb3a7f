"""How long metrics() takes with 1,000,000 unfinished executions, in 1, 60 and 1,000 queues. Kronos only."""

import time

from report import KRONOS, Group, alternate
from server import connect, rows, run_file

EXECUTIONS = 1_000_000
QUEUES = [1, 60, 1_000]


def fill(queues):
    """Spreads the executions over queues: endpoint types of one workspace."""
    run_file("kronos/reset")
    rows("select count(*) from generate_series(1, %s) n, kronos.create_endpoint('e' || n, 'T' || n, if_not_exists => true)", queues)
    rows(
        """insert into kronos_internal.live_executions
               (workspace_id, endpoint_id, run_at, priority, origin, status, endpoint_type, input, metadata)
           select e.workspace_id, e.endpoint_id, now() - interval '1 hour' + n * interval '1 microsecond', 5, 'ENQUEUE',
                  'QUEUED', e.endpoint_type, '{}', '{}'
           from generate_series(1, %s) n
           join kronos_internal.endpoints e on e.name = 'e' || 1 + n %% %s""",
        EXECUTIONS,
        queues,
    )
    rows("analyze kronos_internal.live_executions")


def time_metrics(queues):
    with connect() as connection:
        connection.execute("select count(*) from kronos.metrics()")
        start = time.monotonic()
        connection.execute("select count(*) from kronos.metrics()")
        return {f"{queues:,} queues" if queues > 1 else "1 queue": 1000 * (time.monotonic() - start)}


def measure(options):
    note = f"{EXECUTIONS:,} executions wait. VACUUM has not run."
    group = Group("metrics()", "milliseconds per call", lower_is_better=True, note=note)
    if options.kronos:
        for queues in QUEUES:
            fill(queues)
            alternate(group, options.rounds, {KRONOS: time_metrics}, lambda measure: measure(queues))
        run_file("kronos/reset")
    yield group
