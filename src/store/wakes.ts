import type { Log } from '../log.js';
import type { WakeRow } from './models.js';
import type { Store } from './store.js';

/** Wakes between processes: a hint that a bot's log has grown; whoever relies on them alone waits at most for the next scan. */
export interface Wakes {
  /** Tells the owner of `bot` in another process; not awaited, at most one per bot in 5 ms, the last one of a burst included. */
  wake(bot: string): void;
  onWake(listener: (bot: string) => void): () => void;
  stop(): void;
}

const SPACING_MS = 5;
const AWAIT_MS = 5_000;
const REOPEN_MS = 1_000;

/** Opens the tailable cursor of this process; after any end of it, it is opened again. */
export function wakes(store: Store, clock: { now(): number }, log: Log): Wakes {
  const { collection } = store.models.Wakes;
  const listeners = new Set<(bot: string) => void>();
  const last = new Map<string, number>();
  const later = new Map<string, NodeJS.Timeout>();
  const stopping = new AbortController();
  let cursor: { close(): Promise<void> } | undefined;

  async function follow(): Promise<void> {
    let since = new Date();
    while (!stopping.signal.aborted) {
      try {
        const open = collection.find(
          { at: { $gt: since } },
          { tailable: true, awaitData: true, maxAwaitTimeMS: AWAIT_MS },
        );
        cursor = open;
        for await (const row of open) {
          const { bot, at } = row as unknown as WakeRow;
          if (at > since) since = at;
          for (const listener of listeners) listener(bot);
        }
      } catch (error) {
        if (!stopping.signal.aborted) log.debug({ error: String(error) }, 'the cursor of wakes ended; opened again');
      }
      await pause();
    }
  }

  const pause = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(done, REOPEN_MS);
      function done(): void {
        clearTimeout(timer);
        stopping.signal.removeEventListener('abort', done);
        resolve();
      }
      stopping.signal.addEventListener('abort', done);
      if (stopping.signal.aborted) done();
    });

  void follow();

  function insert(bot: string): void {
    last.set(bot, clock.now());
    collection.insertOne({ bot, part: 'send', at: new Date() }).catch(() => undefined); // a hint only
  }

  return {
    wake(bot) {
      if (later.has(bot)) return;
      const wait = (last.get(bot) ?? Number.NEGATIVE_INFINITY) + SPACING_MS - clock.now();
      if (wait <= 0) insert(bot);
      else {
        const timer = setTimeout(() => {
          later.delete(bot);
          insert(bot);
        }, wait);
        later.set(bot, timer);
      }
    },
    onWake(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop() {
      stopping.abort();
      for (const timer of later.values()) clearTimeout(timer);
      // Not awaited: the driver waits for the getMore in the air, up to AWAIT_MS. The store's closing cuts it.
      cursor?.close().catch(() => undefined);
    },
  };
}
