"""How long requests to the service of examples/http-api take beside the same calls over SQL, at the same concurrency."""

import contextlib
import csv
import glob
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from report import KRONOS, Group
from server import BIN, ENVIRONMENT, HERE, HOST, Failed, rows, run, run_file, settle, value

ROOT = HERE.parent.parent
CLIENTS = 8
CALLS = 4_000
TOKEN = "bench"
SERVICE = "over HTTP"

# The request (method, path, body) and the same call over SQL.
POINTS = {
    "enqueue": (
        ("POST", "/workspaces/default/executions", {"endpoint": "hook", "input": {"n": 1}}),
        "select kronos.enqueue('hook', '{\"n\": 1}')",
    ),
    "get_job": (("GET", "/workspaces/default/jobs/{job_id}", None), "select kronos.get_job('{job_id}')"),
    "list_executions": (
        ("GET", "/workspaces/default/executions?max=20", None),
        "select kronos.list_executions(max => 20)",
    ),
}


@contextlib.contextmanager
def service():
    """Builds and starts the service, and yields its URL."""
    target = ROOT / "target/examples"
    manifest = ROOT / "examples/http-api/Cargo.toml"
    build = ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest, "--target-dir", target]
    subprocess.run(build, check=True)
    program = target / "release/kronos-http-api"
    tokens = subprocess.run([program, "hash-token", "app"], input=TOKEN, capture_output=True, text=True, check=True).stdout
    environment = ENVIRONMENT | {
        "DATABASE_URL": f"host={HOST} user=api dbname=postgres",
        "KRONOS_API_TOKENS": tokens,
        "RUST_LOG": "kronos_http_api::server=info",
    }
    with tempfile.NamedTemporaryFile("r") as log, open(log.name, "w") as errors:
        command = [program, "--listen", "127.0.0.1:0", "--log-format", "text", "--pool-size", str(CLIENTS)]
        process = subprocess.Popen(command, env=environment, stderr=errors)
        try:
            while not (found := re.search(r"address=([\d.:]+)", Path(log.name).read_text())):
                if process.poll() is not None:
                    raise Failed(Path(log.name).read_text())
                time.sleep(0.05)
            yield f"http://{found.group(1)}"
        finally:
            process.terminate()
            process.wait()


def percentiles(milliseconds):
    cuts = statistics.quantiles(milliseconds, n=100)
    return cuts[49], cuts[98]


def over_http(url, method, path, body):
    """The median and the 99th percentile of the requests, in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        times = f"{directory}/times.csv"
        command = ["ab", "-q", "-k", "-l", "-c", CLIENTS, "-n", CALLS, "-e", times, "-H", f"Authorization: Bearer {TOKEN}"]
        if body is not None:
            Path(directory, "body").write_text(json.dumps(body))
            command += ["-p", f"{directory}/body", "-T", "application/json"]
        output = run([*command, url + path], 120)
        if "Non-2xx" in output or not re.search(r"Failed requests: +0\n", output):
            raise Failed(output)
        with open(times) as lines:
            _, *percents = csv.reader(lines)
    by_percent = {percent: float(milliseconds) for percent, milliseconds in percents}
    return by_percent["50"], by_percent["99"]


def over_sql(statement):
    with tempfile.TemporaryDirectory() as directory:
        command = [BIN / "pgbench", "-n", "-M", "prepared", "-U", "app", "-c", CLIENTS, "-j", 2, "-t", CALLS // CLIENTS]
        run([*command, "-l", "--log-prefix", f"{directory}/log", "-f", "-"], 120, statement + ";\n")
        times = []
        for log in glob.glob(f"{directory}/log*"):
            times += [int(line.split()[2]) / 1000 for line in Path(log).read_text().splitlines()]
    return percentiles(times)


def prepare():
    run_file("kronos/reset")
    rows(
        """create role api login noinherit; create role app login; grant app to api;
           grant usage on schema kronos to app;
           select kronos.create_endpoint('hook', 'HTTP', if_not_exists => true);
           select kronos.grant_workspace('app', 'admin', workspace => 'default')"""
    )
    return value("select (kronos.create_cron_job('hook', '0 0 1 1 *')).job_id")


def measure(options):
    note = f"{CLIENTS} clients, {CALLS:,} calls. ab sends the requests, pgbench makes the calls; an answer waits for COMMIT."
    median = Group("A call, median", "milliseconds", lower_is_better=True, note=note)
    tail = Group("A call, 99th percentile", "milliseconds", lower_is_better=True, note=note)
    if options.kronos:
        job_id = str(prepare())
        with service() as url:
            for _ in range(options.rounds):
                for name, ((method, path, body), statement) in POINTS.items():
                    settle()
                    path, statement = path.replace("{job_id}", job_id), statement.replace("{job_id}", job_id)
                    for contender, times in [
                        (KRONOS, over_sql(statement)),
                        (SERVICE, over_http(url, method, path, body)),
                    ]:
                        median.add(contender, {name: times[0]})
                        tail.add(contender, {name: times[1]})
    yield median
    yield tail
