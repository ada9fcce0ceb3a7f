// Drives graphile-worker with its own runner. Batches use its local queue and its batched completions.
import { connect, load, timedCommit } from "./installed.mjs";

const { run, runMigrations, Logger } = load("graphile-worker");
const quiet = new Logger(() => () => {});

const add = "select id from graphile_worker.add_job('noop', '{}')";
const addMany = `
    select count(*) from graphile_worker.add_jobs(array(
        select ('noop', '{}', null, null, null, null, null, null)::graphile_worker.job_spec
        from generate_series(1, $1::int)))`;

export async function open(clients) {
    const connections = await Promise.all(Array.from({ length: clients }, connect));

    const startWorker = (noop, worker) =>
        run({ preset: { worker: { connectionString: "postgres://", ...worker, logger: quiet } }, taskList: { noop } });

    return {
        install: () => runMigrations({ preset: { worker: { connectionString: "postgres://" } }, logger: quiet }),

        async fill(amount) {
            await connections[0].query("truncate graphile_worker._private_jobs");
            for (let left = amount; left > 0; left -= 1000) await connections[0].query(addMany, [Math.min(left, 1000)]);
        },

        // The time runs from the first call of the handler to the last.
        work: (concurrentJobs, batch, amount, limit) =>
            new Promise((resolve, reject) => {
                let handled = 0;
                let start;
                const done = () => resolve({ handled, seconds: (performance.now() - start) / 1000 });
                const noop = () => {
                    start ??= performance.now();
                    if (++handled === amount) done();
                };
                // The fastest of the settings tried: a queue of this size is half full on average.
                const batched = { localQueue: { size: 2 * concurrentJobs * batch }, completeJobBatchDelay: 1 };
                const worker = { concurrentJobs, maxPoolSize: concurrentJobs + 2, ...(batch > 1 && batched) };
                startWorker(noop, worker).catch(reject);
                setTimeout(done, 1000 * limit);
            }),

        async send(client, batch) {
            const one = batch === 1;
            await connections[client].query(
                one ? { name: "add", text: add } : { name: "addMany", text: addMany, values: [batch] },
            );
            return batch;
        },

        async listen(onClaimed) {
            await startWorker(onClaimed, { concurrentJobs: 1, maxPoolSize: 10 });
            await new Promise((resolve) => setTimeout(resolve, 1000));
        },

        sendInTransaction: () => timedCommit(connections[0], () => connections[0].query({ name: "add", text: add })),
    };
}
