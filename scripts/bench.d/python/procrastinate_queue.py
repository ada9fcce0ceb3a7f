"""Drives procrastinate with fetch_job() and finish_job() of its job manager. It has no batches."""

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status


class ProcrastinateQueue:
    def __init__(self, app, worker_id):
        self.app, self.worker_id = app, worker_id

    async def fill(self, amount):
        await self.app.connector.execute_query_async("truncate procrastinate_jobs cascade")
        noop = self.app.configure_task("noop", allow_unknown=True)
        for left in range(amount, 0, -1000):
            await noop.batch_defer_async(*({} for _ in range(min(left, 1000))))

    async def claim_and_complete(self, client, batch):
        manager = self.app.job_manager
        job = await manager.fetch_job(None, self.worker_id)
        if job is None:
            return 0
        await manager.finish_job(job, Status.SUCCEEDED, delete_job=False)
        return 1


async def open_app(clients):
    app = App(connector=PsycopgConnector(min_size=clients, max_size=clients))
    await app.open_async()
    return app


async def install():
    await (await open_app(1)).schema_manager.apply_schema_async()


async def open(clients):
    app = await open_app(clients)
    return ProcrastinateQueue(app, await app.job_manager.register_worker())
