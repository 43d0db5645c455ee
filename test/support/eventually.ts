import { setTimeout as sleep } from 'node:timers/promises';

/** Looks each `everyMs` until `look` answers something other than undefined and false, and answers that. Rejects after `withinMs`, with what the last look came to. */
export async function eventually<T>(
  what: string,
  withinMs: number,
  look: () => Promise<T | undefined | false>,
  everyMs = 50,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    let last: unknown;
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      last = found;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline)
      throw new Error(`${what}: not within ${withinMs} ms (last look: ${String(last)})`);
    await sleep(everyMs);
  }
}
