import { fields, type RawValue } from '../bson/raw-value.js';
import { date, flagOf, integerOf } from '../bson/values.js';
import { badValue, notImplemented, StoreError } from '../errors.js';
import { compileFilter } from '../query/filter.js';
import type { Collection } from '../storage/catalog.js';
import { checkFields, documentField, type Handler, namespaceOf, type Store } from './context.js';
import { mixedDocument, mixedReply } from './reply.js';

function scaleOf(value: RawValue | undefined): number {
  const scale = value === undefined ? 1 : integerOf(value, 'scale');
  if (scale < 1) throw badValue(`BSON field 'scale' value must be >= 1, actual value '${scale}'`);
  return scale;
}

/** Counts and bytes of documents; what an index takes is not known, so nothing says it. */
function storageStats(collection: Collection | undefined, scale: number): Record<string, unknown> {
  const count = collection?.count ?? 0;
  const size = collection?.bytes ?? 0;
  const capped = collection?.capped;
  return {
    size: Math.floor(size / scale),
    count,
    ...(count > 0 ? { avgObjSize: Math.round(size / count) } : {}),
    numOrphanDocs: 0,
    storageSize: Math.floor(size / scale),
    nindexes: collection?.indexes.length ?? 0,
    capped: capped !== undefined,
    ...(capped === undefined ? {} : { max: capped.maxDocuments, maxSize: Math.floor(capped.maxBytes / scale) }),
    scaleFactor: scale,
  };
}

/** `collStats`. */
export const collStats: Handler = (store, command) => {
  checkFields(command, ['scale']);
  const ns = namespaceOf(command);
  return mixedReply({ ns, ...storageStats(store.catalog.find(ns), scaleOf(command.fields.get('scale'))) });
};

/** What the stage $collStats begins a pipeline with. Throws NamespaceNotFound (26), 40415, and by name on what is not counted. */
export function collStatsDocument(store: Store, ns: string, operand: RawValue): RawValue {
  const asked = new Map(fields(documentField(operand, '$collStats')));
  for (const name of asked.keys()) {
    if (name === 'latencyStats' || name === 'queryExecStats') throw notImplemented(`'${name}' of $collStats`);
    if (name !== 'count' && name !== 'storageStats')
      throw new StoreError(40415, 'Location40415', `BSON field '$collStats.${name}' is an unknown field.`);
  }
  const collection = store.catalog.find(ns);
  if (collection === undefined) throw new StoreError(26, 'NamespaceNotFound', `Collection [${ns}] not found.`);
  const storage = asked.get('storageStats');
  const options = storage === undefined ? [] : fields(documentField(storage, '$collStats.storageStats'));
  const scale = scaleOf(options.find(([name]) => name === 'scale')?.[1]);
  return mixedDocument({
    ns,
    localTime: date(store.now()),
    ...(storage === undefined ? {} : { storageStats: mixedDocument(storageStats(collection, scale)) }),
    ...(asked.has('count') ? { count: collection.count } : {}),
  });
}

/** `dbStats`: the sums over a database. */
export const dbStats: Handler = (store, command) => {
  checkFields(command, ['scale', 'freeStorage']);
  const scale = scaleOf(command.fields.get('scale'));
  const own = store.catalog.all().filter(({ database }) => database === command.database);
  const objects = own.reduce((sum, { count }) => sum + count, 0);
  const bytes = own.reduce((sum, collection) => sum + collection.bytes, 0);
  return mixedReply({
    db: command.database,
    collections: own.length,
    views: 0,
    objects,
    avgObjSize: objects === 0 ? 0 : bytes / objects,
    dataSize: Math.floor(bytes / scale),
    storageSize: Math.floor(bytes / scale),
    indexes: own.reduce((sum, { indexes }) => sum + indexes.length, 0),
    scaleFactor: scale,
  });
};

/** `listDatabases`: those that have a collection. */
export const listDatabases: Handler = (store, command) => {
  checkFields(command, ['filter', 'nameOnly', 'authorizedDatabases']);
  const filter = compileFilter(documentField(command.fields.get('filter'), 'filter'));
  const nameOnly = flagOf(command.fields.get('nameOnly'), 'nameOnly');
  const sizes = new Map<string, number>();
  for (const { database, bytes } of store.catalog.all()) sizes.set(database, (sizes.get(database) ?? 0) + bytes);
  const found = [...sizes]
    .map(([name, sizeOnDisk]) => ({ name, sizeOnDisk, empty: false }))
    .filter((one) => filter.matches(mixedDocument(one)));
  if (nameOnly) return mixedReply({ databases: found.map(({ name }) => ({ name })) });
  const totalSize = found.reduce((sum, { sizeOnDisk }) => sum + sizeOnDisk, 0);
  return mixedReply({ databases: found, totalSize, totalSizeMb: Math.floor(totalSize / 1048576) });
};
