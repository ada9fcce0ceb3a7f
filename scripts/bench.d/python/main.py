"""A client program of the benchmarks: main.py SYSTEM install|fill|claim OPTIONS. It prints one line of JSON."""

import asyncio
import importlib
import json
import sys
import time


class Loop:
    """So many concurrent loops of one asynchronous step, which returns how many executions it has handled."""

    def __init__(self, seconds, amount):
        self.seconds, self.amount = seconds, amount

    async def run(self, clients, step):
        handled = 0
        begin = time.monotonic()

        async def one(client):
            nonlocal handled
            while handled < self.amount and time.monotonic() < begin + self.seconds:
                done = await step(client)
                if done == 0:
                    return
                handled += done

        await asyncio.gather(*(one(client) for client in range(clients)))
        return {"handled": handled, "seconds": time.monotonic() - begin}


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
