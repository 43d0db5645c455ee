import { type DeliveryPlace, deliveryId, parseDeliveryId } from '../delivery/ids.js';
import { CHUNK_ITEMS, headAt, resultAt, type StoredResult, type TallyCounts } from '../delivery/packed.js';
import type { BroadcastPageRow, OwnerRow, PageRow, ResultRow } from './models.js';
import { bytes, headCount } from './send-store.js';
import type { Store } from './store.js';

/** A delivery as GET /api/deliveries/:id shows it. Times are ISO 8601 UTC. */
export interface DeliveryView {
  readonly id: string;
  readonly botId: string;
  readonly chatId: number;
  readonly lane: string;
  readonly class: string;
  readonly state: DeliveryState;
  readonly attempts: number;
  readonly messageIds?: readonly number[];
  readonly error?: { readonly code: number; readonly description: string };
  readonly createdAt: string;
  readonly sentAt?: string;
}

/** How a delivery is shown: a stored state, or `attempting` for an at-most-once call that has begun. */
export type DeliveryState = StoredResult['state'] | 'attempting';

/** Which deliveries of a bot a walk is for: all that is given must hold. `broadcast` is a broadcast's page, `since` a time of acceptance. */
export interface DeliveryFilter {
  readonly bot: string;
  readonly broadcast?: number;
  readonly chatId?: number;
  readonly state?: DeliveryState;
  readonly since?: Date;
}

/** A step of a walk: what it found, how many deliveries it looked at, and the last of these, from which another walk goes on. */
export interface DeliveryStep {
  readonly found: readonly DeliveryView[];
  readonly looked: number;
  readonly last: DeliveryPlace;
}

/** Pages of the log, and of a broadcast, that a walk holds at once: it needs the same memory however long it is. */
const PAGES_AT_ONCE = 50;
const PARTS_AT_ONCE = 20;
/** Pages stand in the order of commit, and their times come from the clocks of several hosts: a walk by time goes on this far behind its end, ms. */
const CLOCKS_APART_MS = 300_000;
/** An outcome that is not stored yet. */
const NOT_SETTLED: StoredResult = { state: 'queued', attempts: 0, messageId: 0, at: 0 };

/** Finds a delivery by its id with point reads; undefined when there is none. Rejects with the driver's error while the store is away. */
export async function findDelivery(store: Pick<Store, 'models'>, id: string): Promise<DeliveryView | undefined> {
  const place = parseDeliveryId(id);
  if (place === undefined) return undefined;
  const { bot, n, k, index } = place;
  const page = (await store.models.Pages.collection.findOne(
    { bot, n },
    { projection: { n: 1, kind: 1, at: 1, heads: 1, broadcast: 1 } },
  )) as unknown as PageRow | null;
  if (page === null || (page.kind === 'broadcast') !== (k !== undefined)) return undefined;
  const part =
    k === undefined
      ? undefined
      : ((await store.models.BroadcastPages.collection.findOne({ bot, n, k })) as unknown as BroadcastPageRow | null);
  const run = part === undefined ? runOfPage(page) : part === null ? undefined : runOfPart(page, part);
  if (run === undefined || index >= run.count) return undefined;
  const results = await resultsOf(store, bot, n, [chunkOf(place)]);
  const mayBeBegun = resultIn(results, place).state === 'queued';
  return viewOf(bot, run, index, results, mayBeBegun ? await begunCalls(store, bot) : new Set());
}

/** The stored state of a delivery: `queued` while it is not settled, and for an id that names none. Rejects with the driver's error while the store is away. */
export async function settledState(store: Pick<Store, 'models'>, id: string): Promise<StoredResult['state']> {
  const place = parseDeliveryId(id);
  if (place === undefined) return 'queued';
  const rows = await resultsOf(store, place.bot, place.n, [chunkOf(place)]);
  return resultIn(rows, place).state;
}

/**
 * Walks the deliveries of a bot, the newest first: by descending page, in a broadcast by descending page of its audience. `before` is a place to go on behind.
 * Steps without findings are told too, so that a caller can bound its work. Rejects with the driver's error while the store is away.
 */
export async function* walkDeliveries(
  store: Pick<Store, 'models'>,
  filter: DeliveryFilter,
  before?: DeliveryPlace,
): AsyncGenerator<DeliveryStep> {
  const { bot, broadcast, since } = filter;
  const begun = await begunCalls(store, bot);
  const projection = { n: 1, kind: 1, at: 1, heads: 1, broadcast: 1 };
  const pages = store.models.Pages.collection;
  if (broadcast !== undefined) {
    const page = await pages.findOne({ bot, n: broadcast, kind: 'broadcast' }, { projection });
    if (page !== null) yield* partsOf(store, filter, page as unknown as PageRow, begun, before);
    return;
  }
  let upTo = before?.n ?? Number.MAX_SAFE_INTEGER;
  for (;;) {
    const found = (await pages
      .find({ bot, n: { $lte: upTo } }, { projection })
      .sort({ n: -1 })
      .limit(PAGES_AT_ONCE)
      .toArray()) as unknown as PageRow[];
    const results = await resultsOfPages(store, filter, found);
    for (const page of found) {
      if (since !== undefined && page.at.getTime() < since.getTime() - CLOCKS_APART_MS) return;
      const rest = page.n === before?.n ? before : undefined;
      if (since !== undefined && page.at < since) continue;
      if (page.kind === 'broadcast') yield* partsOf(store, filter, page, begun, rest);
      else yield stepOf(filter, runOfPage(page), results.get(page.n) ?? new Map(), begun, rest?.index);
    }
    const last = found.at(-1);
    if (found.length < PAGES_AT_ONCE || last === undefined) return;
    upTo = last.n - 1;
  }
}

/** Items that lie side by side: those of a page of messages, or of one page of a broadcast's audience. */
interface Run {
  readonly n: number;
  readonly k: number | undefined;
  readonly at: Date;
  readonly count: number;
  item(index: number): { readonly chatId: number; readonly lane: string; readonly class: string };
}

/** Rows of results of one page by their `k`. */
type Results = ReadonlyMap<number, ResultRow>;

function runOfPage({ n, at, heads }: PageRow): Run {
  const packed = bytes(heads);
  return { n, k: undefined, at, count: headCount(packed), item: (index) => headAt(packed, index) };
}

function runOfPart({ n, at, broadcast }: PageRow, { k, chats }: BroadcastPageRow): Run {
  const packed = bytes(chats);
  const { lane, class: klass } = broadcast ?? { lane: 'bulk', class: 'at-least-once' };
  const item = (index: number) => ({ chatId: packed.readDoubleLE(index * 8), lane, class: klass });
  return { n, k, at, count: packed.length / 8, item };
}

async function* partsOf(
  store: Pick<Store, 'models'>,
  filter: DeliveryFilter,
  page: PageRow,
  begun: ReadonlySet<string>,
  before: DeliveryPlace | undefined,
): AsyncGenerator<DeliveryStep> {
  const { bot } = filter;
  const { n } = page;
  let upTo = before?.k ?? Number.MAX_SAFE_INTEGER;
  for (;;) {
    const parts = (await store.models.BroadcastPages.collection
      .find({ bot, n, k: { $lte: upTo } }, { projection: { k: 1, chats: 1 } })
      .sort({ k: -1 })
      .limit(PARTS_AT_ONCE)
      .toArray()) as unknown as BroadcastPageRow[];
    const runs = parts.map((part) => runOfPart(page, part));
    const wanted = runs.filter((run) => mayFit(filter, run)).map(({ k = 0 }) => k);
    const results = wanted.length === 0 ? new Map() : await resultsOf(store, bot, n, wanted);
    for (const run of runs) yield stepOf(filter, run, results, begun, run.k === before?.k ? before?.index : undefined);
    const last = parts.at(-1);
    if (parts.length < PARTS_AT_ONCE || last === undefined) return;
    upTo = last.k - 1;
  }
}

function mayFit({ chatId }: DeliveryFilter, run: Run): boolean {
  if (chatId === undefined) return true;
  for (let index = 0; index < run.count; index += 1) if (run.item(index).chatId === chatId) return true;
  return false;
}

function stepOf(
  filter: DeliveryFilter,
  run: Run,
  results: Results,
  begun: ReadonlySet<string>,
  before = run.count,
): DeliveryStep {
  const { bot, chatId, state } = filter;
  const found: DeliveryView[] = [];
  for (let index = Math.min(before, run.count) - 1; index >= 0; index -= 1) {
    if (chatId !== undefined && run.item(index).chatId !== chatId) continue;
    if (state !== undefined && isNone(state, results.get(chunkOf({ k: run.k, index })))) continue;
    const shown = viewOf(bot, run, index, results, begun);
    if (state === undefined || shown.state === state) found.push(shown);
  }
  return { found, looked: run.count, last: placeIn(bot, run, 0) };
}

/** True when the row's tally says that none of its items is in this state. */
function isNone(state: DeliveryState, row: ResultRow | undefined): boolean {
  if (state === 'queued' || state === 'attempting') return false;
  return (row?.tally as TallyCounts | undefined)?.[state] === undefined || row?.tally[state] === 0;
}

function placeIn(bot: string, { n, k }: Pick<Run, 'n' | 'k'>, index: number): DeliveryPlace {
  return { bot, n, ...(k === undefined ? {} : { k }), index };
}

/** Where the outcome of an item is: the row's `k` of `results`. */
const chunkOf = ({ k, index }: { readonly k?: number | undefined; readonly index: number }): number =>
  k ?? Math.floor(index / CHUNK_ITEMS);

function resultIn(rows: Results, place: { readonly k?: number | undefined; readonly index: number }): StoredResult {
  const row = rows.get(chunkOf(place));
  if (row === undefined) return NOT_SETTLED;
  return resultAt(bytes(row.items), place.k === undefined ? place.index % CHUNK_ITEMS : place.index);
}

function viewOf(bot: string, run: Run, index: number, rows: Results, begun: ReadonlySet<string>): DeliveryView {
  const place = placeIn(bot, run, index);
  const id = deliveryId(place);
  const { chatId, lane, class: klass } = run.item(index);
  const result = resultIn(rows, place);
  const within = run.k === undefined ? index % CHUNK_ITEMS : index;
  const row = rows.get(chunkOf(place));
  const error = row?.rest?.[String(within)];
  const parts = row?.parts?.[String(within)] ?? [];
  const messageIds = result.state === 'sent' ? [...parts, result.messageId] : parts;
  const isUnderWay = result.state === 'queued' && (parts.length > 0 || begun.has(id));
  return {
    id,
    botId: bot,
    chatId,
    lane,
    class: klass,
    state: isUnderWay ? 'attempting' : result.state,
    attempts: result.attempts,
    ...(messageIds.length > 0 ? { messageIds } : {}),
    ...(result.state === 'sent' ? { sentAt: new Date(result.at).toISOString() } : {}),
    ...(error === undefined ? {} : { error: { code: error.code, description: error.description } }),
    createdAt: run.at.toISOString(),
  };
}

async function resultsOf(
  store: Pick<Store, 'models'>,
  bot: string,
  n: number,
  chunks: readonly number[],
): Promise<Results> {
  const [k] = chunks;
  const { collection } = store.models.Results;
  const rows =
    chunks.length === 1 && k !== undefined
      ? [await collection.findOne({ bot, n, k })]
      : await collection.find({ bot, n, k: { $in: [...chunks] } }).toArray();
  return new Map((rows as unknown as (ResultRow | null)[]).flatMap((row) => (row === null ? [] : [[row.k, row]])));
}

/** The results of those pages of messages that may hold what is looked for. */
async function resultsOfPages(
  store: Pick<Store, 'models'>,
  filter: DeliveryFilter,
  pages: readonly PageRow[],
): Promise<ReadonlyMap<number, Results>> {
  const wanted = pages.filter((page) => page.kind === 'messages' && mayFit(filter, runOfPage(page)));
  const byPage = new Map<number, Map<number, ResultRow>>();
  if (wanted.length === 0) return byPage;
  const rows = (await store.models.Results.collection
    .find({ bot: filter.bot, n: { $in: wanted.map(({ n }) => n) } })
    .toArray()) as unknown as ResultRow[];
  for (const row of rows) {
    const known = byPage.get(row.n) ?? new Map<number, ResultRow>();
    byPage.set(row.n, known.set(row.k, row));
  }
  return byPage;
}

/** Only at-most-once calls are written down before they are made; the others are in the store as queued until they are settled. */
async function begunCalls(store: Pick<Store, 'models'>, bot: string): Promise<ReadonlySet<string>> {
  const owner = (await store.models.Owners.collection.findOne(
    { bot, part: 'send' },
    { projection: { begun: 1 } },
  )) as unknown as OwnerRow | null;
  // Of a message in parts the key names the part: `<id>.<part>`.
  return new Set((owner?.begun ?? []).map((key) => key.split('.', 1).join('')));
}
