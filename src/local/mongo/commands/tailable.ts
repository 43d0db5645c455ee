import { type RawValue, rawDocument } from '../bson/raw-value.js';
import { StoreError } from '../errors.js';
import type { Filter } from '../query/filter.js';
import type { Collection } from '../storage/catalog.js';
import { recordKey } from '../storage/index-key.js';
import { sameCollection } from '../storage/scan.js';
import type { Store } from './context.js';
import { breathe, type Source } from './query.js';

const SLICE_MS = 8; // how long a read may hold the event loop
const CHECK_EVERY = 32;

/** Follows a capped collection in the order of insertion; never ended. `pull` rejects with CappedPositionLost (136) when what
 * comes next was already removed, and with QueryPlanKilled when the collection was dropped. */
export function tailableSource(store: Store, collection: Collection, filter: Filter): Source {
  let last = 0;

  /** Adds to a batch for a while. Returns whether there is more to be read at once. */
  function read(batch: RawValue[], max: number, room: { bytes: number }): boolean {
    sameCollection(store.catalog, collection);
    const end = performance.now() + SLICE_MS;
    const range = { start: recordKey(collection.id, last === 0 ? 1 : last), end: recordKey(collection.id + 1, 0) };
    let rows = 0;
    for (const { key, value } of store.engine.docs.getRange(range)) {
      const record = (key as Buffer).readUIntBE(4, 6);
      if (++rows === 1 && last !== 0 && record > last + 1) {
        throw new StoreError(
          136,
          'CappedPositionLost',
          'CollectionScan died due to position in capped collection being deleted',
        );
      }
      if (record === last) continue;
      if (batch.length >= max || (batch.length > 0 && value.length > room.bytes)) return false;
      last = record;
      const document = rawDocument(value);
      if (filter.matches(document)) {
        room.bytes -= value.length;
        batch.push(document);
      }
      if (rows % CHECK_EVERY === 0 && performance.now() >= end) return true;
    }
    return false;
  }

  return {
    ended: () => false,
    async pull(max, maxBytes) {
      const batch: RawValue[] = [];
      const room = { bytes: maxBytes };
      while (read(batch, max, room)) await breathe();
      return batch;
    },
  };
}

/** The wait of a cursor on this namespace. */
export function wakeOf(store: Store, namespace: string): (ms: number, signal: AbortSignal) => Promise<void> {
  return (ms, signal) => store.wakes.wait(namespace, ms, signal);
}
