import type { Store } from './store.js';

/** Unique indexes that the store lacks, as `collection.field_field`: without them the guarantees do not hold. Rejects with the driver's error while the store is away. */
export async function missingIndexes(store: Store): Promise<string[]> {
  const missing: string[] = [];
  for (const model of Object.values(store.models)) {
    const wanted = (model.schema.indexes() as [Record<string, unknown>, { unique?: boolean }][]).filter(
      ([, options]) => options.unique === true,
    );
    if (wanted.length === 0) continue;
    const there = await model.collection.indexes().catch((error: unknown) => {
      if ((error as { code?: number }).code === 26) return []; // NamespaceNotFound
      throw error;
    });
    for (const [keys] of wanted) {
      const found = there.some((index) => index.unique === true && JSON.stringify(index.key) === JSON.stringify(keys));
      if (!found) missing.push(`${model.collection.collectionName}.${Object.keys(keys).join('_')}`);
    }
  }
  return missing;
}
