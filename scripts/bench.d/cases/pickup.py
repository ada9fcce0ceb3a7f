"""From sending the COMMIT of an enqueue until a worker, woken by NOTIFY, has claimed it. One Node.js process."""

import statistics

from report import Group, alternate
from systems import NODE_QUEUES


def measure(options):
    group = Group("Pickup latency", "milliseconds from COMMIT to claim", lower_is_better=True)
    samples = 100 if options.quick else 500

    def percentiles(queue):
        milliseconds = queue.pickup(samples)
        return {"p50": statistics.median(milliseconds), "p99": statistics.quantiles(milliseconds, n=100)[98]}

    alternate(group, options.rounds, NODE_QUEUES, percentiles)
    yield group
