import type { RawValue } from '../bson/raw-value.js';
import { StoreError } from '../errors.js';
import type { Filter } from '../query/filter.js';
import { planQuery } from '../query/plan.js';
import { compareSortKeys, type SortPart, sortKey } from '../query/sort.js';
import type { Collection } from '../storage/catalog.js';
import { openScan } from '../storage/scan.js';
import type { Store } from './context.js';
import type { TimeLimit } from './time-limit.js';

/** What is asked of a collection. */
export interface Query {
  readonly filter: Filter;
  readonly sort: readonly SortPart[];
  readonly skip: number;
  /** 0: none. */
  readonly limit: number;
  readonly hint?: string | undefined;
  readonly time?: TimeLimit | undefined;
}

/** Documents one after another, in pieces. */
export interface Source {
  /** Up to `max` documents and about `maxBytes`; fewer means that there are no more. */
  pull(max: number, maxBytes: number): Promise<RawValue[]>;
  /** A document that was pulled but did not fit, to come first next time. */
  ended(): boolean;
}

const SLICE_MS = 8;
const MAX_SORT_BYTES = 100 * 1024 * 1024; // as MongoDB's

/** Gives the event loop a turn. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Sortable {
  readonly key: readonly RawValue[];
  readonly document: RawValue;
  readonly record: number;
}

/** A list that is sorted while it fills and keeps no more than `keep` (0: all). Ties stay in the order of records. */
export function sortedList(
  parts: readonly SortPart[],
  keep: number,
): { add(record: number, document: RawValue): void; take(): Sortable[] } {
  let list: Sortable[] = [];
  let bytes = 0;
  const order = (a: Sortable, b: Sortable): number => compareSortKeys(a.key, b.key, parts) || a.record - b.record;
  return {
    add(record, document) {
      list.push({ key: sortKey(document, parts), document, record });
      bytes += document.end - document.start;
      if (keep > 0 && list.length > keep * 2 + 256) {
        list = list.sort(order).slice(0, keep);
        bytes = list.reduce((sum, one) => sum + one.document.end - one.document.start, 0);
      }
      if (bytes > MAX_SORT_BYTES) {
        throw new StoreError(
          292,
          'QueryExceededMemoryLimitNoDiskUseAllowed',
          'Sort exceeded memory limit of 104857600 bytes: an index in this order is needed',
        );
      }
    },
    take: () => (keep > 0 ? list.sort(order).slice(0, keep) : list.sort(order)),
  };
}

/** Documents from an array, in pieces. Never rejects. */
export function arraySource(list: readonly RawValue[]): Source {
  let at = 0;
  return {
    pull(max, maxBytes) {
      const batch: RawValue[] = [];
      let bytes = 0;
      while (at < list.length && batch.length < max) {
        const document = list[at] as RawValue;
        bytes += document.end - document.start;
        if (bytes > maxBytes && batch.length > 0) break;
        batch.push(document);
        at++;
      }
      return Promise.resolve(batch);
    },
    ended: () => at >= list.length,
  };
}

/** Runs a query: by index order where there is one, else sorted in memory. `pull` rejects with 50, 175 or 292. */
export function openQuery(store: Store, collection: Collection, query: Query): Source {
  const plan = planQuery(collection, query.filter, query.sort, query.hint);
  const scan = openScan(store.engine, store.catalog, collection, plan);
  let skip = query.skip;
  let left = query.limit === 0 ? Number.POSITIVE_INFINITY : query.limit;
  let done = false;
  let sorted: Source | undefined;
  let carried: RawValue | undefined;
  // Of several pulls together, with what is done between them: a stage that pulls a few at a time would else never give way.
  const nextEnd = (): number => Math.min(performance.now() + SLICE_MS, query.time?.end() ?? Number.POSITIVE_INFINITY);
  let end = nextEnd();

  async function each(visit: (record: number, document: RawValue) => boolean): Promise<void> {
    for (;;) {
      if (performance.now() >= end) {
        query.time?.check();
        await breathe();
        end = nextEnd();
      }
      const state = scan.next(
        (record, document) => query.filter.matches(document) && visit(record, document),
        () => performance.now() >= end,
      );
      if (state === 'end') done = true;
      if (state !== 'later') return;
    }
  }

  async function sortAll(): Promise<Source> {
    const list = sortedList(query.sort, query.limit === 0 ? 0 : query.limit + query.skip);
    await each((record, document) => {
      list.add(record, document);
      return false;
    });
    return arraySource(
      list
        .take()
        .slice(query.skip)
        .map(({ document }) => document),
    );
  }

  return {
    ended: () => sorted?.ended() ?? (carried === undefined && (done || left === 0)),
    async pull(max, maxBytes) {
      if (!plan.sorted) {
        sorted ??= await sortAll();
        return await sorted.pull(max, maxBytes);
      }
      const batch: RawValue[] = [];
      let bytes = 0;
      if (carried !== undefined) {
        batch.push(carried);
        bytes = carried.end - carried.start;
        carried = undefined;
      }
      if (batch.length >= max || bytes >= maxBytes || left === 0 || done) return batch;
      await each((_record, document) => {
        if (skip > 0) {
          skip--;
          return false;
        }
        left--;
        bytes += document.end - document.start;
        if (bytes > maxBytes && batch.length > 0) {
          carried = document;
          return true;
        }
        batch.push(document);
        return batch.length >= max || left === 0;
      });
      return batch;
    },
  };
}
