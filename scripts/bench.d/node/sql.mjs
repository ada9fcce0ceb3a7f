// Drives Kronos and the floor with `pg` and named prepared statements, as a worker in production would.
import { connect, timedCommit } from "./installed.mjs";

const statements = {
    kronos: {
        send: "select execution_id from kronos.enqueue('noop')",
        sendMany: `select count(*) from kronos.enqueue_many(
            (select jsonb_agg(jsonb_build_object('endpoint', 'noop')) from generate_series(1, $1)))`,
        claim: "select execution_id, attempt, input from kronos.claim_executions($1, $2)",
        completeOne: "select status from kronos.complete_execution($1, $2, $3)",
        completeMany: "select count(*) from kronos.complete_executions($1, $2)",
        channel: "kronos_executions",
    },
    floor: {
        send: "insert into floor.queue (input) values ('{}')",
        sendMany: "insert into floor.queue (input) select '{}' from generate_series(1, $1::int)",
        // The limit is a literal; sql_file in server.py says why.
        claim: (batch) => `
            update floor.queue
            set locked_by = $1, locked_until = now() + interval '1 minute', started_at = now(), attempt = attempt + 1
            where id = any (array(
                select id from floor.queue
                where run_at <= now() and (locked_until is null or locked_until < now())
                order by priority, run_at, id limit ${batch} for update skip locked))
            returning id, attempt, input`,
        complete: `
            with finished as (delete from floor.queue where id = any ($1) and locked_by = $2 returning *)
            insert into floor.history
            select id, priority, run_at, attempt, locked_by, started_at, input, enqueued_at, 'SUCCEEDED', null, now()
            from finished`,
        notify: "notify floor_queue",
        channel: "floor_queue",
    },
};

const prepared = (name, text, values) => ({ name, text, values });

async function claimKronos(sql, connection, worker, batch) {
    const { rows } = await connection.query(prepared("claim", sql.claim, [worker, batch]));
    const complete = async () => {
        if (rows.length === 0) return;
        if (batch === 1) {
            const [{ execution_id, attempt }] = rows;
            await connection.query(prepared("complete", sql.completeOne, [execution_id, attempt, worker]));
        } else {
            const list = JSON.stringify(rows.map(({ execution_id, attempt }) => ({ execution_id, attempt })));
            await connection.query(prepared("completeMany", sql.completeMany, [worker, list]));
        }
    };
    return { claimed: rows.length, complete };
}

async function claimFloor(sql, connection, worker, batch) {
    const { rows } = await connection.query(prepared("claim", sql.claim(batch), [worker]));
    const ids = rows.map(({ id }) => id);
    return {
        claimed: rows.length,
        complete: () => connection.query(prepared("complete", sql.complete, [ids, worker])),
    };
}

export async function open(clients, system) {
    const sql = statements[system];
    const claim = system === "kronos" ? claimKronos : claimFloor;
    const connections = await Promise.all(Array.from({ length: clients }, connect));

    return {
        async claimAndComplete(client, batch) {
            const { claimed, complete } = await claim(sql, connections[client], `w${client}`, batch);
            await complete();
            return claimed;
        },

        async send(client, batch) {
            const one = batch === 1;
            await connections[client].query(
                one ? prepared("send", sql.send) : prepared("sendMany", sql.sendMany, [batch]),
            );
            return batch;
        },

        // Claims after each notification, and again if another notification arrived during the claim.
        async listen(onClaimed) {
            const connection = await connect();
            let woken = 0;
            connection.on("notification", async () => {
                if (woken++ > 0) return;
                while (woken > 0) {
                    woken = 0;
                    const { claimed, complete } = await claim(sql, connection, "listener", 10);
                    if (claimed > 0) onClaimed();
                    await complete();
                }
            });
            await connection.query(`listen ${sql.channel}`);
        },

        sendInTransaction: () =>
            timedCommit(connections[0], async () => {
                await connections[0].query(prepared("send", sql.send));
                if (sql.notify) await connections[0].query(sql.notify);
            }),
    };
}
