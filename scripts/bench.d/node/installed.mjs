// Loads packages from the cache of scripts/bench, and opens connections.
import { createRequire } from "node:module";

export const load = createRequire(`${process.env.KRONOS_BENCH_CACHE}/node/`);

const { Pool, Client } = load("pg");

// A pool whose connections are open before the measurement starts.
export async function connectedPool(size) {
    const pool = new Pool({ max: size });
    const clients = await Promise.all(Array.from({ length: size }, () => pool.connect()));
    clients.forEach((client) => client.release());
    return pool;
}

export async function connect() {
    const client = new Client();
    await client.connect();
    return client;
}

// Runs `enqueue` in a transaction of its own, and returns the time at which it sent the COMMIT.
export async function timedCommit(client, enqueue) {
    await client.query("begin");
    await enqueue();
    const sent = performance.now();
    await client.query("commit");
    return sent;
}
