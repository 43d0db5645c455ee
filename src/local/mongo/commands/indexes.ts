import { isNumber, toDouble } from '../bson/numbers.js';
import { elements, field, fields, type RawValue, rawDocument, Type, textOf } from '../bson/raw-value.js';
import { flagOf, integerOf, string, stringOf } from '../bson/values.js';
import { bsonWriter, identical } from '../bson/writer.js';
import { notImplemented, StoreError, typeMismatch } from '../errors.js';
import { compileFilter } from '../query/filter.js';
import type { Collection, Index } from '../storage/catalog.js';
import { openScan, readAhead } from '../storage/scan.js';
import { batchSizeOf, startCursor } from './batches.js';
import {
  checkCollation,
  checkFields,
  collectionFor,
  documentField,
  documentsOf,
  type Handler,
  namespaceOf,
  type Store,
  targetOf,
} from './context.js';
import { collectGarbage } from './garbage.js';
import { arraySource } from './query.js';
import { mixedReply } from './reply.js';

const FLAGS = ['unique', 'sparse'];
const DROPPED_OPTIONS = ['ns', 'v', 'collation', 'dropDups']; // what MongoDB takes and does nothing with

function cannotCreate(message: string): StoreError {
  return new StoreError(67, 'CannotCreateIndex', message);
}

function checkKeys(key: RawValue): void {
  const list = fields(key);
  if (list.length === 0) throw cannotCreate('Index keys cannot be an empty object');
  if (list.length > 32) throw new StoreError(13103, 'Location13103', 'too many compound keys');
  for (const [path, value] of list) {
    if (value.type === Type.string) throw notImplemented(`${textOf(value)} indexes`);
    if (!isNumber(value.type) || toDouble(value) === 0)
      throw cannotCreate(`Values in the index key pattern must be numbers other than 0: ${path}`);
    if (path.includes('$')) throw notImplemented('wildcard indexes');
    const names = path.split('.');
    if (names.includes('')) throw cannotCreate(`Index keys cannot contain an empty field: '${path}'`);
    if (names.some((name) => /^\d+$/.test(name))) throw notImplemented(`positions of arrays in an index: '${path}'`);
  }
}

/** An index's specification as it is kept and listed: v, key, name, then its options. Throws 67, 197 or NotImplemented on what cannot be one. */
export function indexSpec(source: RawValue): RawValue {
  const key = field(source, 'key');
  if (key?.type !== Type.object) throw typeMismatch("field 'key' of an index must be an object");
  checkKeys(key);
  const name = field(source, 'name');
  const writer = bsonWriter();
  writer.int32('v', 2);
  writer.value('key', key);
  writer.value(
    'name',
    name ??
      string(
        fields(key)
          .map(([path, value]) => `${path}_${toDouble(value)}`)
          .join('_'),
      ),
  );
  for (const [option, value] of fields(source)) {
    if (option === 'key' || option === 'name') continue;
    if (option === 'collation') checkCollation(value);
    if (DROPPED_OPTIONS.includes(option)) continue;
    if (option === 'background') writer.value(option, value);
    else if (FLAGS.includes(option)) {
      if (flagOf(value, option)) writer.bool(option, true);
    } else if (option === 'expireAfterSeconds') {
      const seconds = integerOf(value, option);
      if (seconds < 0 || seconds > 0x7fffffff)
        throw cannotCreate(`TTL index 'expireAfterSeconds' must be within 0 and 2147483647`);
      if (fields(key).length !== 1)
        throw cannotCreate('TTL indexes are single-field indexes, compound indexes do not support TTL');
      writer.int32(option, seconds);
    } else if (option === 'partialFilterExpression') {
      compileFilter(documentField(value, option));
      writer.value(option, value);
    } else if (
      [
        'hidden',
        'storageEngine',
        'weights',
        'default_language',
        'language_override',
        'wildcardProjection',
        'bits',
        'min',
        'max',
      ].includes(option)
    ) {
      throw notImplemented(`the index option '${option}'`);
    } else
      throw new StoreError(
        197,
        'InvalidIndexSpecificationOption',
        `The field '${option}' is not valid for an index specification`,
      );
  }
  const spec = rawDocument(writer.finish());
  if (field(spec, 'sparse') !== undefined && field(spec, 'partialFilterExpression') !== undefined) {
    throw cannotCreate('cannot mix "partialFilterExpression" and "sparse" options');
  }
  return spec;
}

function sameKeys(a: Index, key: RawValue): boolean {
  const other = fields(key);
  return (
    other.length === a.keys.length &&
    a.keys.every(({ path, direction }, i) => {
      const [name, value] = other[i] as [string, RawValue];
      return name === path && (toDouble(value) < 0 ? -1 : 1) === direction;
    })
  );
}

/** The index that is already there for a specification; undefined when it is new. Throws 85 or 86 when one is in its way. */
function existing(collection: Collection, spec: RawValue): Index | undefined {
  const name = textOf(field(spec, 'name') as RawValue);
  const key = field(spec, 'key') as RawValue;
  const filter = field(spec, 'partialFilterExpression');
  for (const index of collection.indexes) {
    const own = field(index.spec, 'partialFilterExpression');
    const samePartial = own === undefined ? filter === undefined : filter !== undefined && identical(own, filter);
    const sameOptions =
      samePartial &&
      index.unique === (field(spec, 'unique') !== undefined || index.name === '_id_') &&
      index.sparse === (field(spec, 'sparse') !== undefined) &&
      index.expireAfterSeconds ===
        (field(spec, 'expireAfterSeconds') === undefined
          ? undefined
          : integerOf(field(spec, 'expireAfterSeconds') as RawValue, ''));
    if (index.name === name) {
      if (sameKeys(index, key) && sameOptions) return index;
      throw new StoreError(
        86,
        'IndexKeySpecsConflict',
        `An existing index has the same name as the requested index. Requested index: ${name}`,
      );
    }
    if (sameKeys(index, key) && samePartial) {
      if (index.name === '_id_') return index;
      throw new StoreError(85, 'IndexOptionsConflict', `Index already exists with a different name: ${index.name}`);
    }
  }
  return undefined;
}

/** Fills new indexes with what the collection holds, a piece a transaction; writers keep them meanwhile. On an error they are gone again. */
async function build(store: Store, namespace: string, specs: readonly RawValue[]): Promise<void> {
  const started: number[] = [];
  const own = (collection: Collection | undefined): Index[] =>
    collection?.indexes.filter(({ id }) => started.includes(id)) ?? [];
  let scan: ReturnType<typeof openScan> | undefined;
  try {
    await store.engine.write((outOfTime) => {
      const collection = store.catalog.find(namespace);
      if (collection === undefined) throw new StoreError(26, 'NamespaceNotFound', `ns does not exist: ${namespace}`);
      if (scan === undefined) {
        for (const spec of specs) {
          if (existing(collection, spec) === undefined)
            started.push(store.catalog.addIndex(collection, spec, false).id);
        }
        scan = openScan(store.engine, store.catalog, collection, {
          index: undefined,
          intervals: [],
          reverse: false,
          exact: false,
          sorted: true,
          repeats: false,
        });
      }
      for (;;) {
        const { found, state } = readAhead(scan, () => true, outOfTime);
        const indexes = own(collection);
        for (const { record, document } of found)
          for (const index of indexes) store.records.addToIndex(collection, index, record, document);
        if (state === 'end') break;
        if (outOfTime()) return false;
      }
      for (const index of own(collection)) index.ready = true;
      collection.version++;
      store.catalog.touch(collection, true);
      return true;
    }, true);
  } catch (error) {
    await store.engine.write(() => {
      const collection = store.catalog.find(namespace);
      for (const index of own(collection)) store.catalog.dropIndex(collection as Collection, index);
      return true;
    }, false);
    void collectGarbage(store);
    throw error;
  }
}

/** `createIndexes`: makes what is not there yet, and the collection too. */
export const createIndexes: Handler = async (store, command) => {
  checkFields(command, ['indexes', 'commitQuorum', 'ignoreUnknownIndexOptions']);
  const namespace = namespaceOf(command);
  const specs = documentsOf(command, 'indexes').map(indexSpec);
  if (specs.length === 0) throw cannotCreate('Must specify at least one index to create');
  let created = false;
  const known = store.catalog.find(namespace);
  const before = known?.indexes.length ?? 1;
  if (known !== undefined && specs.every((spec) => existing(known, spec)?.ready === true)) {
    return mixedReply({ numIndexesBefore: before, numIndexesAfter: before, note: 'all indexes already exist' });
  }
  if (known === undefined) {
    await store.engine.write(() => {
      created = store.catalog.find(namespace) === undefined;
      collectionFor(store, targetOf(command));
      return true;
    }, true);
  }
  await build(store, namespace, specs);
  return mixedReply({
    numIndexesBefore: before,
    numIndexesAfter: store.catalog.find(namespace)?.indexes.length ?? 0,
    createdCollectionAutomatically: created,
  });
};

/** `listIndexes`. */
export const listIndexes: Handler = async (store, command) => {
  checkFields(command, ['cursor', 'includeBuildUUIDs', 'includeIndexBuildInfo']);
  const namespace = namespaceOf(command);
  const collection = store.catalog.find(namespace);
  if (collection === undefined) throw new StoreError(26, 'NamespaceNotFound', `ns does not exist: ${namespace}`);
  const specs = collection.indexes.filter(({ ready }) => ready).map(({ spec }) => spec);
  return await startCursor(store, command, { namespace, source: arraySource(specs), batchSize: batchSizeOf(command) });
};

function indexesNamed(collection: Collection, wanted: RawValue): Index[] {
  if (wanted.type === Type.array) return elements(wanted).flatMap((one) => indexesNamed(collection, one));
  if (wanted.type === Type.string && textOf(wanted) === '*')
    return collection.indexes.filter(({ name }) => name !== '_id_');
  const found =
    wanted.type === Type.object
      ? collection.indexes.find((index) => sameKeys(index, wanted))
      : collection.indexes.find(({ name }) => name === stringOf(wanted, 'index'));
  if (found === undefined) throw new StoreError(27, 'IndexNotFound', 'index not found with that name or key pattern');
  if (found.name === '_id_') throw new StoreError(72, 'InvalidOptions', 'cannot drop _id index');
  return [found];
}

/** `dropIndexes`: by name, by keys, several, or all (`*`) but that of _id. */
export const dropIndexes: Handler = async (store, command) => {
  checkFields(command, ['index']);
  const namespace = namespaceOf(command);
  const wanted = command.fields.get('index');
  if (wanted === undefined) throw typeMismatch("field 'index' is missing");
  let before = 0;
  await store.engine.write(() => {
    const collection = store.catalog.find(namespace);
    if (collection === undefined) throw new StoreError(26, 'NamespaceNotFound', `ns not found ${namespace}`);
    before = collection.indexes.length;
    for (const index of indexesNamed(collection, wanted)) store.catalog.dropIndex(collection, index);
    return true;
  }, false);
  void collectGarbage(store);
  return mixedReply({ nIndexesWas: before });
};
