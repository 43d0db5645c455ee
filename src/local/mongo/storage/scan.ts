import { type RawValue, rawDocument } from '../bson/raw-value.js';
import { StoreError } from '../errors.js';
import type { Plan } from '../query/plan.js';
import type { Catalog, Collection } from './catalog.js';
import type { Engine } from './engine.js';
import { recordKey } from './index-key.js';
import { recordSet } from './record-set.js';

/** A read of a collection that can be left and taken up again, in another transaction too: it keeps its place by keys, no open cursor. */
export interface Scan {
  /** Goes on until `visit` returns true ('stopped'), the time is out ('later') or there is no more ('end'). `visit` must not write. */
  next(visit: (record: number, document: RawValue) => boolean, outOfTime: () => boolean): 'stopped' | 'later' | 'end';
}

/** A document where it is stored. */
export interface Found {
  readonly record: number;
  readonly document: RawValue;
}

/** Documents that were read together, and how the scan stands after them, as its `next` says. */
export interface Ahead {
  readonly found: readonly Found[];
  readonly state: ReturnType<Scan['next']>;
}

// Read together before they are changed: one cursor serves them all, and they are still changed within one piece.
const AHEAD = 64;
const AHEAD_BYTES = 256 * 1024;

const CHECK_EVERY = 32; // rows between two looks at the clock

/** The collection of that name if it is still the same one. Throws QueryPlanKilled (175) when it was dropped meanwhile. */
export function sameCollection(catalog: Catalog, collection: Collection): Collection {
  const now = catalog.find(collection.namespace);
  if (now?.id !== collection.id) {
    throw new StoreError(175, 'QueryPlanKilled', `collection dropped: ${collection.namespace}`);
  }
  return now;
}

/** Goes on with a scan until `most` documents were accepted, or 64, or 256 KiB of them. They are to be changed in this very transaction: in a later one they may be others.
 * Throws as the scan does. */
export function readAhead(
  scan: Scan,
  accepts: (document: RawValue) => boolean,
  outOfTime: () => boolean,
  most = AHEAD,
): Ahead {
  const found: Found[] = [];
  let bytes = 0;
  const state = scan.next((record, document) => {
    if (!accepts(document)) return false;
    found.push({ record, document });
    bytes += document.end - document.start;
    return found.length >= most || bytes >= AHEAD_BYTES;
  }, outOfTime);
  return { found, state };
}

/** Begins a scan by a plan; `allocate`: where documents found by an index are put (default: Buffer's own pool). Its `next` throws QueryPlanKilled when the
 * collection or the index was dropped. */
export function openScan(
  engine: Engine,
  catalog: Catalog,
  collection: Collection,
  plan: Plan,
  allocate?: (bytes: number) => Buffer,
): Scan {
  const { docs, index: table } = engine;
  const seen = plan.repeats ? recordSet() : undefined;
  let interval = 0;
  let last: Buffer | undefined;
  let lastRecord = 0;

  function scanCollection(
    visit: (record: number, document: RawValue) => boolean,
    outOfTime: () => boolean,
  ): 'stopped' | 'later' | 'end' {
    let rows = 0;
    const [first, end] = [recordKey(collection.id, 0), recordKey(collection.id + 1, 0)];
    const range = plan.reverse
      ? {
          start: lastRecord === 0 ? end : recordKey(collection.id, lastRecord),
          exclusiveStart: true,
          end: first,
          reverse: true,
        }
      : { start: recordKey(collection.id, lastRecord + 1), end };
    for (const { key, value } of docs.getRange(range)) {
      const record = (key as Buffer).readUIntBE(4, 6);
      lastRecord = record;
      if (visit(record, rawDocument(value))) return 'stopped';
      if (++rows % CHECK_EVERY === 0 && outOfTime()) return 'later';
    }
    return 'end';
  }

  function lookUp(
    visit: (record: number, document: RawValue) => boolean,
    outOfTime: () => boolean,
  ): 'stopped' | 'later' | 'end' {
    while (interval < plan.intervals.length) {
      const { from } = plan.intervals[interval++] as Plan['intervals'][number];
      const value = engine.read(table, from);
      if (value === undefined) continue;
      const record = value.readUIntBE(0, 6);
      if (seen?.has(record) === true) continue;
      seen?.add(record);
      const bytes = engine.read(docs, recordKey(collection.id, record), allocate);
      if (bytes !== undefined && visit(record, rawDocument(bytes))) return 'stopped';
      if (interval % CHECK_EVERY === 0 && outOfTime()) return 'later';
    }
    return 'end';
  }

  function scanIndex(
    visit: (record: number, document: RawValue) => boolean,
    outOfTime: () => boolean,
  ): 'stopped' | 'later' | 'end' {
    let rows = 0;
    for (; interval < plan.intervals.length; interval++, last = undefined) {
      const { from, to } = plan.intervals[interval] as Plan['intervals'][number];
      const range = plan.reverse
        ? { start: last ?? to, exclusiveStart: true, end: from, inclusiveEnd: true, reverse: true }
        : { start: last ?? from, exclusiveStart: last !== undefined, end: to };
      for (const { key, value } of table.getRange(range)) {
        last = key as Buffer;
        const record = value.readUIntBE(0, 6);
        if (seen !== undefined) {
          if (seen.has(record)) continue;
          seen.add(record);
        }
        const bytes = engine.read(docs, recordKey(collection.id, record), allocate);
        if (bytes !== undefined && visit(record, rawDocument(bytes))) return 'stopped';
        if (++rows % CHECK_EVERY === 0 && outOfTime()) return 'later';
      }
    }
    return 'end';
  }

  return {
    next(visit, outOfTime) {
      const now = sameCollection(catalog, collection);
      if (plan.index === undefined) return scanCollection(visit, outOfTime);
      if (!now.indexes.some(({ id }) => id === plan.index?.id)) {
        throw new StoreError(175, 'QueryPlanKilled', `index dropped: ${plan.index.name}`);
      }
      return plan.exact ? lookUp(visit, outOfTime) : scanIndex(visit, outOfTime);
    },
  };
}
