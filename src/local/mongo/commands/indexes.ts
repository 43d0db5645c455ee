import { setTimeout as sleep } from 'node:timers/promises';
import { elements, field, fields, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { flagOf, stringOf } from '../bson/values.js';
import { StoreError, typeMismatch } from '../errors.js';
import type { Collection, Index } from '../storage/catalog.js';
import { openScan, readAhead } from '../storage/scan.js';
import { batchSizeOf, startCursor } from './batches.js';
import {
  checkFields,
  collectionFor,
  countOption,
  documentsOf,
  type Handler,
  namespaceOf,
  type Store,
  targetOf,
} from './context.js';
import { collectGarbage } from './garbage.js';
import { cannotCreate, indexSpec, relation, sameKeys } from './index-spec.js';
import { arraySource } from './query.js';
import { mixedReply } from './reply.js';
import { type TimeLimit, timeLimit } from './time-limit.js';

const BUILD_LOOK_MS = 5;
const MAX_INDEXES = 64; // of a collection, as MongoDB's

/** The index that is already there for a specification; undefined when it is new. Throws 85 or 86 when one is in its way. */
function existing(collection: Collection, spec: RawValue): Index | undefined {
  const name = textOf(field(spec, 'name') as RawValue);
  const named = collection.indexes.find((index) => index.name === name);
  if (named !== undefined) {
    switch (relation(named, spec)) {
      case 'identical':
        return named;
      case 'equivalent':
        throw new StoreError(
          85,
          'IndexOptionsConflict',
          `An equivalent index already exists with the same name but different options: ${name}`,
        );
      case 'different':
        throw new StoreError(
          86,
          'IndexKeySpecsConflict',
          `An existing index has the same name as the requested index: ${name}. When index names are not specified, they are auto generated and can cause conflicts.`,
        );
    }
  }
  const alike = collection.indexes.find((index) => relation(index, spec) !== 'different');
  if (alike === undefined) return undefined;
  throw new StoreError(85, 'IndexOptionsConflict', `Index already exists with a different name: ${alike.name}`);
}

/** Fills new indexes with what the collection holds, a piece a transaction; writers keep them meanwhile. On an error they are gone again. Resolves to false when nothing was
 * done because somebody else builds one of them. */
async function build(store: Store, namespace: string, specs: readonly RawValue[], time: TimeLimit): Promise<boolean> {
  let others = false;
  const started: number[] = [];
  const own = (collection: Collection | undefined): Index[] =>
    collection?.indexes.filter(({ id }) => started.includes(id)) ?? [];
  let scan: ReturnType<typeof openScan> | undefined;
  try {
    await store.engine.write((outOfTime) => {
      time.check();
      const collection = store.catalog.find(namespace);
      if (collection === undefined) throw new StoreError(26, 'NamespaceNotFound', `ns does not exist: ${namespace}`);
      if (scan === undefined) {
        others = specs.some((spec) => existing(collection, spec)?.ready === false);
        if (others) return true;
        for (const spec of specs) {
          if (existing(collection, spec) !== undefined) continue;
          if (collection.indexes.length >= MAX_INDEXES)
            throw cannotCreate(`add index fails, too many indexes for ${namespace}, at most ${MAX_INDEXES}`);
          started.push(store.catalog.addIndex(collection, spec, false).id);
        }
        if (started.length === 0) return true;
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
      if (own(collection).length < started.length)
        throw new StoreError(276, 'IndexBuildAborted', `an index was dropped while it was built: ${namespace}`);
      for (const index of own(collection)) index.ready = true;
      collection.version++;
      store.catalog.touch(collection, true);
      return true;
    }, true);
    return !others;
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

/** Whether nothing is left to be made, which needs no room. Resolves when what is there is on the disk: another client may just have made it. Throws 85 or 86 as existing does. */
async function allThere(store: Store, namespace: string, specs: readonly RawValue[]): Promise<boolean> {
  const look = (): boolean => {
    const collection = store.catalog.find(namespace);
    return collection !== undefined && specs.every((spec) => existing(collection, spec)?.ready === true);
  };
  let there = look();
  if (there)
    await store.engine.write(() => {
      there = look();
      return true;
    }, false);
  return there;
}

/** `createIndexes`: makes what is not there yet, and the collection too. */
export const createIndexes: Handler = async (store, command) => {
  checkFields(command, ['indexes', 'commitQuorum', 'ignoreUnknownIndexOptions']);
  const namespace = namespaceOf(command);
  const lenient = flagOf(command.fields.get('ignoreUnknownIndexOptions'), 'ignoreUnknownIndexOptions');
  const specs = documentsOf(command, 'indexes').map((source) => indexSpec(source, lenient));
  if (specs.length === 0) throw cannotCreate('Must specify at least one index to create');
  let created = false;
  const known = store.catalog.find(namespace);
  const before = known?.indexes.length ?? 1;
  if (await allThere(store, namespace, specs)) {
    return mixedReply({ numIndexesBefore: before, numIndexesAfter: before, note: 'all indexes already exist' });
  }
  if (known === undefined) {
    await store.engine.write(() => {
      created = store.catalog.find(namespace) === undefined;
      collectionFor(store, targetOf(command));
      return true;
    }, true);
  }
  const time = timeLimit(countOption(command, 'maxTimeMS'));
  // Whether an index that another client builds can be built is known only when that has ended.
  while (!(await build(store, namespace, specs, time))) await sleep(BUILD_LOOK_MS);
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

function notFound(message: string): StoreError {
  return new StoreError(27, 'IndexNotFound', message);
}

/** The index of that name or with those keys. Throws IndexNotFound (27), and 181 when several have the keys. */
export function indexNamed(collection: Collection, wanted: RawValue): Index {
  if (wanted.type !== Type.object) {
    const name = stringOf(wanted, 'index');
    const found = collection.indexes.find((index) => index.name === name);
    if (found === undefined) throw notFound(`index not found with name [${name}]`);
    return found;
  }
  const [found, ...others] = collection.indexes.filter((index) => sameKeys(index, wanted));
  if (found === undefined) throw notFound(`can't find index with key: ${fields(wanted).map(([path]) => path)}`);
  if (others.length > 0) {
    const names = [found, ...others].map(({ name }) => name);
    throw new StoreError(
      181,
      'AmbiguousIndexKeyPattern',
      `${names.length} indexes have these keys, identify one by its name instead: ${names.join(', ')}`,
    );
  }
  return found;
}

function indexesToDrop(collection: Collection, wanted: RawValue): Index[] {
  if (wanted.type === Type.string && textOf(wanted) === '*')
    return collection.indexes.filter(({ name }) => name !== '_id_');
  const names = wanted.type === Type.array ? elements(wanted) : [wanted];
  if (wanted.type === Type.array && names.some(({ type }) => type !== Type.string))
    throw typeMismatch("BSON field 'dropIndexes.index' must be a list of names");
  const found = names.map((one) => indexNamed(collection, one));
  if (found.some(({ name }) => name === '_id_')) throw new StoreError(72, 'InvalidOptions', 'cannot drop _id index');
  return [...new Set(found)];
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
    for (const index of indexesToDrop(collection, wanted)) store.catalog.dropIndex(collection, index);
    return true;
  }, false);
  void collectGarbage(store);
  const all = wanted.type === Type.string && textOf(wanted) === '*';
  return mixedReply({ nIndexesWas: before, msg: all ? 'non-_id indexes dropped for collection' : undefined });
};
