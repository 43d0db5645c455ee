import type { RawValue } from '../bson/raw-value.js';
import { flagOf, integerOf } from '../bson/values.js';
import { notImplemented, StoreError } from '../errors.js';
import { compileFilter } from '../query/filter.js';
import type { Collection } from '../storage/catalog.js';
import { batchSizeOf, startCursor } from './batches.js';
import {
  checkCollation,
  checkFields,
  documentField,
  type Handler,
  namespaceOf,
  type Store,
  targetOf,
} from './context.js';
import { collectGarbage } from './garbage.js';
import { arraySource } from './query.js';
import { mixedDocument, mixedReply } from './reply.js';

const CAPPED_MIN_BYTES = 4096;

/** `create`: a plain or a capped collection. */
export const create: Handler = async (store, command) => {
  checkFields(
    command,
    ['capped', 'size', 'max', 'autoIndexId', 'collation', 'idIndex'],
    [
      'timeseries',
      'viewOn',
      'pipeline',
      'validator',
      'validationLevel',
      'validationAction',
      'clusteredIndex',
      'expireAfterSeconds',
      'changeStreamPreAndPostImages',
      'storageEngine',
      'indexOptionDefaults',
      'encryptedFields',
    ],
  );
  checkCollation(command.fields.get('collation'));
  const { namespace, name } = targetOf(command);
  if (name.startsWith('system.')) throw notImplemented(`the collection ${name}`);
  const size = command.fields.get('size');
  const max = command.fields.get('max');
  let capped: Collection['capped'];
  if (flagOf(command.fields.get('capped'), 'capped')) {
    if (size === undefined)
      throw new StoreError(72, 'InvalidOptions', "the 'size' field is required when 'capped' is true");
    capped = {
      maxBytes: Math.max(CAPPED_MIN_BYTES, integerOf(size, 'size')),
      maxDocuments: max === undefined ? 0 : Math.max(0, integerOf(max, 'max')),
    };
  } else if (size !== undefined || max !== undefined) {
    throw new StoreError(72, 'InvalidOptions', "the 'capped' field needs to be true when 'size' or 'max' is given");
  }
  await store.engine.write(() => {
    const known = store.catalog.find(namespace);
    if (known !== undefined) {
      const same = known.capped?.maxBytes === capped?.maxBytes && known.capped?.maxDocuments === capped?.maxDocuments;
      if (same) return true;
      throw new StoreError(48, 'NamespaceExists', `namespace ${namespace} already exists, but with different options`);
    }
    store.catalog.create(command.database, name, capped);
    return true;
  }, true);
  return mixedReply({});
};

/** `drop`: the collection is gone at once, its space is given back behind the scenes. */
export const drop: Handler = async (store, command) => {
  checkFields(command, []);
  const namespace = namespaceOf(command);
  let indexes = 0;
  await store.engine.write(() => {
    const collection = store.catalog.find(namespace);
    if (collection === undefined) throw new StoreError(26, 'NamespaceNotFound', 'ns not found');
    indexes = collection.indexes.length;
    store.catalog.drop(collection);
    return true;
  }, false);
  void collectGarbage(store);
  return mixedReply({ nIndexesWas: indexes, ns: namespace });
};

/** `dropDatabase`. */
export const dropDatabase: Handler = async (store, command) => {
  checkFields(command, []);
  await store.engine.write(() => {
    for (const collection of store.catalog.all())
      if (collection.database === command.database) store.catalog.drop(collection);
    return true;
  }, false);
  void collectGarbage(store);
  return mixedReply({ dropped: command.database });
};

function describe(collection: Collection, nameOnly: boolean): RawValue {
  const { capped, name } = collection;
  if (nameOnly) return mixedDocument({ name, type: 'collection' });
  const options =
    capped === undefined
      ? {}
      : { capped: true, size: capped.maxBytes, ...(capped.maxDocuments > 0 ? { max: capped.maxDocuments } : {}) };
  return mixedDocument({
    name,
    type: 'collection',
    options,
    info: { readOnly: false },
    idIndex: collection.indexes.find((index) => index.name === '_id_')?.spec,
  });
}

/** `listCollections`, with a filter on what it lists. */
export const listCollections: Handler = async (store, command) => {
  checkFields(command, ['filter', 'nameOnly', 'authorizedCollections', 'cursor']);
  const filter = compileFilter(documentField(command.fields.get('filter'), 'filter'));
  const nameOnly = flagOf(command.fields.get('nameOnly'), 'nameOnly');
  const list = store.catalog
    .all()
    .filter(({ database }) => database === command.database)
    .map((collection) => ({ full: describe(collection, false), shown: describe(collection, nameOnly) }))
    .filter(({ full }) => filter.matches(full))
    .map(({ shown }) => shown);
  return await startCursor(store, command, {
    namespace: `${command.database}.$cmd.listCollections`,
    source: arraySource(list),
    batchSize: batchSizeOf(command),
  });
};

/** `listDatabases`: those that have a collection. */
export const listDatabases: Handler = (store, command) => {
  checkFields(command, ['filter', 'nameOnly', 'authorizedDatabases']);
  const filter = compileFilter(documentField(command.fields.get('filter'), 'filter'));
  const sizes = new Map<string, number>();
  for (const { database, bytes } of store.catalog.all()) sizes.set(database, (sizes.get(database) ?? 0) + bytes);
  const nameOnly = flagOf(command.fields.get('nameOnly'), 'nameOnly');
  const databases = [...sizes]
    .map(([name, sizeOnDisk]) => ({ name, sizeOnDisk, empty: false }))
    .filter((one) => filter.matches(mixedDocument(one)))
    .map((one) => (nameOnly ? { name: one.name } : one));
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  return mixedReply(
    nameOnly ? { databases } : { databases, totalSize: total, totalSizeMb: Math.floor(total / 1048576) },
  );
};

function statistics(collection: Collection | undefined, namespace: string): Record<string, unknown> {
  const count = collection?.count ?? 0;
  const size = collection?.bytes ?? 0;
  return {
    ns: namespace,
    count,
    size,
    ...(count > 0 ? { avgObjSize: Math.round(size / count) } : {}),
    storageSize: size,
    nindexes: collection?.indexes.length ?? 0,
    totalIndexSize: 0,
    indexSizes: {},
    capped: collection?.capped !== undefined,
    ...(collection?.capped === undefined
      ? {}
      : { maxSize: collection.capped.maxBytes, max: collection.capped.maxDocuments }),
    scaleFactor: 1,
  };
}

/** `collStats`: counts and bytes of documents; sizes of indexes are not counted. */
export const collStats: Handler = (store, command) => {
  checkFields(command, ['scale']);
  const namespace = namespaceOf(command);
  return mixedReply(statistics(store.catalog.find(namespace), namespace));
};

/** `dbStats`: the sums over a database. */
export const dbStats: Handler = (store: Store, command) => {
  checkFields(command, ['scale', 'freeStorage']);
  const own = store.catalog.all().filter(({ database }) => database === command.database);
  const dataSize = own.reduce((sum, { bytes }) => sum + bytes, 0);
  return mixedReply({
    db: command.database,
    collections: own.length,
    views: 0,
    objects: own.reduce((sum, { count }) => sum + count, 0),
    dataSize,
    storageSize: store.engine.usedBytes(),
    indexes: own.reduce((sum, { indexes }) => sum + indexes.length, 0),
    scaleFactor: 1,
  });
};
