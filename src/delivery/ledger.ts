import { deliveryId } from './ids.js';
import {
  addTally,
  CHUNK_ITEMS,
  emptyTally,
  type FinalState,
  RESULT_BYTES,
  resultAt,
  type TallyCounts,
  writeResult,
} from './packed.js';

/** A page whose items are not all settled: a page of messages (`k` absent) or page `k` of a broadcast. */
export interface OpenPage {
  /** The handle by which mailboxes name this page; never reused while it is open. */
  readonly source: number;
  readonly n: number;
  readonly k: number | undefined;
  readonly count: number;
}

/** One row of results as it has to be written: absolute, whole. */
export interface ResultWrite {
  readonly n: number;
  readonly k: number;
  readonly items: Buffer;
  readonly left: number;
  readonly tally: TallyCounts;
  readonly rest: Record<string, { code: number; description: string }>;
  /** By item in the row: the message ids of its parts that were sent before the last one. */
  readonly parts: Record<string, readonly number[]>;
  /** How many ids `parts` holds. */
  readonly steps: number;
}

/** How an item ended. `at` is epoch ms; `messageId` 0 when there is none. */
export interface ItemEnd {
  readonly state: FinalState;
  readonly attempts: number;
  readonly messageId: number;
  readonly at: number;
  readonly error?: { readonly code: number; readonly description: string };
}

/** A row of results as it was read. */
export interface KnownResult {
  readonly k: number;
  readonly items: Buffer;
  readonly rest?: Record<string, { code: number; description: string }>;
  readonly parts?: Record<string, readonly number[]>;
  readonly tally: TallyCounts;
}

interface Chunk {
  items: Buffer;
  left: number;
  tally: TallyCounts;
  rest: Record<string, { code: number; description: string }>;
  parts: Record<string, readonly number[]>;
  steps: number;
}

interface Entry extends OpenPage {
  readonly chunks: (Chunk | undefined)[];
  left: number;
  /** Items whose end is durable. */
  durable: number;
}

/** What a commit takes along. `ends` are the items whose end becomes durable with it, `steps` those of which a part does. */
export interface LedgerBatch {
  readonly writes: readonly ResultWrite[];
  readonly ends: readonly { readonly source: number; readonly index: number }[];
  readonly steps: readonly { readonly source: number; readonly index: number }[];
}

/**
 * The outcomes of the open pages of one bot in memory: what is settled, what has to be written, which pages can be closed.
 * Pure. An item is settled once; later ends of it are ignored, so that a repeated report does no harm.
 */
export interface Ledger {
  /** Unsettled items of pages of messages. */
  readonly waiting: number;
  open(n: number, k: number | undefined, count: number, known: readonly KnownResult[]): OpenPage;
  page(source: number): OpenPage | undefined;
  find(n: number, k: number | undefined): OpenPage | undefined;
  pages(): IterableIterator<OpenPage>;
  isSettled(source: number, index: number): boolean;
  /** False when the page is closed or the item settled already. */
  settle(source: number, index: number, end: ItemEnd): boolean;
  /** Part `part` (from 0) of an item is sent, and not the last. False when the page is closed, the item is settled, or the part was told before. */
  step(source: number, index: number, part: number, messageId: number): boolean;
  /** The message ids of an item's parts that were sent before its last one. */
  parts(source: number, index: number): readonly number[];
  /** True when there is something to write. */
  readonly dirty: boolean;
  /** What was settled since the last call, as whole rows; copies, so that later ends do not leak into a write under way. */
  take(): LedgerBatch;
  /** The batch is durable; returns the pages that are whole by it. They are no longer open. */
  written(batch: LedgerBatch): OpenPage[];
  /** Forgets a page that needs no write: all of it was settled before. */
  drop(source: number): void;
  /** What counts of a page: by state. */
  tally(source: number): TallyCounts;
  left(source: number): number;
  /** The delivery id of an item. */
  id(bot: string, source: number, index: number): string;
}

/** Makes an empty ledger; `nextSource` gives handles that were never given before, so that a late word of an earlier ledger hits nothing. */
export function ledger(nextSource: () => number): Ledger {
  const entries = new Map<number, Entry>();
  const byPlace = new Map<string, Entry>();
  const dirty = new Map<string, { entry: Entry; chunk: number; indexes: number[]; steps: number[] }>();
  let waiting = 0;

  const sizeOf = (entry: OpenPage, chunk: number) =>
    entry.k === undefined ? Math.min(CHUNK_ITEMS, entry.count - chunk * CHUNK_ITEMS) : entry.count;
  const chunkOf = (entry: OpenPage, index: number) => (entry.k === undefined ? Math.floor(index / CHUNK_ITEMS) : 0);
  const within = (entry: OpenPage, index: number) => (entry.k === undefined ? index % CHUNK_ITEMS : index);
  const place = (n: number, k: number | undefined) => `${n}/${k ?? ''}`;

  function chunkAt(entry: Entry, number: number): Chunk {
    let chunk = entry.chunks[number];
    if (chunk === undefined) {
      const size = sizeOf(entry, number);
      chunk = {
        items: Buffer.alloc(size * RESULT_BYTES),
        left: size,
        tally: emptyTally(),
        rest: {},
        parts: {},
        steps: 0,
      };
      entry.chunks[number] = chunk;
    }
    return chunk;
  }

  function markOf(entry: Entry, number: number): { indexes: number[]; steps: number[] } {
    const key = `${entry.source}/${number}`;
    let mark = dirty.get(key);
    if (mark === undefined) {
      mark = { entry, chunk: number, indexes: [], steps: [] };
      dirty.set(key, mark);
    }
    return mark;
  }

  function partsOf(source: number, index: number): readonly number[] {
    const entry = entries.get(source);
    return entry?.chunks[chunkOf(entry, index)]?.parts[String(within(entry, index))] ?? [];
  }

  function isSettled(source: number, index: number): boolean {
    const entry = entries.get(source);
    if (entry === undefined) return true;
    const chunk = entry.chunks[chunkOf(entry, index)];
    return chunk !== undefined && resultAt(chunk.items, within(entry, index)).state !== 'queued';
  }

  return {
    get waiting() {
      return waiting;
    },
    open(n, k, count, known) {
      const entry: Entry = { source: nextSource(), n, k, count, chunks: [], left: count, durable: 0 };
      for (const row of known) {
        const chunk = chunkAt(entry, k === undefined ? row.k : 0);
        row.items.copy(chunk.items);
        chunk.rest = { ...row.rest };
        chunk.parts = { ...row.parts };
        chunk.steps = Object.values(chunk.parts).reduce((sum, ids) => sum + ids.length, 0);
        for (let i = 0; i < chunk.items.length / RESULT_BYTES; i += 1) {
          const { state } = resultAt(chunk.items, i);
          if (state === 'queued') continue;
          chunk.tally[state] += 1;
          chunk.left -= 1;
          entry.left -= 1;
          entry.durable += 1;
        }
      }
      entries.set(entry.source, entry);
      byPlace.set(place(n, k), entry);
      if (k === undefined) waiting += entry.left;
      return entry;
    },
    page: (source) => entries.get(source),
    find: (n, k) => byPlace.get(place(n, k)),
    pages: () => entries.values(),
    isSettled,
    settle(source, index, end) {
      const entry = entries.get(source);
      if (entry === undefined || index >= entry.count || isSettled(source, index)) return false;
      const number = chunkOf(entry, index);
      const chunk = chunkAt(entry, number);
      const at = within(entry, index);
      writeResult(chunk.items, at, end);
      if (end.error !== undefined) chunk.rest[String(at)] = { ...end.error };
      chunk.left -= 1;
      chunk.tally[end.state] += 1;
      entry.left -= 1;
      if (entry.k === undefined) waiting -= 1;
      markOf(entry, number).indexes.push(index);
      return true;
    },
    step(source, index, part, messageId) {
      const entry = entries.get(source);
      const known = partsOf(source, index);
      if (entry === undefined || isSettled(source, index) || known.length !== part) return false;
      const number = chunkOf(entry, index);
      const chunk = chunkAt(entry, number);
      chunk.parts[String(within(entry, index))] = [...known, messageId];
      chunk.steps += 1;
      markOf(entry, number).steps.push(index);
      return true;
    },
    parts: partsOf,
    get dirty() {
      return dirty.size > 0;
    },
    take() {
      const writes: ResultWrite[] = [];
      const ends: { source: number; index: number }[] = [];
      const done: { source: number; index: number }[] = [];
      for (const { entry, chunk: number, indexes, steps } of dirty.values()) {
        const chunk = chunkAt(entry, number);
        writes.push({
          n: entry.n,
          k: entry.k ?? number,
          items: Buffer.from(chunk.items),
          left: chunk.left,
          tally: { ...chunk.tally },
          rest: { ...chunk.rest },
          parts: { ...chunk.parts },
          steps: chunk.steps,
        });
        for (const index of steps) done.push({ source: entry.source, index });
        for (const index of indexes) ends.push({ source: entry.source, index });
      }
      dirty.clear();
      return { writes, ends, steps: done };
    },
    written(batch) {
      const whole: OpenPage[] = [];
      for (const { source } of batch.ends) {
        const entry = entries.get(source);
        if (entry === undefined) continue;
        entry.durable += 1;
        if (entry.durable === entry.count) whole.push(entry);
      }
      for (const page of whole) {
        entries.delete(page.source);
        byPlace.delete(place(page.n, page.k));
      }
      return whole;
    },
    drop(source) {
      const entry = entries.get(source);
      if (entry === undefined) return;
      entries.delete(source);
      byPlace.delete(place(entry.n, entry.k));
    },
    tally: (source) =>
      (entries.get(source)?.chunks ?? []).reduce<TallyCounts>(
        (sum, chunk) => (chunk === undefined ? sum : addTally(sum, chunk.tally)),
        emptyTally(),
      ),
    left: (source) => entries.get(source)?.left ?? 0,
    id(bot, source, index) {
      const entry = entries.get(source);
      return deliveryId({ bot, n: entry?.n ?? 0, ...(entry?.k === undefined ? {} : { k: entry.k }), index });
    },
  };
}
