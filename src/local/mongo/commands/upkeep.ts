import { rawDocument, Type } from '../bson/raw-value.js';
import { date } from '../bson/values.js';
import { bsonWriter } from '../bson/writer.js';
import { compileFilter } from '../query/filter.js';
import type { Store } from './context.js';
import { deleteStatement } from './write.js';

/** Deletes what TTL indexes let expire: documents whose date (or earliest date, in an array) is older than expireAfterSeconds. Rejects with what the store's writes
 * reject with. Resolves to how many were deleted. */
export async function expireDocuments(store: Store): Promise<number> {
  let deleted = 0;
  for (const collection of store.catalog.all()) {
    for (const index of collection.indexes) {
      if (index.expireAfterSeconds === undefined || !index.ready) continue;
      const writer = bsonWriter();
      writer.begin(index.keys[0]?.path ?? '', Type.object);
      writer.value('$lt', date(store.now() - index.expireAfterSeconds * 1000));
      writer.end();
      const expired = compileFilter(rawDocument(writer.finish()));
      const { partial } = index;
      const filter =
        partial === undefined
          ? expired
          : {
              ...expired,
              matches: (one: Parameters<typeof expired.matches>[0]) => partial.matches(one) && expired.matches(one),
              conditions: [...expired.conditions, ...partial.conditions],
            };
      const statement = deleteStatement(store, collection.namespace, filter, undefined, false, () => {
        deleted++;
      });
      await store.engine.write(statement, false);
    }
  }
  return deleted;
}

/** Removes indexes whose building a stop or a kill has cut off; nobody was told that they exist. */
export async function dropUnfinished(store: Store): Promise<void> {
  const found = store.catalog.all().some(({ indexes }) => indexes.some(({ ready }) => !ready));
  if (!found) return;
  await store.engine.write(() => {
    for (const collection of store.catalog.all()) {
      for (const index of collection.indexes) if (!index.ready) store.catalog.dropIndex(collection, index);
    }
    return true;
  }, false);
}
