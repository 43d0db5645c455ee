import { successor } from '../storage/index-key.js';
import type { Store } from './context.js';

const running = new WeakSet<Store>();

/** Removes the keys of dropped collections and indexes, a piece a transaction, until none are left; never rejects. What a stop or
 * a failure leaves is found again at the next start. */
export async function collectGarbage(store: Store): Promise<void> {
  if (running.has(store)) return;
  running.add(store);
  try {
    for (let [next] = store.catalog.garbage(); next !== undefined; [next] = store.catalog.garbage()) {
      const { table, id } = next;
      const prefix = Buffer.alloc(4);
      prefix.writeUInt32BE(id);
      const range = { start: prefix, end: successor(prefix) ?? Buffer.alloc(5, 0xff), limit: 512 };
      await store.engine.write((outOfTime) => {
        do {
          const keys = [...store.engine[table].getKeys(range)];
          if (keys.length === 0) {
            store.catalog.collected(table, id);
            return true;
          }
          for (const key of keys) store.engine[table].removeSync(key as Buffer);
        } while (!outOfTime());
        return false;
      }, false);
    }
  } catch {
    // The store is stopping or its disk is full.
  } finally {
    running.delete(store);
  }
}
