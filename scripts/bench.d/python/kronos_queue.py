"""Drives Kronos with asyncpg, which prepares its statements."""

import asyncio
import json

import asyncpg


class KronosQueue:
    def __init__(self, connections):
        self.connections = connections

    async def claim_and_complete(self, client, batch):
        connection, worker = self.connections[client], f"w{client}"
        claimed = await connection.fetch(
            "select execution_id, attempt, input from kronos.claim_executions($1, $2)", worker, batch
        )
        if len(claimed) == 1:
            [row] = claimed
            await connection.fetch(
                "select status from kronos.complete_execution($1, $2, $3)", row["execution_id"], row["attempt"], worker
            )
        elif claimed:
            held = [{"execution_id": str(row["execution_id"]), "attempt": row["attempt"]} for row in claimed]
            await connection.fetch("select count(*) from kronos.complete_executions($1, $2)", worker, json.dumps(held))
        return len(claimed)


async def open(clients):
    return KronosQueue(await asyncio.gather(*(asyncpg.connect() for _ in range(clients))))
