import { type RawValue, rawDocument } from '../bson/raw-value.js';
import type { Filter } from '../query/filter.js';
import { planQuery } from '../query/plan.js';
import type { SortPart } from '../query/sort.js';
import type { Collection } from '../storage/catalog.js';
import { recordKey } from '../storage/index-key.js';
import { type Found, openScan, type Scan } from '../storage/scan.js';
import { hintOf, type Store } from './context.js';
import { sortedList } from './query.js';

/** Looks for the first document of a filter by a sort, over several transactions where it takes long: 'later' is to be called again. What it finds was read in this very transaction. */
export type Choice = (collection: Collection, outOfTime: () => boolean) => Found | 'later' | 'end';

/** Begins to look for the one document that is to be changed. The choice throws as planQuery and openScan's `next`. */
export function openChoice(
  store: Store,
  filter: Filter,
  sort: readonly SortPart[],
  hint: RawValue | undefined,
): Choice {
  let scan: Scan | undefined;
  let list: ReturnType<typeof sortedList> | undefined;
  let sorted = true;
  return (collection, outOfTime) => {
    for (;;) {
      if (scan === undefined) {
        const plan = planQuery(collection, filter, sort, hintOf(hint, collection));
        sorted = plan.sorted;
        scan = openScan(store.engine, store.catalog, collection, plan);
        list = sortedList(sort, 1);
      }
      let found: Found | undefined;
      const state = scan.next((record, document) => {
        if (!filter.matches(document)) return false;
        if (sorted) found = { record, document };
        else list?.add(record, document);
        return sorted;
      }, outOfTime);
      if (found !== undefined) return found;
      if (state === 'later') return 'later';
      const best = sorted ? undefined : list?.take()[0];
      if (best === undefined) return 'end';
      // It may have changed since it was sorted, if that took several transactions.
      const bytes = store.engine.docs.get(recordKey(collection.id, best.record));
      if (bytes?.equals(best.document.bytes) === true) return best;
      if (bytes !== undefined && filter.matches(rawDocument(bytes)))
        return { record: best.record, document: rawDocument(bytes) };
      scan = undefined;
      if (outOfTime()) return 'later';
    }
  };
}
