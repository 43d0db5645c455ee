import { field, type RawValue, textOf } from '../bson/raw-value.js';
import { flagOf, integerOf } from '../bson/values.js';
import { badValue, notImplemented, StoreError } from '../errors.js';
import { compileFilter } from '../query/filter.js';
import type { Collection } from '../storage/catalog.js';
import type { Command } from '../wire/message.js';
import { batchSizeOf, startCursor } from './batches.js';
import { checkCollation, checkFields, documentField, type Handler, namespaceOf, targetOf } from './context.js';
import { collectGarbage } from './garbage.js';
import { indexSpec } from './index-spec.js';
import { arraySource } from './query.js';
import { mixedDocument, mixedReply } from './reply.js';

const CAPPED_MIN_BYTES = 4096;

/** The index of _id is always there and always the same. Throws BadValue on another one, NotImplemented on none. */
function checkIdIndex(command: Command): void {
  const autoIndexId = command.fields.get('autoIndexId');
  if (autoIndexId !== undefined && !flagOf(autoIndexId, 'autoIndexId'))
    throw notImplemented("'autoIndexId: false' of create");
  const idIndex = command.fields.get('idIndex');
  if (idIndex === undefined) return;
  const name = field(indexSpec(documentField(idIndex, 'idIndex')), 'name');
  if (name === undefined || textOf(name) !== '_id_') throw badValue("the 'idIndex' must have the key {_id: 1}");
}

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
  checkIdIndex(command);
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
  }, store.catalog.find(namespace) === undefined); // what is there needs no room, but is to be on the disk
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
    store.wakes.note(namespace);
    return true;
  }, false);
  void collectGarbage(store);
  return mixedReply({ nIndexesWas: indexes, ns: namespace });
};

/** `dropDatabase`. */
export const dropDatabase: Handler = async (store, command) => {
  checkFields(command, []);
  await store.engine.write(() => {
    for (const collection of store.catalog.all()) {
      if (collection.database !== command.database) continue;
      store.catalog.drop(collection);
      store.wakes.note(collection.namespace);
    }
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

/** `listCollections`, with a filter on what it lists: with nameOnly on the name and the type. */
export const listCollections: Handler = async (store, command) => {
  checkFields(command, ['filter', 'nameOnly', 'authorizedCollections', 'cursor']);
  const filter = compileFilter(documentField(command.fields.get('filter'), 'filter'));
  const nameOnly = flagOf(command.fields.get('nameOnly'), 'nameOnly');
  const list = store.catalog
    .all()
    .filter(({ database }) => database === command.database)
    .map((collection) => describe(collection, nameOnly))
    .filter((one) => filter.matches(one));
  return await startCursor(store, command, {
    namespace: `${command.database}.$cmd.listCollections`,
    source: arraySource(list),
    batchSize: batchSizeOf(command),
  });
};
