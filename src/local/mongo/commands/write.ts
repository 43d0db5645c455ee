import { elements, field, fields, findField, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { resetScratch, scratch } from '../bson/scratch.js';
import { flagOf, integerOf, newObjectId } from '../bson/values.js';
import { bsonWriter } from '../bson/writer.js';
import { failedToParse, notImplemented, StoreError } from '../errors.js';
import { commandScope, type Scope } from '../query/expression.js';
import { compileFilter, type Filter } from '../query/filter.js';
import { planQuery } from '../query/plan.js';
import type { Collection } from '../storage/catalog.js';
import type { WriteStep } from '../storage/engine.js';
import { recordKey } from '../storage/index-key.js';
import { openScan, type Scan } from '../storage/scan.js';
import { compileUpdate, MAX_DOCUMENT_BYTES, type Update, upsertDocument } from '../update/update.js';
import type { Command } from '../wire/message.js';
import {
  checkCollation,
  checkFields,
  collectionFor,
  documentField,
  documentsOf,
  type Handler,
  hintOf,
  namespaceOf,
  type Store,
} from './context.js';
import { errorFields, mixedReply } from './reply.js';

const ID = Buffer.from('_id');
const MAX_STATEMENTS = 100_000; // maxWriteBatchSize of hello

interface Tally {
  n: number;
  modified: number;
  readonly upserted: { index: number; _id: RawValue }[];
  readonly errors: Record<string, unknown>[];
}

/** One statement: returns true when it is done, false to be called again in a later transaction. */
type Statement = (outOfTime: () => boolean) => boolean;

/** Runs statements one after another inside the store's transactions; an ordered command ends with its first error. */
function statementsStep(statements: readonly (() => Statement)[], tally: Tally, ordered: boolean): WriteStep {
  let at = 0;
  let current: Statement | undefined;
  return (outOfTime) => {
    while (at < statements.length) {
      try {
        resetScratch();
        const statement: Statement = current ?? (statements[at] as () => Statement)();
        current = statement;
        if (!statement(outOfTime)) return false;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        tally.errors.push({ index: at, ...errorFields(error) });
        if (ordered) return true;
      }
      current = undefined;
      at++;
      if (at < statements.length && outOfTime()) return false;
    }
    return true;
  };
}

function tallyReply(tally: Tally, updates: boolean): Buffer {
  return mixedReply({
    n: tally.n,
    ...(updates ? { nModified: tally.modified } : {}),
    ...(tally.upserted.length > 0 ? { upserted: tally.upserted } : {}),
    ...(tally.errors.length > 0 ? { writeErrors: tally.errors } : {}),
  });
}

function newTally(): Tally {
  return { n: 0, modified: 0, upserted: [], errors: [] };
}

function orderedOf(command: Command): boolean {
  const value = command.fields.get('ordered');
  return value === undefined || flagOf(value, 'ordered');
}

function countedDocuments(command: Command, name: string): readonly RawValue[] {
  const list = documentsOf(command, name);
  if (list.length === 0 || list.length > MAX_STATEMENTS) {
    throw new StoreError(
      16,
      'InvalidLength',
      `Write batch sizes must be between 1 and ${MAX_STATEMENTS}. Got ${list.length} operations.`,
    );
  }
  return list;
}

/** A document as it is stored: with its `_id`, first. Throws 10334 when it is too large, 53 on an `_id` that cannot be one. */
export function storableDocument(document: RawValue): RawValue {
  const id = findField(document, ID);
  if (document.end - document.start > MAX_DOCUMENT_BYTES) {
    throw new StoreError(
      10334,
      'BSONObjectTooLarge',
      `a document of ${document.end - document.start} bytes is larger than 16 MiB`,
    );
  }
  if (id?.type === Type.array || id?.type === Type.regex || id?.type === Type.undefined) {
    throw new StoreError(53, 'InvalidIdField', "The '_id' value cannot be of this type");
  }
  // Type byte, then the name: the first field begins 4 bytes into the document.
  if (id !== undefined && id.start === document.start + 9) return document;
  const writer = bsonWriter(document.end - document.start + 32);
  writer.value('_id', id ?? newObjectId());
  for (const [name, value] of fields(document)) if (name !== '_id') writer.value(name, value);
  return rawDocument(writer.finish());
}

/** Removes the oldest documents of a capped collection until it fits. */
function trim(store: Store, collection: Collection): void {
  const { capped } = collection;
  if (capped === undefined) return;
  store.wakes.note(collection.namespace);
  while (
    collection.count > 1 &&
    (collection.bytes > capped.maxBytes || (capped.maxDocuments > 0 && collection.count > capped.maxDocuments))
  ) {
    const range = { start: recordKey(collection.id, 0), end: recordKey(collection.id + 1, 0), limit: 1 };
    for (const { key, value } of [...store.engine.docs.getRange(range)]) {
      store.records.remove(collection, (key as Buffer).readUIntBE(4, 6), rawDocument(value));
    }
  }
}

/** Inserts one document and keeps a capped collection in its bounds; inside a write. */
export function insertOne(store: Store, collection: Collection, document: RawValue): void {
  store.records.insert(collection, document);
  trim(store, collection);
}

/** `insert`: documents one after another; n and writeErrors. */
export const insert: Handler = async (store, command) => {
  checkFields(command, ['documents', 'ordered', 'bypassDocumentValidation'], ['encryptionInformation']);
  namespaceOf(command);
  const tally = newTally();
  const statements = countedDocuments(command, 'documents').map(
    (document) => (): Statement => () => {
      insertOne(store, collectionFor(store, command), storableDocument(document));
      tally.n++;
      return true;
    },
  );
  await store.engine.write(statementsStep(statements, tally, orderedOf(command)), true);
  return tallyReply(tally, false);
};

function checkStatement(statement: RawValue, known: readonly string[], refused: readonly string[], name: string): void {
  for (const [one, value] of fields(statement)) {
    if (known.includes(one)) continue;
    if (refused.includes(one)) {
      if (one === 'arrayFilters' && value.type === Type.array && elements(value).length === 0) continue;
      throw notImplemented(`'${one}' of ${name}`);
    }
    throw new StoreError(40415, 'Location40415', `BSON field '${name}.${one}' is an unknown field.`);
  }
  checkCollation(field(statement, 'collation'));
}

/** Finds the next match of a scan: the record and its document, 'later' or 'end'. */
function nextMatch(
  scan: Scan,
  filter: Filter,
  outOfTime: () => boolean,
): { record: number; document: RawValue } | 'later' | 'end' {
  let found: { record: number; document: RawValue } | undefined;
  const state = scan.next((record, document) => {
    if (!filter.matches(document)) return false;
    found = { record, document };
    return true;
  }, outOfTime);
  return found ?? (state === 'later' ? 'later' : 'end');
}

/** Changes one document by an update; returns whether it changed. Inside a write. */
export function updateRecord(
  store: Store,
  collection: Collection,
  record: number,
  document: RawValue,
  update: Update,
): RawValue | undefined {
  const next = update.apply(document, false, store.now());
  if (next === document) return undefined;
  store.records.replace(collection, record, document, next, update.touched);
  return next;
}

function updateStatement(
  store: Store,
  command: Command,
  source: RawValue,
  scope: Scope,
  index: number,
  tally: Tally,
): Statement {
  checkStatement(
    source,
    ['q', 'u', 'multi', 'upsert', 'hint', 'collation'],
    ['c', 'arrayFilters', 'sort', 'constants'],
    'update.updates',
  );
  const filter = compileFilter(documentField(field(source, 'q'), 'q'), scope);
  const given = field(source, 'u');
  if (given === undefined) throw failedToParse("an update statement needs 'u'");
  const update = compileUpdate(given);
  const multi = flagOf(field(source, 'multi'), 'multi');
  const upsert = flagOf(field(source, 'upsert'), 'upsert');
  if (multi && update.replaces) throw failedToParse('multi update is not supported for replacement-style update');
  // What an index yields may move ahead of the scan by being changed: each document is changed once.
  const changed = new Set<number>();
  let scan: Scan | undefined;
  let matched = 0;
  return (outOfTime) => {
    const collection = store.catalog.find(namespaceOf(command));
    if (collection !== undefined) {
      scan ??= openScan(
        store.engine,
        store.catalog,
        collection,
        planQuery(collection, filter, [], hintOf(field(source, 'hint'), collection)),
        scratch,
      );
      for (;;) {
        const found = nextMatch(scan, filter, outOfTime);
        if (found === 'later') return false;
        if (found === 'end') break;
        if (changed.has(found.record)) continue;
        if (updateRecord(store, collection, found.record, found.document, update) !== undefined) tally.modified++;
        matched++;
        tally.n++;
        if (!multi) return true;
        changed.add(found.record);
        resetScratch();
        if (outOfTime()) return false;
      }
    }
    if (matched === 0 && upsert) {
      const target = collection ?? collectionFor(store, command);
      const document = upsertDocument(filter, update, store.now());
      insertOne(store, target, document);
      tally.n++;
      tally.upserted.push({ index, _id: findField(document, ID) as RawValue });
    }
    return true;
  };
}

/** `update`: statements one after another, each seeing what those before it did; n, nModified, upserted and writeErrors. */
export const update: Handler = async (store, command) => {
  checkFields(command, ['updates', 'ordered', 'bypassDocumentValidation', 'let'], ['encryptionInformation']);
  namespaceOf(command);
  const scope = commandScope(command.fields.get('let'), store.now());
  const tally = newTally();
  const statements = countedDocuments(command, 'updates').map(
    (source, index) => () => updateStatement(store, command, source, scope, index, tally),
  );
  await store.engine.write(statementsStep(statements, tally, orderedOf(command)), true);
  return tallyReply(tally, true);
};

/** A statement that deletes what a filter matches: all, or the first. */
export function deleteStatement(
  store: Store,
  namespace: string,
  filter: Filter,
  hint: RawValue | undefined,
  one: boolean,
  onDeleted: () => void,
): Statement {
  let scan: Scan | undefined;
  return (outOfTime) => {
    const collection = store.catalog.find(namespace);
    if (collection === undefined) return true;
    scan ??= openScan(
      store.engine,
      store.catalog,
      collection,
      planQuery(collection, filter, [], hintOf(hint, collection)),
    );
    for (;;) {
      const found = nextMatch(scan, filter, outOfTime);
      if (found === 'later') return false;
      if (found === 'end') return true;
      store.records.remove(collection, found.record, found.document);
      onDeleted();
      if (one) return true;
      if (outOfTime()) return false;
    }
  };
}

/** `delete`: statements one after another; n and writeErrors. Goes on when the store is full. */
export const remove: Handler = async (store, command) => {
  checkFields(command, ['deletes', 'ordered', 'let'], ['encryptionInformation']);
  const namespace = namespaceOf(command);
  const scope = commandScope(command.fields.get('let'), store.now());
  const tally = newTally();
  const statements = countedDocuments(command, 'deletes').map((source) => () => {
    checkStatement(source, ['q', 'limit', 'hint', 'collation'], [], 'delete.deletes');
    const limit = field(source, 'limit');
    const count = limit === undefined ? 0 : integerOf(limit, 'limit');
    if (count !== 0 && count !== 1)
      throw failedToParse(`The limit field in delete objects must be 0 or 1. Got ${count}`);
    const filter = compileFilter(documentField(field(source, 'q'), 'q'), scope);
    return deleteStatement(store, namespace, filter, field(source, 'hint'), count === 1, () => {
      tally.n++;
    });
  });
  await store.engine.write(statementsStep(statements, tally, orderedOf(command)), false);
  return tallyReply(tally, false);
};
