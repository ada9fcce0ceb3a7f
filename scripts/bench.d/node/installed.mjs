// Packages come from the cache of scripts/bench, not from beside this file.
import { createRequire } from "node:module";

export const load = createRequire(`${process.env.KRONOS_BENCH_CACHE}/node/`);

const { Pool, Client } = load("pg");

// A pool whose connections are open before anything is measured.
export async function connectedPool(size) {
    const pool = new Pool({ max: size });
    const clients = await Promise.all(Array.from({ length: size }, () => pool.connect()));
    clients.forEach((client) => client.release());
    return pool;
}

export async function connected() {
    const client = new Client();
    await client.connect();
    return client;
}

// Runs `enqueue` in a transaction of its own; returns when its COMMIT was sent.
export async function timedCommit(client, enqueue) {
    await client.query("begin");
    await enqueue();
    const sent = performance.now();
    await client.query("commit");
    return sent;
}
