import type { PageRow } from './models.js';
import type { Store } from './store.js';

/** Pages are kept this long after they were closed, ms: 7 days, as long as a dedupKey holds. */
export const KEEP_MS = 7 * 86_400_000;
const BATCH = 100;

/**
 * Deletes pages that were closed before `now` − 7 days, whole, with their results and broadcast pages. Pages with waiting dead letters stay, and so
 * does the bot's newest page, since the log counts on from it. Returns how many pages went. Rejects with the driver's error while the store is away.
 */
export async function prunePages(store: Store, bot: string, now: number): Promise<number> {
  const { Pages, Results, BroadcastPages, Broadcasts, DeadLetters } = store.models;
  const newest = (await Pages.collection
    .find({ bot }, { projection: { n: 1 } })
    .sort({ n: -1 })
    .limit(1)
    .next()) as unknown as PageRow | null;
  const old = Pages.collection
    .find({ bot, closedAt: { $lt: new Date(now - KEEP_MS) } }, { projection: { n: 1 }, batchSize: BATCH })
    .sort({ closedAt: 1 });
  let pruned = 0;
  for await (const { n } of old as unknown as AsyncIterable<PageRow>) {
    if (n === newest?.n) continue;
    // By the page's own letters: of all that wait there may be many.
    const letter = await DeadLetters.collection.findOne(
      { bot, queue: 'deliveries', source: { $gte: `${bot}-${n}-`, $lt: `${bot}-${n}.` }, state: 'waiting' },
      { hint: { bot: 1, queue: 1, source: 1 } },
    );
    if (letter !== null) continue;
    await Promise.all(
      [Results, BroadcastPages, Broadcasts].map((model) => model.collection.deleteMany({ bot, n } as never)),
    );
    await Pages.collection.deleteOne({ bot, n });
    pruned += 1;
  }
  return pruned;
}
