import { Binary, ObjectId } from 'mongodb';
import { deliveryId } from '../delivery/ids.js';
import type { Log } from '../log.js';
import { isFull } from './failure.js';
import type { BodyRow, PageRow, RequestRow } from './models.js';
import {
  type AppendRequest,
  type Composed,
  compose,
  type Draft,
  dedupEntry,
  expandIds,
  idsByDraft,
  keysOf,
  type Place,
  type Waiting,
} from './page-compose.js';
import { duplicateKey, isConnectionError, type Store, StoreError } from './store.js';
/** A page as it was just appended by this process. */
export interface AppendedPage {
  readonly bot: string;
  readonly n: number;
  readonly kind: 'messages' | 'broadcast';
  readonly heads: Buffer;
  readonly bodies: readonly BodyRow[];
}

/** The log of pages of every bot, as this process appends to it. */
export interface PageLog {
  /** Appends; resolves with the ids once the page is durable. Throws StoreError. */
  append(bot: string, request: AppendRequest): Promise<{ ids: string[] }>;
  /** Calls `listener` after each acknowledged append of this process; returns how to stop. */
  onAppended(listener: (page: AppendedPage) => void): () => void;
}

/** Bounds of sharing one page between requests that wait; a single request is never spread, so it may be larger. */
const SHARED_MESSAGES = 1_000;
const SHARED_BYTES = 4 * 1_048_576;
/** A page must stay below MongoDB's 16 MiB a document. */
const PAGE_BYTES = 15.5 * 1_048_576;
/** How long an append is tried while the store is away, before the caller gets 503, ms. */
const AWAY_MS = 5_000;
const RETRY_MS = 100;

interface Queue {
  waiting: Waiting[];
  running: boolean;
  tail: number | undefined;
}

/** Makes the page log of this process. `clock` gives wall time for `at` and deadlines. */
export function pageLog(
  store: Store,
  clock: { wallNow(): number; setTimer(delayMs: number, run: () => void): () => void },
  log: Log,
): PageLog {
  const queues = new Map<string, Queue>();
  const listeners = new Set<(page: AppendedPage) => void>();
  const pages = store.models.Pages.collection;

  async function run(bot: string, queue: Queue): Promise<void> {
    queue.running = true;
    while (queue.waiting.length > 0) {
      const batch = takeBatch(queue);
      try {
        await appendBatch(bot, queue, batch);
      } catch (error) {
        queue.tail = undefined;
        const refusal = asStoreError(error);
        if (!(refusal instanceof StoreError)) log.error({ bot, error: String(error) }, 'append failed');
        for (const waiting of batch) waiting.reject(refusal);
      }
    }
    queue.running = false;
  }

  async function appendBatch(bot: string, queue: Queue, batch: readonly Waiting[]): Promise<void> {
    let drafts: Draft[] = batch.map((waiting) => ({ waiting, answered: waiting.request.heads.map(() => undefined) }));
    const id = new ObjectId();
    for (;;) {
      drafts = settleEqualRequests(drafts);
      const page = compose(drafts);
      if (page === undefined) {
        answer(bot, 0, drafts, []);
        return;
      }
      const deadline = Math.min(...drafts.map((draft) => draft.waiting.since)) + AWAY_MS;
      const n = (queue.tail ?? (await patiently(deadline, () => readTail(bot)))) + 1;
      const outcome = await insert(bot, n, id, page, deadline);
      if (outcome === 'inserted') {
        queue.tail = n;
        for (const listener of listeners) listener({ bot, n, kind: page.kind, heads: page.heads, bodies: page.bodies });
        answer(bot, n, drafts, page.places);
        return;
      }
      queue.tail = undefined;
      if (outcome === 'keys') drafts = await settleKnownKeys(bot, drafts, deadline);
    }
  }

  async function insert(
    bot: string,
    n: number,
    id: ObjectId,
    page: Composed,
    deadline: number,
  ): Promise<'inserted' | 'taken' | 'keys'> {
    const { heads, bodies, kind } = page;
    const row = {
      _id: id,
      bot,
      n,
      kind,
      at: new Date(clock.wallNow()),
      heads: new Binary(heads),
      bodies,
      ...(page.broadcast === undefined ? {} : { broadcast: page.broadcast }),
      ...(page.keys.length === 0 ? {} : { keys: page.keys, keyItems: page.keyItems }),
      ...(page.requests.length === 0 ? {} : { requests: page.requests }),
      ...(page.places.length === 0 && kind === 'messages'
        ? { closedAt: new Date(clock.wallNow()) }
        : { open: true as const }),
    };
    for (;;) {
      try {
        await pages.insertOne(row as never);
        return 'inserted';
      } catch (error) {
        const duplicate = duplicateKey(error);
        if (duplicate !== undefined) {
          if ('_id' in duplicate.keyPattern) return 'inserted'; // our own earlier try had arrived
          const there = await patiently(deadline, () => pages.findOne({ bot, n }, { projection: { _id: 1 } }));
          if (there?._id.equals(id)) return 'inserted';
          return 'keys' in duplicate.keyPattern ? 'keys' : 'taken';
        }
        if (!isConnectionError(error) || clock.wallNow() >= deadline) throw error;
        await pause();
      }
    }
  }

  /** Takes out what the log has already: whole requests by `b:` and once keys, items by `d:`. */
  async function settleKnownKeys(bot: string, drafts: readonly Draft[], deadline: number): Promise<Draft[]> {
    const wanted = drafts.flatMap((draft) => keysOf(draft).map(({ key }) => key));
    const found = new Map<string, { n: number; item: number; request?: RequestRow }>();
    const rows = await patiently(deadline, () =>
      pages.find({ bot, keys: { $in: wanted } }, { projection: { n: 1, keys: 1, keyItems: 1, requests: 1 } }).toArray(),
    );
    for (const row of rows as unknown as PageRow[]) {
      row.keys?.forEach((key, index) => {
        const request = row.requests?.find((one) => `b:${one.key}` === key);
        found.set(key, {
          n: row.n,
          item: row.keyItems?.[index] ?? -1,
          ...(request === undefined ? {} : { request }),
        });
      });
    }
    if (!wanted.some((key) => found.has(key))) {
      // Refused by the index and not yet visible to a majority read, or pruned meanwhile: the insert is tried again.
      if (clock.wallNow() >= deadline) throw new StoreError('PH_STORE_AWAY', 'the store does not settle its writes', 1);
      await pause();
    }
    const left: Draft[] = [];
    for (const draft of drafts) {
      const { request, resolve, reject } = draft.waiting;
      const once = request.onceKey === undefined ? undefined : found.get(request.onceKey);
      const known = request.idempotency === undefined ? undefined : found.get(`b:${request.idempotency.key}`);
      if (known?.request !== undefined) {
        if (known.request.hash === request.idempotency?.bodyHash)
          resolve({ ids: expandIds(bot, known.n, known.request, request) });
        else reject(conflict());
      } else if (once !== undefined) {
        resolve({ ids: once.item < 0 ? [] : [deliveryId({ bot, n: once.n, index: once.item })] });
      } else {
        request.heads.forEach((head, index) => {
          const key = request.dedupKeys?.[index];
          const place = key === undefined ? undefined : found.get(dedupEntry(head.chatId, key));
          if (place !== undefined) draft.answered[index] = deliveryId({ bot, n: place.n, index: place.item });
        });
        left.push(draft);
      }
    }
    return left;
  }

  function answer(bot: string, n: number, drafts: readonly Draft[], places: readonly Place[]): void {
    const ids = idsByDraft(bot, n, drafts, places);
    drafts.forEach((draft, index) => {
      draft.waiting.resolve({ ids: ids[index] ?? [] });
    });
  }

  async function readTail(bot: string): Promise<number> {
    const row = await pages
      .find({ bot }, { projection: { n: 1 } })
      .sort({ n: -1 })
      .limit(1)
      .next();
    return (row as unknown as { n: number } | null)?.n ?? 0;
  }

  async function patiently<T>(deadline: number, read: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await read();
      } catch (error) {
        if (!isConnectionError(error) || clock.wallNow() >= deadline) throw error;
        await pause();
      }
    }
  }

  const pause = () =>
    new Promise<void>((resolve) => {
      clock.setTimer(RETRY_MS, resolve);
    });

  return {
    append(bot, request) {
      return new Promise((resolve, reject) => {
        const bytes = sizeOf(request);
        if (bytes > PAGE_BYTES) {
          reject(
            new StoreError(
              'PH_PAGE_TOO_LARGE',
              `the request needs ${bytes} bytes in the store; one request may need ${PAGE_BYTES}`,
            ),
          );
          return;
        }
        let queue = queues.get(bot);
        if (queue === undefined) {
          queue = { waiting: [], running: false, tail: undefined };
          queues.set(bot, queue);
        }
        queue.waiting.push({ request, bytes, since: clock.wallNow(), resolve, reject });
        if (!queue.running) void run(bot, queue);
      });
    },
    onAppended(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const conflict = (): StoreError =>
  new StoreError('PH_IDEMPOTENCY_CONFLICT', 'this Idempotency-Key was used with another body');

function asStoreError(error: unknown): unknown {
  if (isConnectionError(error)) return new StoreError('PH_STORE_AWAY', 'the store cannot be reached', 1);
  if (isFull(error)) return new StoreError('PH_STORE_FULL', 'the store takes no writes: it is full', 30);
  return error;
}

/** Rough size in the store, bytes: bodies in UTF-8, 16 an item, keys. */
function sizeOf(request: AppendRequest): number {
  let bytes = 512 + request.heads.length * 16;
  for (const body of request.bodies) bytes += Buffer.byteLength(body.text) + 64;
  for (const key of request.dedupKeys ?? []) bytes += key === undefined ? 0 : Buffer.byteLength(key) + 48;
  return bytes;
}

/** Takes the requests that may share the next page; a broadcast and a large request travel alone. Of one Idempotency-Key with two bodies the second waits: which holds, the log says. */
function takeBatch(queue: Queue): Waiting[] {
  const hashes = new Map<string, string>();
  let messages = 0;
  let bytes = 0;
  let count = 0;
  for (const waiting of queue.waiting) {
    const { broadcast, idempotency } = waiting.request;
    const alone = broadcast !== undefined;
    if (idempotency !== undefined) {
      const hash = hashes.get(idempotency.key) ?? idempotency.bodyHash;
      if (hash !== idempotency.bodyHash) break;
      hashes.set(idempotency.key, hash);
    }
    messages += waiting.request.heads.length;
    bytes += waiting.bytes;
    if (count > 0 && (alone || messages > SHARED_MESSAGES || bytes > SHARED_BYTES)) break;
    count += 1;
    if (alone) break;
  }
  return queue.waiting.splice(0, count);
}

/** Equal keys that wait for one page are settled here: a unique index on an array does not compare within a document. */
function settleEqualRequests(drafts: readonly Draft[]): Draft[] {
  const first = new Map<string, Draft>();
  const left: Draft[] = [];
  for (const draft of drafts) {
    const { idempotency, onceKey } = draft.waiting.request;
    const key = idempotency === undefined ? onceKey : `b:${idempotency.key}`;
    const earlier = key === undefined ? undefined : first.get(key);
    if (key !== undefined && earlier === undefined) first.set(key, draft);
    if (earlier === undefined) left.push(draft);
    else chain(earlier.waiting, draft.waiting);
  }
  return left;
}

/** Lets `follower` have whatever answer `leader` gets. */
function chain(leader: Waiting, follower: Waiting): void {
  const { resolve, reject } = leader;
  leader.resolve = (answer) => {
    resolve(answer);
    follower.resolve(answer);
  };
  leader.reject = (error) => {
    reject(error);
    follower.reject(error);
  };
}
