interface Waiting<T, R> {
  readonly item: T;
  resolve(result: R): void;
  reject(error: unknown): void;
}

/**
 * Turns single writes into batches without a timer: while one commit is under way the items that come meanwhile gather for the next
 * (docs/protocol.md: back to back beats any timer). `commit` gets 1 to `most` items (default 1,000) and answers one result for each, in
 * their order; a rejection is that of each of its items. The function that is returned never throws, it rejects.
 */
export function backToBack<T, R>(
  commit: (items: readonly T[]) => Promise<readonly R[]>,
  most = 1_000,
): (item: T) => Promise<R> {
  let waiting: Waiting<T, R>[] = [];
  let running = false;

  async function run(): Promise<void> {
    running = true;
    await Promise.resolve(); // what is offered in this turn shares the first commit
    while (waiting.length > 0) {
      const batch = waiting.slice(0, most);
      waiting = waiting.slice(most);
      try {
        const results = await commit(batch.map(({ item }) => item));
        batch.forEach((one, index) => {
          one.resolve(results[index] as R);
        });
      } catch (error) {
        for (const one of batch) one.reject(error);
      }
    }
    running = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!running) void run();
    });
}
