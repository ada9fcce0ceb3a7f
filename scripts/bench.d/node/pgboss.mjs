// Drives pg-boss with its fetch() and complete(). A waiting worker runs its work() with notifications.
import { connect, load, timedCommit } from "./installed.mjs";

const { PgBoss } = load("pg-boss");

export async function open(clients) {
    const boss = new PgBoss({
        connectionString: "postgres://",
        max: clients + 2,
        useListenNotify: true,
        supervise: false,
        schedule: false,
    });
    boss.on("error", (error) => console.error(error));
    await boss.start();

    const insert = async (amount) => {
        for (let left = amount; left > 0; left -= 1000) {
            await boss.insert("noop", Array.from({ length: Math.min(left, 1000) }, () => ({ data: {} })));
        }
    };

    return {
        install: () => boss.createQueue("noop", { notify: true }),

        async fill(amount) {
            await boss.deleteAllJobs("noop");
            await insert(amount);
        },

        async claimAndComplete(_, batchSize) {
            const jobs = await boss.fetch("noop", { batchSize });
            if (jobs.length > 0) await boss.complete("noop", jobs.map(({ id }) => id));
            return jobs.length;
        },

        async send(_, batch) {
            if (batch === 1) await boss.send("noop", {});
            else await boss.insert("noop", Array.from({ length: batch }, () => ({ data: {} })));
            return batch;
        },

        async listen(onClaimed) {
            await boss.work("noop", { batchSize: 10 }, async () => onClaimed());
            await new Promise((resolve) => setTimeout(resolve, 1000));
        },

        async sendInTransaction() {
            this.sender ??= await connect();
            const db = { executeSql: (text, values) => this.sender.query(text, values) };
            return timedCommit(this.sender, () => boss.send("noop", {}, { db }));
        },
    };
}
