import type { PageRow } from './models.js';
import type { Store } from './store.js';

/** Pages are kept this long after they were closed, ms: 7 days, as long as a dedupKey holds. */
export const KEEP_MS = 7 * 86_400_000;
const BATCH = 100;

/**
 * Deletes pages that were closed before `now` − 7 days, whole, with their results, broadcast pages and dead letters. Pages with waiting dead letters stay, and so
 * do those whose key a waiting one would be answered by: a reply of its update, or its own replay that was never ended. The bot's newest page stays, since the log
 * counts on from it. Dead letters of updates that were dealt with that long ago go, too. Returns how many pages went. Rejects with the driver's error while the store is away.
 */
export async function prunePages(store: Store, bot: string, now: number): Promise<number> {
  const { Pages, Results, BroadcastPages, Broadcasts, DeadLetters } = store.models;
  const before = new Date(now - KEEP_MS);
  const newest = (await Pages.collection
    .find({ bot }, { projection: { n: 1 } })
    .sort({ n: -1 })
    .limit(1)
    .next()) as unknown as PageRow | null;
  const old = Pages.collection
    .find({ bot, closedAt: { $lt: before } }, { projection: { n: 1, keys: 1 }, batchSize: BATCH })
    .sort({ closedAt: 1 });
  let pruned = 0;
  for await (const { n, keys } of old as unknown as AsyncIterable<PageRow>) {
    if (n === newest?.n) continue;
    // By the page's own letters: of all that wait there may be many.
    const own = { bot, queue: 'deliveries', source: { $gte: `${bot}-${n}-`, $lt: `${bot}-${n}.` } } as const;
    const letter = await DeadLetters.collection.findOne(
      { ...own, state: 'waiting' },
      { hint: { bot: 1, queue: 1, source: 1 } },
    );
    if (letter !== null || (await isAnswer(store, bot, keys ?? []))) continue;
    await Promise.all(
      [Results, BroadcastPages, Broadcasts].map((model) => model.collection.deleteMany({ bot, n } as never)),
    );
    await Pages.collection.deleteOne({ bot, n });
    // Last: while the page is there its letters say how its items ended.
    await DeadLetters.collection.deleteMany(own as never);
    pruned += 1;
  }
  for (const state of ['replayed', 'dropped']) {
    await DeadLetters.collection.deleteMany({
      bot,
      queue: 'updates',
      state,
      at: { $lt: before },
      endedAt: { $lt: before },
      requeue: { $exists: false },
    } as never);
  }
  return pruned;
}

/** True when a key of the page is what a dead letter that is not dealt with would find: of an update (`u:`), or of its own replay (`r:`). */
async function isAnswer(store: Store, bot: string, keys: readonly string[]): Promise<boolean> {
  for (const [prefix, queue, tail] of [
    ['u:', 'updates', /$/],
    ['r:', 'deliveries', /:\d+$/],
  ] as const) {
    const sources = keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(2).replace(tail, ''));
    if (sources.length === 0) continue;
    const letter = await store.models.DeadLetters.collection.findOne(
      { bot, queue, source: { $in: sources }, $or: [{ state: 'waiting' }, { requeue: true }] },
      { hint: { bot: 1, queue: 1, source: 1 } },
    );
    if (letter !== null) return true;
  }
  return false;
}
