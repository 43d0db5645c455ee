import { type RawValue, rawDocument } from '../bson/raw-value.js';
import { StoreError } from '../errors.js';
import type { Filter } from '../query/filter.js';
import type { Collection } from '../storage/catalog.js';
import { recordKey } from '../storage/index-key.js';
import { sameCollection } from '../storage/scan.js';
import type { Store } from './context.js';
import type { Source } from './query.js';

/** Follows a capped collection in the order of insertion; never ended. `pull` rejects with CappedPositionLost (136) when what
 * comes next was already removed, and with QueryPlanKilled when the collection was dropped. */
export function tailableSource(store: Store, collection: Collection, filter: Filter): Source {
  let last = 0;
  return {
    ended: () => false,
    pull(max, maxBytes) {
      try {
        sameCollection(store.catalog, collection);
        const batch: RawValue[] = [];
        let bytes = 0;
        let first = true;
        const range = { start: recordKey(collection.id, last === 0 ? 1 : last), end: recordKey(collection.id + 1, 0) };
        for (const { key, value } of store.engine.docs.getRange(range)) {
          const record = (key as Buffer).readUIntBE(4, 6);
          if (first && last !== 0 && record > last + 1) {
            throw new StoreError(
              136,
              'CappedPositionLost',
              'CollectionScan died due to position in capped collection being deleted',
            );
          }
          first = false;
          if (record === last) continue;
          if (batch.length >= max || (bytes > 0 && bytes + value.length > maxBytes)) break;
          last = record;
          const document = rawDocument(value);
          if (!filter.matches(document)) continue;
          bytes += value.length;
          batch.push(document);
        }
        return Promise.resolve(batch);
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
    },
  };
}

/** Those who wait for documents of a namespace. */
export interface Wakes {
  /** Notes that a namespace got a document; told when the batch is on the disk. */
  note(namespace: string): void;
  /** Wakes everyone whose namespace was noted. */
  fire(): void;
  /** Forgets what was noted: the batch was undone. */
  forget(): void;
  wait(namespace: string, ms: number, signal: AbortSignal): Promise<void>;
}

/** Makes the table of those who wait. Never throws. */
export function openWakes(): Wakes {
  const waiting = new Map<string, Set<() => void>>();
  const noted = new Set<string>();
  return {
    note: (namespace) => void noted.add(namespace),
    fire() {
      for (const namespace of noted) for (const wake of [...(waiting.get(namespace) ?? [])]) wake();
      noted.clear();
    },
    forget: () => noted.clear(),
    wait(namespace, ms, signal) {
      return new Promise((resolve) => {
        const all = waiting.get(namespace) ?? new Set();
        waiting.set(namespace, all);
        const end = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', end);
          all.delete(end);
          if (all.size === 0 && waiting.get(namespace) === all) waiting.delete(namespace);
          resolve();
        };
        const timer = setTimeout(end, ms);
        signal.addEventListener('abort', end);
        all.add(end);
        if (signal.aborted) end();
      });
    },
  };
}

/** The wait of a cursor on this namespace. */
export function wakeOf(store: Store, namespace: string): (ms: number, signal: AbortSignal) => Promise<void> {
  return (ms, signal) => store.wakes.wait(namespace, ms, signal);
}
