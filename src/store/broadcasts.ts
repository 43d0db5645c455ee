import { broadcastId, parseBroadcastId } from '../delivery/ids.js';
import { addTally, emptyTally, tallied } from '../delivery/packed.js';
import { audienceFilter } from './broadcast-store.js';
import type { BroadcastRow, PageRow, ResultRow } from './models.js';
import { duplicateKey, type Store } from './store.js';

/**
 * A broadcast as the API shows it. `total` is an estimate until the audience is read to its end; times are ISO 8601 UTC. A cancelled one has
 * `finishedAt` once the last call that was in the air has ended and all counts are final.
 */
export interface BroadcastView {
  readonly id: string;
  readonly name?: string;
  readonly state: 'running' | 'paused' | 'cancelled' | 'done';
  readonly total: number;
  readonly sent: number;
  readonly blocked: number;
  readonly dead: number;
  readonly unknown: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly remaining: number;
  readonly ratePerSecond: number;
  readonly etaMs: number | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt?: string;
}

const FIELDS = { bot: 1, n: 1, at: 1, broadcast: 1 } as const;

/** One broadcast by its id; undefined when there is none. Rejects with the driver's error while the store is away. */
export async function findBroadcast(store: Store, id: string): Promise<BroadcastView | undefined> {
  const page = await pageOf(store, id);
  return page === undefined ? undefined : figures(store, page);
}

async function pageOf(store: Store, id: string): Promise<PageRow | undefined> {
  const place = parseBroadcastId(id);
  if (place === undefined) return undefined;
  const page = (await store.models.Pages.collection.findOne(
    { bot: place.bot, n: place.n, kind: 'broadcast' },
    { projection: FIELDS },
  )) as unknown as PageRow | null;
  return page ?? undefined;
}

/** What an operator may do to a broadcast. */
export type BroadcastMoveName = 'pause' | 'resume' | 'cancel';

type MovedState = 'running' | 'paused' | 'cancelled';
const MOVES: Readonly<Record<BroadcastMoveName, { readonly from: readonly MovedState[]; readonly to: MovedState }>> = {
  pause: { from: ['running'], to: 'paused' },
  resume: { from: ['paused'], to: 'running' },
  cancel: { from: ['running', 'paused'], to: 'cancelled' },
};

/**
 * Pauses, resumes or cancels a broadcast by one compare-and-set of its row, which the owner of the bot then follows (a wake tells it at once).
 * `moved` is false when its state does not allow it; undefined when there is no such broadcast. Rejects with the driver's error while the store is away.
 */
export async function moveBroadcast(
  store: Store,
  id: string,
  move: BroadcastMoveName,
): Promise<{ readonly moved: boolean; readonly view: BroadcastView } | undefined> {
  const page = await pageOf(store, id);
  if (page === undefined) return undefined;
  const { bot, n } = page;
  const { from, to } = MOVES[move];
  const rows = store.models.Broadcasts.collection;
  const change = { $set: { state: to, ...(to === 'running' ? {} : { ratePerSecond: 0 }) } };
  const filter = { bot, n, state: { $in: [...from] } };
  // No row means running: it is made by this move, unless the owner makes it meanwhile.
  const made = from.includes('running')
    ? await rows
        .updateOne(filter, { ...change, $setOnInsert: { sum: emptyTally(), k: 0 } }, { upsert: true })
        .then((answer) => answer.matchedCount + answer.upsertedCount > 0)
        .catch((error: unknown) => {
          if (duplicateKey(error) === undefined) throw error;
          return false;
        })
    : false;
  const moved = made || (await rows.updateOne(filter, change)).matchedCount > 0;
  // A hint only: the owner looks each second anyway.
  if (moved)
    await store.models.Wakes.collection
      .insertOne({ bot, part: 'send', at: new Date() } as never)
      .catch(() => undefined);
  return { moved, view: await figures(store, page) };
}

/** Broadcasts of one bot (default: the first by id that has some), newest first. `cursor` is the `next` of the page before. */
export async function listBroadcasts(
  store: Store,
  query: { readonly bot?: string; readonly cursor?: string; readonly limit: number },
): Promise<{ items: BroadcastView[]; next?: string }> {
  const before = query.cursor === undefined ? undefined : parseBroadcastId(query.cursor);
  const bot =
    query.bot ?? before?.bot ?? (await store.models.Bots.collection.find({}).sort({ _id: 1 }).limit(1).next())?.bot;
  if (bot === undefined) return { items: [] };
  const rows = (await store.models.Pages.collection
    .find({ bot, kind: 'broadcast', ...(before === undefined ? {} : { n: { $lt: before.n } }) }, { projection: FIELDS })
    .sort({ n: -1 })
    .limit(query.limit + 1)
    .toArray()) as unknown as PageRow[];
  const shown = rows.slice(0, query.limit);
  const last = shown.at(-1);
  return {
    items: await Promise.all(shown.map((page) => figures(store, page))),
    ...(rows.length > query.limit && last !== undefined ? { next: broadcastId(last.bot, last.n) } : {}),
  };
}

async function figures(store: Store, page: PageRow): Promise<BroadcastView> {
  const { bot, n } = page;
  const { row, sum } = await settled(store, bot, n);
  const known = row?.total ?? row?.estimate ?? (await estimated(store, page, row));
  const total = Math.max(known, tallied(sum));
  const remaining = total - tallied(sum);
  const rate = row?.state === 'running' ? row.ratePerSecond : 0;
  return {
    id: broadcastId(bot, n),
    ...(page.broadcast?.name === undefined ? {} : { name: page.broadcast.name }),
    state: row?.state ?? 'running',
    total,
    ...sum,
    remaining,
    ratePerSecond: rate,
    etaMs: remaining === 0 ? 0 : rate > 0 ? Math.round((remaining / rate) * 1000) : null,
    createdAt: page.at.toISOString(),
    startedAt: row?.startedAt?.toISOString() ?? null,
    ...(row?.finishedAt === undefined ? {} : { finishedAt: row.finishedAt.toISOString() }),
  };
}

/** Counts under way, by broadcast: who looks each second must not have a large audience counted several times at once. */
const counts = new WeakMap<Store, Map<string, Promise<number>>>();

/**
 * How many people the audience has now. It is counted when somebody looks, not by the owner, whom it would keep from the first call (a million people
 * take seconds); once the broadcast runs it is kept in its row.
 */
function estimated(store: Store, { bot, n, broadcast }: PageRow, row: BroadcastRow | undefined): Promise<number> {
  const underWay = counts.get(store) ?? new Map<string, Promise<number>>();
  counts.set(store, underWay);
  const id = broadcastId(bot, n);
  const count = async (): Promise<number> => {
    const audience = broadcast?.audience ?? { types: ['private'] };
    const estimate = await store.models.Chats.collection.countDocuments(audienceFilter(bot, audience));
    if (row?.startedAt === undefined) return estimate;
    await store.models.Broadcasts.collection
      .updateOne({ bot, n, estimate: { $exists: false } }, { $set: { estimate } })
      .catch(() => undefined); // a store that takes no writes now: who looks next counts again
    return estimate;
  };
  const known = underWay.get(id);
  if (known !== undefined) return known;
  const counting = count().finally(() => underWay.delete(id));
  underWay.set(id, counting);
  return counting;
}

/** The published sum plus the tallies of the pages from its first open one on; read again when the row moved meanwhile. */
async function settled(store: Store, bot: string, n: number) {
  for (;;) {
    const row =
      ((await store.models.Broadcasts.collection.findOne({ bot, n })) as unknown as BroadcastRow | null) ?? undefined;
    const results = (await store.models.Results.collection
      .find({ bot, n, k: { $gte: row?.k ?? 0 } }, { projection: { tally: 1 } })
      .toArray()) as unknown as ResultRow[];
    const again = (await store.models.Broadcasts.collection.findOne(
      { bot, n },
      { projection: { k: 1 } },
    )) as unknown as BroadcastRow | null;
    if ((again?.k ?? 0) !== (row?.k ?? 0)) continue;
    return { row, sum: results.reduce((all, result) => addTally(all, result.tally), row?.sum ?? emptyTally()) };
  }
}
