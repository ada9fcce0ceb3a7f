"""Drives pgqueuer with its dequeue() and log_jobs(), each client on a connection of its own."""

import asyncio
import uuid
from datetime import timedelta

import asyncpg
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import EntrypointExecutionParameter, Queries

ENTRYPOINTS = {"noop": EntrypointExecutionParameter(concurrency_limit=0)}


class PgqueuerQueue:
    def __init__(self, queries):
        self.queries = queries
        self.manager = uuid.uuid4()

    async def fill(self, amount):
        await self.queries[0].driver.execute("truncate pgqueuer, pgqueuer_log")
        for left in range(amount, 0, -1000):
            count = min(left, 1000)
            await self.queries[0].enqueue(["noop"] * count, [None] * count, [0] * count)

    async def claim_and_complete(self, client, batch):
        queries = self.queries[client]
        jobs = await queries.dequeue(batch, ENTRYPOINTS, self.manager, None, timedelta(minutes=1))
        if jobs:
            await queries.log_jobs([(job, "successful", None) for job in jobs])
        return len(jobs)


async def install():
    await Queries(AsyncpgDriver(await asyncpg.connect())).install()


async def open(clients):
    connections = await asyncio.gather(*(asyncpg.connect() for _ in range(clients)))
    return PgqueuerQueue([Queries(AsyncpgDriver(connection)) for connection in connections])
