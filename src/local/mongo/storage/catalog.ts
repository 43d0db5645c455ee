import { elements, field, fields, findField, type RawValue, rawDocument, Type, textOf } from '../bson/raw-value.js';
import { integerOf } from '../bson/values.js';
import { arrayOf, bsonWriter } from '../bson/writer.js';
import { StoreError, StoreStartError } from '../errors.js';
import { compileFilter, type Filter } from '../query/filter.js';
import { type Engine, OtherHost, type Table } from './engine.js';
import { recordKey } from './index-key.js';

/** An index of a collection. `multikey` says, path by path, whether any document ever had an array there. */
export interface Index {
  readonly id: number;
  readonly name: string;
  /** The specification as it was given, the answer of listIndexes. */
  readonly spec: RawValue;
  readonly keys: readonly { readonly path: string; readonly direction: number }[];
  readonly paths: readonly (readonly Buffer[])[];
  readonly directions: readonly number[];
  readonly unique: boolean;
  readonly sparse: boolean;
  readonly partial: Filter | undefined;
  readonly expireAfterSeconds: number | undefined;
  /** Kept by writers, not used by queries. */
  readonly hidden: boolean;
  /** The first parts of all paths that decide what the index holds. */
  readonly roots: ReadonlySet<string>;
  multikey: boolean[];
  /** False while it is being built: kept by writers, not yet used by queries. */
  ready: boolean;
}

/** A collection: its numbers, its options, its indexes; counts are kept as documents come and go. */
export interface Collection {
  readonly id: number;
  readonly database: string;
  readonly name: string;
  /** `database.name` */
  readonly namespace: string;
  readonly capped: { readonly maxBytes: number; readonly maxDocuments: number } | undefined;
  indexes: Index[];
  count: number;
  bytes: number;
  nextRecord: number;
  /** Grows when indexes come or go: plans made before are void. */
  version: number;
  dropped: boolean;
}

/** All collections of the store. Changes are made inside a write of the engine and saved with it. */
export interface Catalog {
  find(namespace: string): Collection | undefined;
  all(): Collection[];
  create(database: string, name: string, capped?: Collection['capped']): Collection;
  drop(collection: Collection): void;
  /** Gives a collection another name, which no other may have; to whoever reads under the old one it is gone. */
  rename(collection: Collection, database: string, name: string): void;
  addIndex(collection: Collection, spec: RawValue, ready: boolean): Index;
  dropIndex(collection: Collection, index: Index): void;
  /** Gives an index another specification that leaves what it holds as it is. */
  changeIndex(collection: Collection, index: Index, spec: RawValue): void;
  /** Marks what must be saved with this batch: the counts, or all of it. */
  touch(collection: Collection, whole: boolean): void;
  /** To be called first in a transaction. Throws OtherHost when another process has changed collections since they were loaded here. */
  checkOwn(): void;
  /** Writes what was touched; to be called inside the transaction. */
  save(): void;
  /** The transaction is on the disk. */
  saved(): void;
  /** Reads all again from the file, after a batch was undone. */
  reload(): void;
  /** Numbers whose keys are still to be removed: of dropped collections and indexes. */
  garbage(): { readonly table: 'docs' | 'index'; readonly id: number }[];
  collected(table: 'docs' | 'index', id: number): void;
}

/** The version of the file's layout: to be raised with every change of keys or of what is in them, together with a migration or a refusal of the ones before. */
export const FORMAT = '2';
const FORMAT_KEY = Buffer.from('format');
const CHANGES_KEY = Buffer.from('changes'); // how many transactions have changed a collection
const NEXT_ID_KEY = Buffer.from('nextId');

function pathParts(path: string): Buffer[] {
  return path.split('.').map((part) => Buffer.from(part));
}

/** Makes an index from its specification. Throws as compileFilter does on a wrong partialFilterExpression. */
function indexOf(id: number, spec: RawValue, ready: boolean, multikey?: boolean[]): Index {
  const key = field(spec, 'key');
  if (key === undefined) throw new StoreError(67, 'CannotCreateIndex', 'an index needs a key');
  const keys = fields(key).map(([path, value]) => ({ path, direction: integerOf(value, path) < 0 ? -1 : 1 }));
  const partialSpec = field(spec, 'partialFilterExpression');
  const expire = field(spec, 'expireAfterSeconds');
  const name = field(spec, 'name');
  const partial = partialSpec === undefined ? undefined : compileFilter(partialSpec);
  const truth = (option: string): boolean => {
    const value = field(spec, option);
    return (
      value !== undefined &&
      (value.type === Type.bool ? value.bytes[value.start] === 1 : integerOf(value, option) !== 0)
    );
  };
  const roots = new Set(keys.map(({ path }) => path.split('.', 1)[0] as string));
  for (const path of partial?.paths ?? []) roots.add(path.split('.', 1)[0] as string);
  return {
    id,
    name: name === undefined ? '' : textOf(name),
    spec,
    keys,
    paths: keys.map(({ path }) => pathParts(path)),
    directions: keys.map(({ direction }) => direction),
    unique: truth('unique') || (keys.length === 1 && keys[0]?.path === '_id'),
    sparse: truth('sparse'),
    partial,
    expireAfterSeconds: expire === undefined ? undefined : integerOf(expire, 'expireAfterSeconds'),
    hidden: truth('hidden'),
    roots,
    multikey: multikey ?? keys.map(() => false),
    ready,
  };
}

function idIndexSpec(): RawValue {
  const writer = bsonWriter();
  writer.int32('v', 2);
  writer.begin('key', Type.object);
  writer.int32('_id', 1);
  writer.end();
  writer.string('name', '_id_');
  return rawDocument(writer.finish());
}

function catalogKey(namespace: string): Buffer {
  return Buffer.from(`c:${namespace}`);
}

function countKey(id: number): Buffer {
  return Buffer.from(`n:${id}`);
}

function garbageKey(table: 'docs' | 'index', id: number): Buffer {
  return Buffer.from(`g:${table}:${id}`);
}

/** Writes what the catalog keeps of a collection, its counts apart; to be called inside a transaction. */
export function saveCollection(meta: Table, collection: Collection): void {
  const writer = bsonWriter();
  writer.int32('id', collection.id);
  writer.string('database', collection.database);
  writer.string('name', collection.name);
  if (collection.capped !== undefined) {
    writer.double('maxBytes', collection.capped.maxBytes);
    writer.double('maxDocuments', collection.capped.maxDocuments);
  }
  const indexes = collection.indexes.map((index) => {
    const one = bsonWriter();
    one.int32('id', index.id);
    one.value('spec', index.spec);
    one.bool('ready', index.ready);
    one.string('multikey', index.multikey.map((flag) => (flag ? '1' : '0')).join(''));
    return rawDocument(one.finish());
  });
  writer.value('indexes', arrayOf(indexes));
  meta.putSync(catalogKey(collection.namespace), writer.finish());
}

function integerField(document: RawValue, name: string): number {
  const value = field(document, name);
  return value === undefined ? 0 : integerOf(value, name);
}

function textField(document: RawValue, name: string): string {
  const value = field(document, name);
  return value === undefined ? '' : textOf(value);
}

function nextRecordOf(docs: Table, id: number): number {
  const range = {
    start: recordKey(id, 0xffffffffffff),
    end: recordKey(id, 0),
    inclusiveEnd: true,
    reverse: true,
    limit: 1,
  };
  for (const key of docs.getKeys(range)) return (key as Buffer).readUIntBE(4, 6) + 1;
  return 1;
}

/** What the catalog is read from. */
type Tables = Pick<Engine, 'docs' | 'meta'>;

function loadCollection(engine: Tables, bytes: Buffer): Collection {
  const saved = rawDocument(bytes);
  const id = integerField(saved, 'id');
  const counts = engine.meta.get(countKey(id));
  const database = textField(saved, 'database');
  const name = textField(saved, 'name');
  const indexes = findField(saved, Buffer.from('indexes'));
  return {
    id,
    database,
    name,
    namespace: `${database}.${name}`,
    capped:
      field(saved, 'maxBytes') === undefined
        ? undefined
        : { maxBytes: integerField(saved, 'maxBytes'), maxDocuments: integerField(saved, 'maxDocuments') },
    indexes: (indexes === undefined ? [] : elements(indexes)).map((one) =>
      indexOf(
        integerField(one, 'id'),
        field(one, 'spec') as RawValue,
        field(one, 'ready')?.bytes[field(one, 'ready')?.start ?? 0] === 1,
        [...textField(one, 'multikey')].map((flag) => flag === '1'),
      ),
    ),
    count: counts?.readDoubleLE(0) ?? 0,
    bytes: counts?.readDoubleLE(8) ?? 0,
    nextRecord: nextRecordOf(engine.docs, id),
    version: 0,
    dropped: false,
  };
}

/** The format that a file says it has; undefined when it says none. Never throws. */
export function formatOf(meta: Table): string | undefined {
  return meta.get(FORMAT_KEY)?.toString();
}

/** Makes a file one of this version's format; to be called inside a transaction, or on a new file. */
export function setFormat(meta: Table): void {
  meta.putSync(FORMAT_KEY, Buffer.from(FORMAT));
}

/** Whether a file has that format; a new one has none yet. Throws PH_STORE_FORMAT on another: it is never read as if it were, and what has data but no
 * format was written by something else. */
function hasFormat({ docs, meta }: Tables, format: string): boolean {
  const kept = formatOf(meta);
  if (kept === format) return true;
  if (kept === undefined && [...docs.getKeys({ limit: 1 }), ...meta.getKeys({ limit: 1 })].length === 0) return false;
  throw new StoreStartError(
    'PH_STORE_FORMAT',
    `the store's files are of format ${JSON.stringify(kept ?? 'unknown')}, this version reads and writes ${FORMAT}: use the version that wrote them`,
  );
}

/** The collections that a file of this format holds. Throws PH_STORE_FORMAT when it is of another one. */
export function loadCollections(tables: Tables, format = FORMAT): Collection[] {
  if (!hasFormat(tables, format)) return [];
  const range = { start: Buffer.from('c:'), end: Buffer.from('c;') };
  return [...tables.meta.getRange(range)].map(({ value }) => loadCollection(tables, value));
}

/** Numbers whose keys are still to be removed, as the file says. Never throws. */
export function garbageIn(meta: Table): { readonly table: 'docs' | 'index'; readonly id: number }[] {
  const range = { start: Buffer.from('g:'), end: Buffer.from('g;') };
  return [...meta.getKeys(range)].map((key) => {
    const [, table, id] = (key as Buffer).toString().split(':');
    return { table: table === 'docs' ? 'docs' : 'index', id: Number(id) };
  });
}

/** Opens the catalog kept in the file; a new file becomes one of this version. Throws as loadCollections does. */
export function openCatalog(engine: Engine): Catalog {
  const { meta } = engine;
  let collections = new Map<string, Collection>();
  let nextId = 1;
  const touched = new Map<Collection, boolean>();
  let dropped = false;
  let changes = 0;
  let changesToCome = 0;

  const changesKept = (): number => Number(meta.get(CHANGES_KEY)?.toString() ?? '0');

  function takeId(): number {
    const id = nextId++;
    meta.putSync(NEXT_ID_KEY, Buffer.from(String(nextId)));
    return id;
  }

  function reload(): void {
    touched.clear();
    dropped = false;
    changesToCome = changes;
    const loaded = loadCollections(engine);
    nextId = Number(meta.get(NEXT_ID_KEY)?.toString() ?? '1');
    for (const collection of collections.values()) collection.dropped = true;
    collections = new Map(loaded.map((collection) => [collection.namespace, collection]));
  }

  if (!hasFormat(engine, FORMAT)) setFormat(meta);
  changes = changesKept();
  reload();
  return {
    find: (namespace) => collections.get(namespace),
    all: () => [...collections.values()],
    create(database, name, capped) {
      const collection: Collection = {
        id: takeId(),
        database,
        name,
        namespace: `${database}.${name}`,
        capped,
        indexes: [],
        count: 0,
        bytes: 0,
        nextRecord: 1,
        version: 0,
        dropped: false,
      };
      collections.set(collection.namespace, collection);
      collection.indexes.push(indexOf(takeId(), idIndexSpec(), true));
      touched.set(collection, true);
      return collection;
    },
    drop(collection) {
      collections.delete(collection.namespace);
      touched.delete(collection);
      collection.dropped = true;
      dropped = true;
      meta.removeSync(catalogKey(collection.namespace));
      meta.removeSync(countKey(collection.id));
      meta.putSync(garbageKey('docs', collection.id), Buffer.from('1'));
      for (const index of collection.indexes) meta.putSync(garbageKey('index', index.id), Buffer.from('1'));
    },
    addIndex(collection, spec, ready) {
      const index = indexOf(takeId(), spec, ready);
      collection.indexes = [...collection.indexes, index];
      collection.version++;
      touched.set(collection, true);
      return index;
    },
    dropIndex(collection, index) {
      collection.indexes = collection.indexes.filter((one) => one !== index);
      collection.version++;
      meta.putSync(garbageKey('index', index.id), Buffer.from('1'));
      touched.set(collection, true);
    },
    changeIndex(collection, index, spec) {
      const changed = indexOf(index.id, spec, index.ready, index.multikey);
      collection.indexes = collection.indexes.map((one) => (one === index ? changed : one));
      collection.version++;
      touched.set(collection, true);
    },
    rename(collection, database, name) {
      const renamed: Collection = { ...collection, database, name, namespace: `${database}.${name}` };
      collections.delete(collection.namespace);
      touched.delete(collection);
      collection.dropped = true;
      meta.removeSync(catalogKey(collection.namespace));
      collections.set(renamed.namespace, renamed);
      touched.set(renamed, true);
    },
    touch(collection, whole) {
      if (whole || !touched.has(collection)) touched.set(collection, whole || touched.get(collection) === true);
    },
    checkOwn() {
      if (changesKept() !== changes) throw new OtherHost();
    },
    save() {
      if (touched.size > 0 || dropped) {
        changesToCome = changes + 1;
        meta.putSync(CHANGES_KEY, Buffer.from(String(changesToCome)));
      }
      dropped = false;
      for (const [collection, whole] of touched) {
        if (whole) saveCollection(meta, collection);
        const counts = Buffer.allocUnsafe(16);
        counts.writeDoubleLE(collection.count, 0);
        counts.writeDoubleLE(collection.bytes, 8);
        meta.putSync(countKey(collection.id), counts);
      }
      touched.clear();
    },
    saved() {
      changes = changesToCome;
    },
    reload,
    garbage: () => garbageIn(meta),
    collected(table, id) {
      meta.removeSync(garbageKey(table, id));
    },
  };
}
