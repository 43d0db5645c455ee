import { fields, type RawValue, rawDocument } from '../bson/raw-value.js';
import { flagOf, stringOf } from '../bson/values.js';
import { bsonWriter } from '../bson/writer.js';
import { notImplemented, StoreError } from '../errors.js';
import type { Collection, Index } from '../storage/catalog.js';
import { checkFields, documentField, type Handler, namespaceOf, type Target, targetNamed } from './context.js';
import { collectGarbage } from './garbage.js';
import { expirySeconds } from './index-spec.js';
import { indexNamed } from './indexes.js';
import { mixedReply } from './reply.js';

function illegal(message: string): StoreError {
  return new StoreError(20, 'IllegalOperation', message);
}

function checkRename(from: Target, to: Target): void {
  if (from.namespace === to.namespace) throw illegal("Can't rename a collection to itself");
  for (const { name, namespace } of [from, to])
    if (name.startsWith('system.')) throw illegal(`a collection of the system cannot be renamed: ${namespace}`);
}

/** `renameCollection`: the documents stay where they are, to another database too; cursors on the old name end. */
export const renameCollection: Handler = async (store, command) => {
  checkFields(command, ['to', 'dropTarget', 'stayTemp']);
  const from = targetNamed(stringOf(command.fields.get('renameCollection'), 'renameCollection'));
  const to = targetNamed(stringOf(command.fields.get('to'), 'to'));
  checkRename(from, to);
  const dropTarget = flagOf(command.fields.get('dropTarget'), 'dropTarget');
  await store.engine.write(() => {
    const collection = store.catalog.find(from.namespace);
    if (collection === undefined)
      throw new StoreError(26, 'NamespaceNotFound', `Source collection ${from.namespace} does not exist`);
    if (collection.indexes.some(({ ready }) => !ready)) {
      throw new StoreError(
        12587,
        'BackgroundOperationInProgressForNamespace',
        `cannot perform operation: an index build is currently running for collection ${from.namespace}`,
      );
    }
    const inTheWay = store.catalog.find(to.namespace);
    if (inTheWay !== undefined && !dropTarget) throw new StoreError(48, 'NamespaceExists', 'target namespace exists');
    if (inTheWay !== undefined) store.catalog.drop(inTheWay);
    store.catalog.rename(collection, to.database, to.name);
    store.wakes.note(from.namespace);
    store.wakes.note(to.namespace);
    return true;
  }, true);
  void collectGarbage(store);
  return mixedReply({});
};

/** What is to be changed of an index. */
interface IndexChange {
  readonly wanted: RawValue;
  readonly seconds: number | undefined;
  readonly hidden: boolean | undefined;
}

function indexChange(source: RawValue): IndexChange {
  const given = new Map(fields(source));
  for (const name of given.keys()) {
    if (name === 'unique' || name === 'prepareUnique') throw notImplemented(`'index.${name}' of collMod`);
    if (!['name', 'keyPattern', 'expireAfterSeconds', 'hidden'].includes(name))
      throw new StoreError(40415, 'Location40415', `BSON field 'collMod.index.${name}' is an unknown field.`);
  }
  const wanted = given.get('name') ?? given.get('keyPattern');
  if (wanted === undefined || (given.has('name') && given.has('keyPattern')))
    throw new StoreError(72, 'InvalidOptions', 'Must specify either index name or key pattern, not both');
  const seconds = given.get('expireAfterSeconds');
  const hidden = given.get('hidden');
  if (seconds === undefined && hidden === undefined)
    throw new StoreError(72, 'InvalidOptions', 'no expireAfterSeconds or hidden field');
  return {
    wanted,
    seconds: seconds === undefined ? undefined : expirySeconds(seconds),
    hidden: hidden === undefined ? undefined : flagOf(hidden, 'hidden'),
  };
}

function changedSpec(index: Index, { seconds, hidden }: IndexChange): RawValue {
  const writer = bsonWriter();
  for (const [name, value] of fields(index.spec)) {
    if (name === 'hidden' ? hidden === undefined : name !== 'expireAfterSeconds' || seconds === undefined)
      writer.value(name, value);
  }
  if (seconds !== undefined) writer.int32('expireAfterSeconds', seconds);
  if (hidden === true) writer.bool('hidden', true);
  return rawDocument(writer.finish());
}

function checkChange(collection: Collection, index: Index, { seconds, hidden }: IndexChange): void {
  const refuse = (message: string): StoreError => new StoreError(72, 'InvalidOptions', message);
  if (index.name === '_id_')
    throw refuse(hidden === undefined ? 'the _id index cannot expire' : "can't hide _id index");
  if (seconds !== undefined && index.keys.length > 1)
    throw refuse('TTL indexes are single-field indexes, compound indexes do not support TTL');
  if (!index.ready) throw refuse(`index ${index.name} of ${collection.namespace} is still being built`);
}

const REFUSED = (
  'validator validationLevel validationAction viewOn pipeline cappedSize cappedMax changeStreamPreAndPostImages ' +
  'expireAfterSeconds timeseries clusteredIndex recordPreImages'
).split(' ');

/** `collMod`: changes expireAfterSeconds and hidden of an index; the answer tells what was and what is. */
export const collMod: Handler = async (store, command) => {
  checkFields(command, ['index'], REFUSED);
  const namespace = namespaceOf(command);
  const source = command.fields.get('index');
  const change = source === undefined ? undefined : indexChange(documentField(source, 'index'));
  let before: Index | undefined;
  await store.engine.write(() => {
    const collection = store.catalog.find(namespace);
    if (collection === undefined) throw new StoreError(26, 'NamespaceNotFound', `ns does not exist: ${namespace}`);
    if (change === undefined) return true;
    before = indexNamed(collection, change.wanted);
    checkChange(collection, before, change);
    store.catalog.changeIndex(collection, before, changedSpec(before, change));
    return true;
  }, true);
  if (before === undefined || change === undefined) return mixedReply({});
  const turned = change.hidden !== undefined && change.hidden !== before.hidden;
  return mixedReply({
    ...(change.seconds === undefined
      ? {}
      : { expireAfterSeconds_old: before.expireAfterSeconds, expireAfterSeconds_new: change.seconds }),
    ...(turned ? { hidden_old: before.hidden, hidden_new: change.hidden } : {}),
  });
};
