// Runs an asynchronous step in concurrent loops. The step returns how many executions it has handled.
export class Loop {
    constructor(seconds, amount = Infinity) {
        this.amount = amount;
        this.seconds = seconds;
    }

    async run(clients, step) {
        const start = performance.now();
        const end = start + 1000 * this.seconds;
        let handled = 0;
        const runClient = async (client) => {
            while (handled < this.amount && performance.now() < end) {
                const done = await step(client);
                if (done === 0) return;
                handled += done;
            }
        };
        await Promise.all(Array.from({ length: clients }, (_, client) => runClient(client)));
        return { handled, seconds: (performance.now() - start) / 1000 };
    }
}
