import type { Log } from '../log.js';
import type { PageRow, WakeRow } from './models.js';
import { isConnectionError, type Store } from './store.js';

/** Wakes between processes: a hint that a bot's log has grown; whoever relies on them alone waits at most for the next scan. */
export interface Wakes {
  /** Tells the owner of `bot` in another process; not awaited, at most one per bot in 5 ms, the last one of a burst included. */
  wake(bot: string): void;
  /** Calls `listener` when the log of `bot` may have grown, also without a reason; the answer ends it. */
  onWake(bot: string, listener: () => void): () => void;
  stop(): void;
}

const SPACING_MS = 5;
const AWAIT_MS = 5_000;
/** After the end of a cursor it is opened again after so long, doubled up to the second number. */
const REOPEN_MS = [50, 1_000] as const;
/** Where the server serves no tailable cursor, the log's ends are read this often instead, and the cursor is tried again after the second time. */
const POLL_MS = 150;
/** After so long without news polls come a little slower: a quiet installation asks its store less than ten times a second. */
const QUIET = { afterMs: 10_000, pollMs: 220 } as const;
const TRY_AGAIN_MS = 60_000;
/** A hint may be lost with its server: it need not wait for a journal or a majority, neither when it is written nor when it is read. */
const HINT = { w: 1, journal: false } as const;
/** Pages that one poll reads of at most: what comes is a hint for each bot, not a list. */
const POLL_PAGES = 1_000;

/** Opens the tailable cursor of this process, or polls where a server does not serve it. */
export function wakes(store: Store, clock: { now(): number }, log: Log): Wakes {
  const { collection } = store.models.Wakes;
  const listeners = new Map<string, Set<() => void>>();
  const last = new Map<string, number>();
  const later = new Map<string, NodeJS.Timeout>();
  /** The last page known, by bot, while polling. */
  const tails = new Map<string, number>();
  const stopping = new AbortController();
  let cursor: { close(): Promise<void> } | undefined;
  let served = true;
  const heard = new Set<string>();

  /** One call for all that one batch of a cursor says. */
  function hear(bot: string): void {
    if (!listeners.has(bot)) return;
    if (heard.size === 0)
      setImmediate(() => {
        const bots = [...heard];
        heard.clear();
        for (const one of bots) for (const listener of listeners.get(one) ?? []) listener();
      });
    heard.add(bot);
  }

  async function run(): Promise<void> {
    let [wait] = REOPEN_MS as readonly [number, number];
    while (!stopping.signal.aborted) {
      const openedAt = clock.now();
      const error = await follow().catch((why: unknown) => why ?? new Error('ended'));
      if (stopping.signal.aborted) return;
      served = error === undefined || isConnectionError(error) || isLostPosition(error);
      if (served) {
        log.debug({ error: String(error) }, 'the cursor of wakes ended; opened again');
        wait = clock.now() - openedAt > REOPEN_MS[1] ? REOPEN_MS[0] : Math.min(wait * 2, REOPEN_MS[1]);
        await pause(wait);
      } else {
        log.info({ error: String(error) }, 'the store serves no tailable cursor: new pages are polled for');
        await poll(clock.now() + TRY_AGAIN_MS);
      }
    }
  }

  /**
   * Follows the capped collection from its beginning: what lies there already wakes once more, which is harmless, while a filter by time would miss what a
   * host with a slow clock says. Resolves or rejects at the cursor's end.
   */
  async function follow(): Promise<void> {
    const open = collection.find(
      {},
      {
        tailable: true,
        awaitData: true,
        maxAwaitTimeMS: AWAIT_MS,
        projection: { _id: 0, bot: 1 },
        readConcern: { level: 'local' },
      },
    );
    cursor = open;
    for await (const row of open) hear((row as unknown as WakeRow).bot);
  }

  /** When there was news last; a cursor that is tried again and refused is none. */
  let newsAt = clock.now();

  async function poll(until: number): Promise<void> {
    tails.clear();
    while (!stopping.signal.aborted && clock.now() < until) {
      const news = await look().catch((error: unknown) => {
        log.debug({ error: String(error) }, 'the log could not be polled');
        return false;
      });
      if (news) newsAt = clock.now();
      await pause(clock.now() - newsAt > QUIET.afterMs ? QUIET.pollMs : POLL_MS);
    }
  }

  /** One query for all bots that are listened for; whether there was news. */
  async function look(): Promise<boolean> {
    const { collection: pages } = store.models.Pages;
    for (const bot of listeners.keys()) {
      if (tails.has(bot)) continue;
      const newest = await pages
        .find({ bot }, { projection: { n: 1 } })
        .sort({ n: -1 })
        .limit(1)
        .next();
      tails.set(bot, Number(newest?.n ?? 0));
      hear(bot);
    }
    const known = [...tails].filter(([bot]) => listeners.has(bot));
    if (known.length === 0) return false;
    const news = (await pages
      .find({ $or: known.map(([bot, n]) => ({ bot, n: { $gt: n } })) }, { projection: { _id: 0, bot: 1, n: 1 } })
      .limit(POLL_PAGES)
      .toArray()) as unknown as PageRow[];
    for (const { bot, n } of news) {
      tails.set(bot, Math.max(n, tails.get(bot) ?? 0));
      hear(bot);
    }
    return news.length > 0;
  }

  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(done, ms);
      function done(): void {
        clearTimeout(timer);
        stopping.signal.removeEventListener('abort', done);
        resolve();
      }
      stopping.signal.addEventListener('abort', done);
      if (stopping.signal.aborted) done();
    });

  void run();

  function insert(bot: string): void {
    last.set(bot, clock.now());
    if (!served) return; // the others poll, too
    collection.insertOne({ bot, part: 'send', at: new Date() }, { writeConcern: HINT }).catch(() => undefined);
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
    onWake(bot, listener) {
      const own = listeners.get(bot) ?? new Set();
      listeners.set(bot, own.add(listener));
      return () => {
        own.delete(listener);
        if (own.size === 0 && listeners.get(bot) === own) listeners.delete(bot);
      };
    },
    stop() {
      stopping.abort();
      for (const timer of later.values()) clearTimeout(timer);
      // Not awaited: the driver waits for the getMore in the air, up to AWAIT_MS. The store's closing cuts it.
      cursor?.close().catch(() => undefined);
    },
  };
}

/** The cursor fell behind what the capped collection keeps, or was killed: it is served, and opened again (CappedPositionLost, CursorNotFound, CursorKilled, Interrupted). */
const isLostPosition = (error: unknown): boolean =>
  [136, 43, 237, 11_601].includes((error as { code?: number }).code ?? -1);
