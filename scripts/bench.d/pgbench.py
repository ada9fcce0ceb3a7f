"""Client loops in pgbench, with prepared statements."""

import re

from server import BIN, Failed, run


def pgbench(script, clients, *, seconds=None, transactions=None, rate=None, limit=120, **variables):
    """Runs `script` for some `seconds`, or `transactions` times in each client, at a `rate` of transactions per second
    or as fast as possible. Returns the number of transactions and the seconds that they took."""
    amount = ["-T", seconds] if seconds else ["-t", transactions]
    if rate:
        amount += ["-R", rate]
    defines = [part for name, number in variables.items() for part in ("-D", f"{name}={number}")]
    output = run(
        [BIN / "pgbench", "-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), *amount, *defines, "-f", "-"],
        limit + (seconds or 0),
        script,
    )
    done = int(re.search(r"actually processed: (\d+)", output).group(1))
    rate = float(re.search(r"tps = ([\d.]+)", output).group(1))
    if done == 0 or rate == 0:
        raise Failed("pgbench ran no transaction")
    return done, done / rate
