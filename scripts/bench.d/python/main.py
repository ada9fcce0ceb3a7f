"""A client program of the benchmarks: main.py SYSTEM install|fill|claim OPTIONS. Prints one line of JSON."""

import asyncio
import importlib
import json
import sys
import time


class Loop:
    """Runs an asynchronous step in concurrent loops. The step returns how many executions it has handled."""

    def __init__(self, seconds, amount):
        self.seconds, self.amount = seconds, amount

    async def run(self, clients, step):
        handled = 0
        start = time.monotonic()

        async def run_client(client):
            nonlocal handled
            while handled < self.amount and time.monotonic() < start + self.seconds:
                done = await step(client)
                if done == 0:
                    return
                handled += done

        await asyncio.gather(*(run_client(client) for client in range(clients)))
        return {"handled": handled, "seconds": time.monotonic() - start}


async def main(system, action, options):
    module = importlib.import_module(f"{system}_queue")
    if action == "install":
        await module.install()
        return {}
    queue = await module.open(options.get("clients", 1))
    if action == "fill":
        await queue.fill(options["amount"])
        return {}
    loop = Loop(options["limit"], options["amount"])
    return await loop.run(options["clients"], lambda client: queue.claim_and_complete(client, options["batch"]))


print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))))
