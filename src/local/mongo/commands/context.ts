import { eachField, elements, field, type RawValue, Type } from '../bson/raw-value.js';
import { integerOf, stringOf } from '../bson/values.js';
import { badValue, notImplemented, StoreError, typeMismatch } from '../errors.js';
import type { Catalog, Collection } from '../storage/catalog.js';
import type { Engine } from '../storage/engine.js';
import type { Records } from '../storage/records.js';
import type { Command } from '../wire/message.js';
import type { Cursors } from './cursors.js';
import type { Wakes } from './tailable.js';

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
  checkWriteConcern(command.fields.get('writeConcern'));
  const concern = command.fields.get('readConcern');
  if (concern?.type === Type.object) {
    eachField(concern, (name, value) => {
      if (name !== 'level') throw notImplemented(`'${name}' of a read concern`);
      const level = stringOf(value, 'readConcern.level');
      if (!['local', 'available', 'majority', 'linearizable'].includes(level))
        throw notImplemented(`the read concern '${level}'`);
      return false;
    });
  }
}

/** Every write is acknowledged when flushed, by the one host there is: `w` is a number up to 1 or 'majority'. */
function checkWriteConcern(concern: RawValue | undefined): void {
  const w = concern?.type === Type.object ? field(concern, 'w') : undefined;
  if (w === undefined) return;
  if (w.type === Type.string ? stringOf(w, 'w') !== 'majority' : integerOf(w, 'writeConcern.w') > 1) {
    throw badValue("cannot use 'w' > 1 when a host is not replicated");
  }
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

/** The collection's name that a command gives. Throws 73 on a name that is none. */
export function collectionName(command: Command): string {
  const value = command.fields.get(command.name);
  const name = stringOf(value, command.name);
  if (name === '' || name.includes('\0') || name.startsWith('.')) {
    throw new StoreError(73, 'InvalidNamespace', `Invalid collection name: '${name}'`);
  }
  if (name.startsWith('$cmd') || name.includes('$'))
    throw new StoreError(73, 'InvalidNamespace', `Invalid collection name: ${name}`);
  return name;
}

/** The namespace `database.collection` of a command. Throws as collectionName, and 73 on a wrong database. */
export function namespaceOf(command: Command): string {
  const { database } = command;
  if (database === '' || /[/\\. "$\0]/.test(database) || database.length > 63) {
    throw new StoreError(73, 'InvalidNamespace', `Invalid database name: '${database}'`);
  }
  return `${database}.${collectionName(command)}`;
}

/** The collection, made when missing; to be called inside a write. Throws as collectionName. */
export function collectionFor(store: Store, command: Command): Collection {
  const found = store.catalog.find(namespaceOf(command));
  if (found !== undefined) return found;
  const name = collectionName(command);
  if (name.startsWith('system.'))
    throw new StoreError(73, 'InvalidNamespace', `cannot write to '${command.database}.${name}'`);
  return store.catalog.create(command.database, name);
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

/** A field that must be a document; an empty one when it is missing. Throws TypeMismatch. */
export function documentField(value: RawValue | undefined, name: string): RawValue {
  if (value === undefined || value.type === Type.null) return EMPTY_DOCUMENT;
  if (value.type !== Type.object) throw typeMismatch(`field '${name}' must be an object`);
  return value;
}

/** `{}` */
export const EMPTY_DOCUMENT: RawValue = { type: Type.object, bytes: Buffer.from([5, 0, 0, 0, 0]), start: 0, end: 5 };

/** A hint: an index's name, or its keys, resolved to the name. Throws BadValue when no index has those keys. */
export function hintOf(value: RawValue | undefined, collection: Collection | undefined): string | undefined {
  if (value === undefined || collection === undefined) return undefined;
  if (value.type === Type.string) return stringOf(value, 'hint');
  const wanted = documentField(value, 'hint');
  const names: string[] = [];
  eachField(wanted, (name, direction) => {
    const sign = direction.type === Type.int32 ? direction.bytes.readInt32LE(direction.start) : 1;
    names.push(`${name}:${sign}`);
    return false;
  });
  if (names.length === 0) return undefined;
  if (names[0]?.startsWith('$natural')) return '$natural';
  const found = collection.indexes.find(
    ({ keys }) => keys.map(({ path, direction }) => `${path}:${direction}`).join() === names.join(),
  );
  if (found === undefined) throw badValue(`hint provided does not correspond to an existing index: ${names.join()}`);
  return found.name;
}
