// A client program of the benchmarks: main.mjs SYSTEM install|fill|claim|enqueue|pickup OPTIONS. Prints one line of
// JSON. The module of a system exports `open(clients)`, which returns the functions that the actions below call.
import { Loop } from "./loop.mjs";

const [system, action, json] = process.argv.slice(2);
const options = JSON.parse(json);
const modules = { kronos: "./sql.mjs", floor: "./sql.mjs", graphile: "./graphile.mjs", pgboss: "./pgboss.mjs" };
const { open } = await import(modules[system]);
const queue = await open(options.clients ?? 1, system);

async function pickup({ samples }) {
    const milliseconds = [];
    let claimed;
    await queue.listen(() => claimed(performance.now()));
    for (let i = 0; i < samples + 10; i++) {
        await new Promise((resolve) => setTimeout(resolve, 10 + 20 * Math.random()));
        const whenClaimed = new Promise((resolve) => (claimed = resolve));
        const sentAt = await queue.sendInTransaction();
        const claimedAt = await whenClaimed;
        // The first samples warm up connections and prepared statements.
        if (i >= 10) milliseconds.push(claimedAt - sentAt);
    }
    return { milliseconds };
}

const actions = {
    install: async () => (await queue.install(), {}),
    fill: async ({ amount }) => (await queue.fill(amount), {}),
    claim: ({ clients, batch, amount, limit }) =>
        queue.work
            ? queue.work(clients, batch, amount, limit)
            : new Loop(limit, amount).run(clients, (client) => queue.claimAndComplete(client, batch)),
    enqueue: ({ clients, batch, seconds }) => new Loop(seconds).run(clients, (client) => queue.send(client, batch)),
    pickup,
};
console.log(JSON.stringify(await actions[action](options)));
process.exit(0);
