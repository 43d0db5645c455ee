import { rawDocument } from '../bson/raw-value.js';
import { StoreStartError } from '../errors.js';
import {
  type Collection,
  FORMAT,
  formatOf,
  type Index,
  loadCollections,
  saveCollection,
  setFormat,
} from './catalog.js';
import { prefixRange } from './check.js';
import type { Engine } from './engine.js';
import { indexEntries } from './records.js';

type Tables = Pick<Engine, 'docs' | 'index' | 'meta' | 'read'>;

const PIECE = 512; // keys that are read before they are removed

function clearIndex({ index: table }: Tables, index: Index): void {
  for (;;) {
    const keys = [...table.getKeys({ ...prefixRange(index.id), limit: PIECE })] as Buffer[];
    for (const key of keys) table.removeSync(key);
    if (keys.length < PIECE) return;
  }
}

function buildIndexes(tables: Tables, collection: Collection): void {
  const { docs, index: table, meta } = tables;
  for (const index of collection.indexes) {
    clearIndex(tables, index);
    index.multikey = index.multikey.map(() => false);
  }
  for (const { key: place, value } of docs.getRange(prefixRange(collection.id))) {
    const number = (place as Buffer).subarray(4);
    for (const index of collection.indexes) {
      const { entries, multikey } = indexEntries(index, number.readUIntBE(0, 6), rawDocument(value));
      index.multikey = index.multikey.map((flag, i) => flag || multikey[i] === true);
      for (const { key } of entries) {
        const holder = index.unique ? tables.read(table, key) : undefined;
        if (holder?.equals(number) === false)
          throw new Error(`two documents have the same key of the unique index ${index.name}`);
        table.putSync(key, number);
      }
    }
  }
  saveCollection(meta, collection);
}

/** Brings a file of format 1 to this version's, in one transaction: documents stayed as they were, but what indexes hold of arrays within arrays and of sparse paths
 * did not, so all indexes are built anew. Returns whether it did. Throws PH_STORE_FORMAT, and leaves the file as it was, when an index cannot be built. */
export function migrateFile(tables: Tables): boolean {
  if (formatOf(tables.meta) !== '1') return false;
  tables.meta.transactionSync(() => {
    for (const collection of loadCollections(tables, '1')) {
      try {
        buildIndexes(tables, collection);
      } catch (error) {
        throw new StoreStartError(
          'PH_STORE_FORMAT',
          `the store's files are of format 1 and cannot become ${FORMAT}: ${collection.namespace}: ${(error as Error).message}`,
        );
      }
    }
    setFormat(tables.meta);
  });
  return true;
}
