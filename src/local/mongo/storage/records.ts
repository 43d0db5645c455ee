import { messageText } from '../bson/message-text.js';
import { field, type RawValue, rawDocument } from '../bson/raw-value.js';
import { bsonWriter } from '../bson/writer.js';
import { StoreError } from '../errors.js';
import type { Catalog, Collection, Index } from './catalog.js';
import type { Engine } from './engine.js';
import { encodeKey, MAX_KEY_BYTES, recordKey } from './index-key.js';
import { indexRows } from './index-values.js';

/** Documents with their index entries. All of it must be called inside a write of the engine; each call changes all of a document or nothing. */
export interface Records {
  insert(collection: Collection, document: RawValue): number;
  /** `touched`: the top-level fields that may differ; undefined: any. */
  replace(
    collection: Collection,
    record: number,
    from: RawValue,
    to: RawValue,
    touched: ReadonlySet<string> | undefined,
  ): void;
  remove(collection: Collection, record: number, document: RawValue): void;
  /** Adds an existing document to an index that is being built. */
  addToIndex(collection: Collection, index: Index, record: number, document: RawValue): void;
}

interface Entry {
  /** The key's bytes; with the record's number at the end when the index is not unique. */
  readonly key: Buffer;
  readonly row: readonly RawValue[];
}

interface IndexEntries {
  readonly entries: readonly Entry[];
  readonly multikey: readonly boolean[];
}

const KEY_TOO_LONG = 17280;

function duplicateKey(collection: Collection, index: Index, row: readonly RawValue[]): StoreError {
  const writer = bsonWriter();
  index.keys.forEach(({ path }, i) => {
    writer.value(path, row[i] as RawValue);
  });
  const keyValue = rawDocument(writer.finish());
  return new StoreError(
    11000,
    'DuplicateKey',
    `E11000 duplicate key error collection: ${collection.namespace} index: ${index.name} dup key: ${messageText(keyValue)}`,
    { keyPattern: field(index.spec, 'key'), keyValue },
  );
}

function withRecord(key: Buffer, record: number): Buffer {
  const full = Buffer.allocUnsafe(key.length + 6);
  key.copy(full);
  full.writeUIntBE(record, key.length, 6);
  return full;
}

/** What an index holds of a document, one entry a key, and which of its paths went through an array: nothing when sparse or partial leave the document out.
 * Throws CannotIndexParallelArrays (171) and KeyTooLong (17280). */
export function indexEntries(index: Index, record: number, document: RawValue): IndexEntries {
  if (index.partial !== undefined && !index.partial.matches(document)) return { entries: [], multikey: [] };
  const found = indexRows(document, index.paths);
  const seen = new Set<string>();
  const entries: Entry[] = [];
  for (const [i, row] of found.rows.entries()) {
    if (index.sparse && found.present[i] !== true) continue;
    const key = encodeKey(index.id, row, index.directions);
    if (key.length > MAX_KEY_BYTES) {
      throw new StoreError(
        KEY_TOO_LONG,
        'KeyTooLong',
        `a key of index ${index.name} would have ${key.length} bytes or more; the embedded store keeps up to ${MAX_KEY_BYTES}`,
      );
    }
    if (found.rows.length > 1) {
      const text = key.toString('latin1');
      if (seen.has(text)) continue;
      seen.add(text);
    }
    entries.push({ key: index.unique ? key : withRecord(key, record), row });
  }
  return { entries, multikey: found.multikey };
}

/** Makes the functions that keep documents and indexes together; `onKeyTooLong` is told of each key that is refused for its length. Never throws. */
export function openRecords(
  engine: Engine,
  catalog: Catalog,
  onKeyTooLong?: (collection: Collection, error: StoreError) => void,
): Records {
  const { docs, index: table } = engine;

  function entriesOrTold(collection: Collection, index: Index, record: number, document: RawValue): IndexEntries {
    try {
      return indexEntries(index, record, document);
    } catch (error) {
      if (error instanceof StoreError && error.code === KEY_TOO_LONG) onKeyTooLong?.(collection, error);
      throw error;
    }
  }

  function entriesOf(collection: Collection, index: Index, record: number, document: RawValue): readonly Entry[] {
    const { entries, multikey } = entriesOrTold(collection, index, record, document);
    if (multikey.some((flag, i) => flag && index.multikey[i] !== true)) {
      index.multikey = index.multikey.map((flag, i) => flag || multikey[i] === true);
      collection.version++;
      catalog.touch(collection, true);
    }
    return entries;
  }

  function checkUnique(collection: Collection, index: Index, entries: readonly Entry[], record: number): void {
    if (!index.unique) return;
    for (const { key, row } of entries) {
      const holder = engine.read(table, key);
      if (holder !== undefined && holder.readUIntBE(0, 6) !== record) throw duplicateKey(collection, index, row);
    }
  }

  function numberOf(record: number): Buffer {
    const value = Buffer.allocUnsafe(6);
    value.writeUIntBE(record, 0, 6);
    return value;
  }

  return {
    insert(collection, document) {
      const record = collection.nextRecord;
      const plans = collection.indexes.map((index) => entriesOf(collection, index, record, document));
      collection.indexes.forEach((index, i) => {
        checkUnique(collection, index, plans[i] as readonly Entry[], record);
      });
      collection.nextRecord++;
      const value = numberOf(record);
      docs.putSync(recordKey(collection.id, record), document.bytes.subarray(document.start, document.end));
      for (const entries of plans) for (const { key } of entries) table.putSync(key, value);
      collection.count++;
      collection.bytes += document.end - document.start;
      catalog.touch(collection, false);
      return record;
    },
    replace(collection, record, from, to, touched) {
      const plans: { gone: Buffer[]; come: Entry[] }[] = [];
      for (const index of collection.indexes) {
        if (touched !== undefined && ![...index.roots].some((root) => touched.has(root))) continue;
        const old = entriesOf(collection, index, record, from);
        const now = entriesOf(collection, index, record, to);
        const come = now.filter((entry) => !old.some((other) => other.key.equals(entry.key)));
        checkUnique(collection, index, come, record);
        const gone = old.filter((entry) => !now.some((other) => other.key.equals(entry.key))).map(({ key }) => key);
        plans.push({ gone, come });
      }
      const value = numberOf(record);
      docs.putSync(recordKey(collection.id, record), to.bytes.subarray(to.start, to.end));
      for (const { gone, come } of plans) {
        for (const key of gone) table.removeSync(key);
        for (const { key } of come) table.putSync(key, value);
      }
      collection.bytes += to.end - to.start - (from.end - from.start);
      catalog.touch(collection, false);
    },
    remove(collection, record, document) {
      const keys = collection.indexes.flatMap((index) => entriesOf(collection, index, record, document));
      docs.removeSync(recordKey(collection.id, record));
      for (const { key } of keys) table.removeSync(key);
      collection.count--;
      collection.bytes -= document.end - document.start;
      catalog.touch(collection, false);
    },
    addToIndex(collection, index, record, document) {
      const entries = entriesOf(collection, index, record, document);
      checkUnique(collection, index, entries, record);
      const value = numberOf(record);
      for (const { key } of entries) table.putSync(key, value);
    },
  };
}
