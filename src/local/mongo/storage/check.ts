import { field, rawDocument, validateDocument } from '../bson/raw-value.js';
import { StoreError } from '../errors.js';
import { MAX_DOCUMENT_BYTES } from '../update/storable.js';
import { type Collection, garbageIn, type Index, loadCollections } from './catalog.js';
import type { Engine, Table } from './engine.js';
import { recordKey, successor } from './index-key.js';
import { indexEntries } from './records.js';

/** What a check of a whole file found. */
export interface CheckReport {
  readonly collections: number;
  readonly documents: number;
  readonly indexEntries: number;
  /** A sentence each, the first 100. */
  readonly problems: readonly string[];
  /** How many there are in all. */
  readonly problemsTotal: number;
}

const SHOWN = 100;

/** The range of all keys of a collection or an index. Never throws. */
export function prefixRange(id: number): { start: Buffer; end: Buffer } {
  const start = recordKey(id, 0).subarray(0, 4);
  return { start, end: successor(start) ?? Buffer.alloc(5, 0xff) };
}

/** The numbers of collections or indexes that a table has keys of. */
function* idsIn(table: Table): Generator<number> {
  for (let start: Buffer | undefined = Buffer.alloc(4); start !== undefined; ) {
    const [key] = [...table.getKeys({ start, limit: 1 })] as Buffer[];
    if (key === undefined) return;
    yield key.readUInt32BE(0);
    start = successor(key.subarray(0, 4));
  }
}

/** Walks all documents and all index entries of a file in one state of it, without awaiting: every document is whole BSON with an `_id`, every index holds just what its
 * documents have for it, the counts agree, and there is nothing that belongs to nobody. Bounded in memory; what it finds is told, not mended. Throws PH_STORE_FORMAT on a
 * layout of another version. */
export function checkStore(store: Pick<Engine, 'docs' | 'index' | 'meta' | 'read'>): CheckReport {
  const problems: string[] = [];
  let problemsTotal = 0;
  let documents = 0;
  let entriesTotal = 0;
  const problem = (text: string): void => {
    problemsTotal++;
    if (problems.length < SHOWN) problems.push(text);
  };

  /** Reading what is damaged throws: that is a finding. */
  function look(what: string, walk: () => void): void {
    try {
      walk();
    } catch (error) {
      problem(`${what} cannot be read: ${(error as Error).message}`);
    }
  }

  function checkDocument(collection: Collection, record: number, value: Buffer, expected: Map<Index, number>): void {
    const where = `${collection.namespace}: document of record ${record}`;
    try {
      if (validateDocument(value, 0, value.length) !== value.length)
        throw new StoreError(22, 'InvalidBSON', 'bytes after its end');
    } catch (error) {
      problem(`${where} is no BSON: ${(error as Error).message}`);
      return;
    }
    if (value.length > MAX_DOCUMENT_BYTES) problem(`${where} has ${value.length} bytes, more than 16 MiB`);
    const document = rawDocument(value);
    if (field(document, '_id') === undefined) problem(`${where} has no _id`);
    for (const index of collection.indexes) {
      if (!index.ready) continue;
      try {
        const { entries, multikey } = indexEntries(index, record, document);
        for (const { key } of entries) {
          const holder = store.read(store.index, key);
          if (holder === undefined) problem(`${where} is missing in index ${index.name}`);
          else if (holder.readUIntBE(0, 6) !== record)
            problem(`${where}: index ${index.name} has its key for record ${holder.readUIntBE(0, 6)}`);
        }
        expected.set(index, (expected.get(index) ?? 0) + entries.length);
        if (multikey.some((flag, i) => flag && index.multikey[i] !== true))
          problem(`${where} has an array where index ${index.name} is not marked for arrays`);
      } catch (error) {
        problem(`${where} cannot be indexed by ${index.name}: ${(error as Error).message}`);
      }
    }
  }

  /** Entries of an index against what its documents demand: they are all there, so their number tells whether there are others. */
  function checkIndex(collection: Collection, index: Index, expected: number): void {
    let found = 0;
    for (const { key, value } of store.index.getRange(prefixRange(index.id))) {
      found++;
      const record = value.length === 6 ? value.readUIntBE(0, 6) : -1;
      if (store.read(store.docs, recordKey(collection.id, record < 0 ? 0 : record)) === undefined) {
        problem(
          `${collection.namespace}: index ${index.name} has an entry ${(key as Buffer).toString('hex')} of no document`,
        );
      }
    }
    entriesTotal += found;
    if (found !== expected)
      problem(`${collection.namespace}: index ${index.name} has ${found} entries, its documents have ${expected}`);
  }

  function checkCollection(collection: Collection): void {
    const expected = new Map<Index, number>();
    const { namespace } = collection;
    let count = 0;
    let bytes = 0;
    for (const { key, value } of store.docs.getRange(prefixRange(collection.id))) {
      count++;
      bytes += value.length;
      checkDocument(collection, (key as Buffer).readUIntBE(4, 6), value, expected);
    }
    documents += count;
    if (count !== collection.count) problem(`${namespace}: ${count} documents, its count says ${collection.count}`);
    if (bytes !== collection.bytes) problem(`${namespace}: ${bytes} bytes, its sum says ${collection.bytes}`);
    for (const index of collection.indexes) {
      if (!index.ready) continue;
      look(`${namespace}: index ${index.name}`, () => checkIndex(collection, index, expected.get(index) ?? 0));
    }
  }

  const collections = loadCollections(store);
  for (const collection of collections) look(collection.namespace, () => checkCollection(collection));

  const garbage = garbageIn(store.meta);
  const known = (table: 'docs' | 'index'): Set<number> => {
    const own = collections.flatMap(({ id, indexes }) => (table === 'docs' ? [id] : indexes.map((index) => index.id)));
    return new Set([...own, ...garbage.filter((one) => one.table === table).map(({ id }) => id)]);
  };
  for (const table of ['docs', 'index'] as const) {
    const owned = known(table);
    look(`table ${table}`, () => {
      for (const id of idsIn(store[table])) {
        if (!owned.has(id)) problem(`table ${table} has keys under the number ${id}, which belongs to nothing`);
      }
    });
  }
  return { collections: collections.length, documents, indexEntries: entriesTotal, problems, problemsTotal };
}
