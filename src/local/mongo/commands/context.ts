import { bytesOf, eachField, elements, field, fields, type RawValue, Type } from '../bson/raw-value.js';
import { flagOf, integerOf, stringOf } from '../bson/values.js';
import { badValue, failedToParse, notImplemented, StoreError, typeMismatch } from '../errors.js';
import type { Catalog, Collection } from '../storage/catalog.js';
import type { Engine } from '../storage/engine.js';
import type { Records } from '../storage/records.js';
import type { Command } from '../wire/message.js';
import type { Cursors } from './cursors.js';
import type { Wakes } from './wakes.js';

/** What all commands work with. */
export interface Store {
  readonly engine: Engine;
  readonly catalog: Catalog;
  readonly records: Records;
  readonly cursors: Cursors;
  readonly wakes: Wakes;
  /** The wall clock, ms since 1970. */
  now(): number;
  /** Open connections. */
  clients(): number;
  /** Milliseconds since the start. */
  uptimeMs(): number;
}

/** Who asks. */
export interface Asker {
  readonly connectionId: number;
  readonly signal: AbortSignal;
}

/** A command: it answers with a BSON document or throws. */
export type Handler = (store: Store, command: Command, asker: Asker) => Promise<Buffer> | Buffer;

// Fields that any command may carry and that change nothing here: every acknowledged write is flushed, every read sees only what is.
const COMMON = new Set(
  (
    '$db lsid $clusterTime $readPreference readConcern writeConcern comment maxTimeMS apiVersion apiStrict ' +
    'apiDeprecationErrors serverApi $audit $client $configServerState allowImplicitCollectionCreation'
  ).split(' '),
);

/** Options that change nothing here, but must be what they say. */
const FLAGS = ['allowDiskUse', 'bypassDocumentValidation', 'allowPartialResults', 'oplogReplay'];
const MAX_INT32 = 0x7fffffff;

/** Refuses fields that a command does not know, and transactions. Throws 40415 naming the field, NotImplemented for what MongoDB knows but this store does not. */
export function checkFields(command: Command, known: readonly string[], refused: readonly string[] = []): void {
  for (const name of command.fields.keys()) {
    if (name === command.name || COMMON.has(name) || known.includes(name)) continue;
    if (name === 'txnNumber' || name === 'startTransaction' || name === 'autocommit') {
      // Not the stand-alone server's code 20: drivers put a text of their own in place of that one.
      throw notImplemented('transactions and retryable writes: it is a stand-alone server');
    }
    if (refused.includes(name)) throw notImplemented(`'${name}' of ${command.name}`);
    throw new StoreError(40415, 'Location40415', `BSON field '${command.name}.${name}' is an unknown field.`);
  }
  const api = command.fields.get('apiVersion');
  if (api !== undefined && stringOf(api, 'apiVersion') !== '1')
    throw new StoreError(322, 'APIVersionError', `API version must be "1"`);
  for (const name of FLAGS) flagOf(command.fields.get(name), name);
  const limit = countOption(command, 'maxTimeMS') ?? 0;
  if (limit > MAX_INT32) throw badValue(`${limit} value for maxTimeMS is out of range [0, ${MAX_INT32}]`);
  checkWriteConcern(concernOf(command, 'writeConcern'));
  eachField(concernOf(command, 'readConcern'), (name, value) => {
    if (name !== 'level') throw notImplemented(`'${name}' of a read concern`);
    const level = stringOf(value, 'readConcern.level');
    if (!['local', 'available', 'majority', 'linearizable'].includes(level))
      throw notImplemented(`the read concern '${level}'`);
    return false;
  });
}

function concernOf(command: Command, name: string): RawValue {
  const value = command.fields.get(name);
  if (value !== undefined && value.type !== Type.object) throw typeMismatch(`field '${name}' must be an object`);
  return value ?? EMPTY_DOCUMENT;
}

/** Every write is acknowledged when flushed, by the one host there is: `w` is a number up to 1 or 'majority'. */
function checkWriteConcern(concern: RawValue): void {
  eachField(concern, (name, value) => {
    if (!['w', 'j', 'fsync', 'wtimeout', 'provenance'].includes(name))
      throw new StoreError(40415, 'Location40415', `BSON field 'writeConcern.${name}' is an unknown field.`);
    if (name !== 'w') return false;
    const hosts = value.type === Type.string ? undefined : integerOf(value, 'writeConcern.w');
    if (hosts === undefined ? stringOf(value, 'w') !== 'majority' : hosts > 1)
      throw badValue("cannot use 'w' > 1 when a host is not replicated");
    if (hosts !== undefined && hosts < 0)
      throw failedToParse('w has to be a non-negative number and not greater than 50');
    return false;
  });
}

/** Refuses a collation other than the simple one (comparing by bytes). */
export function checkCollation(value: RawValue | undefined): void {
  if (value === undefined) return;
  if (value.type !== Type.object) throw typeMismatch("field 'collation' must be an object");
  eachField(value, (name, setting) => {
    if (name !== 'locale' || stringOf(setting, 'collation.locale') !== 'simple') throw notImplemented('collations');
    return false;
  });
}

/** A collection by its names, which need not exist. */
export interface Target {
  readonly database: string;
  readonly name: string;
  /** `database.name` */
  readonly namespace: string;
}

const MAX_NAMESPACE_BYTES = 255; // as MongoDB's

function invalidNamespace(message: string): StoreError {
  return new StoreError(73, 'InvalidNamespace', message);
}

/** Checks the names of a collection. Throws InvalidNamespace (73) on one that cannot be. */
export function target(database: string, name: string): Target {
  if (database === '' || /[/\\. "$\0]/.test(database) || database.length > 63) {
    throw invalidNamespace(`Invalid database name: '${database}'`);
  }
  if (name === '' || name.startsWith('.') || /[$\0]/.test(name)) {
    throw invalidNamespace(`Invalid collection name: '${name}'`);
  }
  const namespace = `${database}.${name}`;
  if (Buffer.byteLength(namespace) > MAX_NAMESPACE_BYTES) {
    throw invalidNamespace(`Fully qualified namespace is too long, at most ${MAX_NAMESPACE_BYTES} bytes: ${namespace}`);
  }
  return { database, name, namespace };
}

/** The collection of a namespace `database.collection`. Throws as target does. */
export function targetNamed(namespace: string): Target {
  const dot = namespace.indexOf('.');
  return target(namespace.slice(0, Math.max(0, dot)), namespace.slice(dot + 1));
}

/** The collection that a command names by the value of its first field. Throws as target does. */
export function targetOf(command: Command): Target {
  return target(command.database, stringOf(command.fields.get(command.name), command.name));
}

/** The session of a command in a form that can be compared; undefined without one. Throws TypeMismatch. */
export function sessionOf(command: Command): string | undefined {
  const value = command.fields.get('lsid');
  return value === undefined ? undefined : sessionName(value);
}

/** The sessions that a command names by the list in its first field. Throws TypeMismatch. */
export function sessionsOf(command: Command): string[] {
  const list = command.fields.get(command.name);
  if (list?.type !== Type.array) throw typeMismatch(`BSON field '${command.name}' must be an array`);
  return elements(list).map(sessionName);
}

function sessionName(value: RawValue): string {
  const id = value.type === Type.object ? field(value, 'id') : undefined;
  if (id?.type !== Type.binary) throw typeMismatch("a session must be a document with a UUID 'id'");
  return bytesOf(id).toString('hex', 5);
}

/** The namespace `database.collection` of a command. Throws as target does. */
export function namespaceOf(command: Command): string {
  return targetOf(command).namespace;
}

/** The collection, made when missing; to be called inside a write. Throws InvalidNamespace (73) on one of the system's. */
export function collectionFor(store: Store, { database, name, namespace }: Target): Collection {
  const found = store.catalog.find(namespace);
  if (found !== undefined) return found;
  if (name.startsWith('system.')) throw invalidNamespace(`cannot write to '${namespace}'`);
  return store.catalog.create(database, name);
}

/** Documents of a command: a kind-1 section of that name, or an array in the body. Throws BadValue when there is neither. */
export function documentsOf(command: Command, name: string): readonly RawValue[] {
  const section = command.sequences.get(name);
  if (section !== undefined) return section;
  const value = command.fields.get(name);
  if (value?.type !== Type.array) throw badValue(`field '${name}' of ${command.name} is missing or no array`);
  const list = elements(value);
  if (list.some(({ type }) => type !== Type.object)) throw typeMismatch(`field '${name}' must hold documents`);
  return list;
}

/** A whole number of a command, 0 or more; undefined when it is missing. Throws BadValue on a negative one. */
export function countOption(command: Command, name: string): number | undefined {
  const value = command.fields.get(name);
  if (value === undefined || value.type === Type.null) return undefined;
  const number = integerOf(value, name);
  if (number < 0) throw badValue(`BSON field '${name}' value must be >= 0, actual value '${number}'`);
  return number;
}

/** A field that must be a document; an empty one when it is missing. Throws TypeMismatch. */
export function documentField(value: RawValue | undefined, name: string): RawValue {
  if (value === undefined || value.type === Type.null) return EMPTY_DOCUMENT;
  if (value.type !== Type.object) throw typeMismatch(`field '${name}' must be an object`);
  return value;
}

/** `{}` */
export const EMPTY_DOCUMENT: RawValue = { type: Type.object, bytes: Buffer.from([5, 0, 0, 0, 0]), start: 0, end: 5 };

/** Which way `{$natural: 1}` or `{$natural: -1}` goes; undefined on another document. Throws BadValue on another direction. */
export function naturalOrder(source: RawValue | undefined): 1 | -1 | undefined {
  const direction = source?.type === Type.object ? field(source, '$natural') : undefined;
  if (source === undefined || direction === undefined) return undefined;
  const number = integerOf(direction, '$natural');
  if ((number !== 1 && number !== -1) || fields(source).length > 1)
    throw badValue('$natural must be 1 or -1 and stand alone');
  return number;
}

/** A hint as the planner takes it: an index's name, given as such or by its keys, `$natural` or `$natural:-1`. Throws BadValue when no index has those keys. */
export function hintOf(value: RawValue | undefined, collection: Collection | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (value.type !== Type.string && value.type !== Type.object)
    throw failedToParse('Hint must be a string or an object');
  if (collection === undefined) return undefined;
  if (value.type === Type.string) return stringOf(value, 'hint');
  const natural = naturalOrder(value);
  if (natural !== undefined) return natural === 1 ? '$natural' : '$natural:-1';
  const wanted = fields(documentField(value, 'hint')).map(
    ([path, direction]) => `${path}:${integerOf(direction, 'hint') < 0 ? -1 : 1}`,
  );
  if (wanted.length === 0) return undefined;
  const found = collection.indexes.find(
    ({ keys, hidden }) => !hidden && keys.map(({ path, direction }) => `${path}:${direction}`).join() === wanted.join(),
  );
  if (found === undefined) throw badValue(`hint provided does not correspond to an existing index: ${wanted.join()}`);
  return found.name;
}
