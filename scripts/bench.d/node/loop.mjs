// So many concurrent loops of one asynchronous step, which returns how many executions it has handled.
export class Loop {
    constructor(seconds, amount = Infinity) {
        this.amount = amount;
        this.seconds = seconds;
    }

    async run(clients, step) {
        const begin = performance.now();
        const end = begin + 1000 * this.seconds;
        let handled = 0;
        const one = async (client) => {
            while (handled < this.amount && performance.now() < end) {
                const done = await step(client);
                if (done === 0) return;
                handled += done;
            }
        };
        await Promise.all(Array.from({ length: clients }, (_, client) => one(client)));
        return { handled, seconds: (performance.now() - begin) / 1000 };
    }
}
