import { field, findField, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { resetScratch, scratch } from '../bson/scratch.js';
import { flagOf, integerOf } from '../bson/values.js';
import { failedToParse } from '../errors.js';
import { commandScope, type Scope } from '../query/expression.js';
import { compileFilter, type Filter } from '../query/filter.js';
import type { Trail } from '../query/path.js';
import { planQuery } from '../query/plan.js';
import { parseSort } from '../query/sort.js';
import type { Collection } from '../storage/catalog.js';
import { recordKey } from '../storage/index-key.js';
import { type RecordSet, recordSet } from '../storage/record-set.js';
import { type Ahead, type Found, openScan, readAhead, type Scan } from '../storage/scan.js';
import type { Update } from '../update/change.js';
import { storableDocument, withTimestamps } from '../update/storable.js';
import { compileUpdate } from '../update/update.js';
import { upsertDocument } from '../update/upsert.js';
import { openChoice } from './choice.js';
import {
  checkFields,
  collectionFor,
  documentField,
  type Handler,
  hintOf,
  namespaceOf,
  type Store,
  type Target,
  targetOf,
} from './context.js';
import {
  countedDocuments,
  newTally,
  type Statement,
  statementFields,
  statementsStep,
  type Tally,
  tallyReply,
} from './statements.js';

const ID = Buffer.from('_id');

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

/** A statement that inserts a document. */
export function insertStatement(store: Store, target: Target, document: RawValue, tally: Tally): Statement {
  return () => {
    insertOne(store, collectionFor(store, target), storableDocument(withTimestamps(document, store.now()), 'insert'));
    tally.n++;
    return true;
  };
}

/** `insert`: documents one after another; n and writeErrors. */
export const insert: Handler = async (store, command) => {
  checkFields(command, ['documents', 'ordered', 'bypassDocumentValidation'], ['encryptionInformation']);
  const target = targetOf(command);
  const tally = newTally();
  const statements = countedDocuments(command, 'documents').map(
    (document) => () => insertStatement(store, target, document, tally),
  );
  await store.engine.write(statementsStep(statements, tally, command), true);
  return tallyReply(tally, false);
};

/** Changes one document, which `filter` matched, by an update; returns it as it is now, or undefined when it did not change. Inside a write. */
export function updateRecord(
  store: Store,
  collection: Collection,
  { record, document }: Found,
  filter: Filter,
  update: Update,
): RawValue | undefined {
  let trail: Trail | undefined;
  if (update.usesMatch) {
    trail = [];
    filter.matches(document, trail);
  }
  const next = update.apply(document, { inserting: false, now: store.now() }, trail);
  if (next === document) return undefined;
  store.records.replace(collection, record, document, next, update.touched);
  return next;
}

/** The fields of one statement. */
export type StatementFields = ReadonlyMap<string, RawValue>;

const UPDATE_FIELDS = ['multi', 'upsert', 'upsertSupplied', 'hint', 'collation', 'arrayFilters', 'sort', 'c'];

/** A statement that updates what its filter matches: all, or the first. */
export function updateStatement(
  store: Store,
  target: Target,
  given: StatementFields,
  scope: Scope,
  index: number,
  tally: Tally,
): Statement {
  const filter = compileFilter(documentField(given.get('q'), 'q'), scope);
  const constants = given.get('c');
  const update = compileUpdate(given.get('u') as RawValue, scope, {
    arrayFilters: given.get('arrayFilters'),
    constants,
  });
  const multi = flagOf(given.get('multi'), 'multi');
  const upsert = flagOf(given.get('upsert'), 'upsert');
  const sort = parseSort(given.get('sort'));
  const supplied = flagOf(given.get('upsertSupplied'), 'upsertSupplied')
    ? suppliedDocument(constants, upsert)
    : undefined;
  if (multi && update.replaces) throw failedToParse('multi update is not supported for replacement-style update');
  if (multi && sort.length > 0) throw failedToParse('Cannot specify sort with multi=true');
  const choose = sort.length > 0 ? openChoice(store, filter, sort, given.get('hint')) : undefined;
  // What an index yields may move ahead of the scan by being changed, by others too: each document is changed once.
  let changed: RecordSet | undefined;
  let scan: Scan | undefined;
  let matched = 0;
  let modified = 0;

  function matches(collection: Collection, outOfTime: () => boolean): Ahead {
    if (choose !== undefined) {
      const found = choose(collection, outOfTime);
      return typeof found === 'string' ? { found: [], state: found } : { found: [found], state: 'stopped' };
    }
    if (scan === undefined) {
      const plan = planQuery(collection, filter, [], hintOf(given.get('hint'), collection));
      if (multi && plan.index !== undefined) changed = recordSet();
      scan = openScan(store.engine, store.catalog, collection, plan, scratch);
    }
    return readAhead(scan, (document) => filter.matches(document), outOfTime, multi ? undefined : 1);
  }

  /** Changes what matches; false when the time is out. */
  function changeAll(collection: Collection, outOfTime: () => boolean): boolean {
    for (;;) {
      const { found, state } = matches(collection, outOfTime);
      for (const one of found) {
        if (changed?.has(one.record) === true) continue;
        if (updateRecord(store, collection, one, filter, update) !== undefined) modified++;
        matched++;
        if (!multi) return true;
        changed?.add(one.record);
      }
      if (state === 'end') return true;
      resetScratch();
      if (state === 'later' || outOfTime()) return false;
    }
  }

  return (outOfTime) => {
    const collection = store.catalog.find(target.namespace);
    if (collection !== undefined && !changeAll(collection, outOfTime)) return false;
    if (matched === 0 && upsert) {
      const document = upsertDocument(filter, update, store.now(), supplied);
      insertOne(store, collection ?? collectionFor(store, target), document);
      tally.upserted.push({ index, _id: findField(document, ID) as RawValue });
      matched = 1;
    }
    // A statement that fails counts nothing, whatever it changed before.
    tally.n += matched;
    tally.modified += modified;
    return true;
  };
}

/** The document that an upsert inserts as it is: the constant `new`. Throws FailedToParse (9) without `upsert` or without that document. */
function suppliedDocument(constants: RawValue | undefined, upsert: boolean): RawValue {
  const document = constants === undefined ? undefined : field(constants, 'new');
  if (!upsert || document?.type !== Type.object)
    throw failedToParse("'upsertSupplied' needs 'upsert: true' and a document 'new' in the constants 'c'");
  return document;
}

/** `update`: statements one after another, each seeing what those before it did; n, nModified, upserted and writeErrors. */
export const update: Handler = async (store, command) => {
  checkFields(command, ['updates', 'ordered', 'bypassDocumentValidation', 'let'], ['encryptionInformation']);
  const target = targetOf(command);
  const scope = commandScope(command.fields.get('let'), store.now());
  const tally = newTally();
  const statements = countedDocuments(command, 'updates').map((source, index) => {
    const given = statementFields(source, 'update.updates', ['q', 'u'], UPDATE_FIELDS);
    return () => updateStatement(store, target, given, scope, index, tally);
  });
  await store.engine.write(statementsStep(statements, tally, command), true);
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
      const { found, state } = readAhead(scan, (document) => filter.matches(document), outOfTime, one ? 1 : undefined);
      for (const { record, document } of found) {
        store.records.remove(collection, record, document);
        onDeleted();
      }
      if (state === 'end' || (one && found.length > 0)) return true;
      if (state === 'later' || outOfTime()) return false;
    }
  };
}

/** `delete`: statements one after another; n and writeErrors. Goes on when the store is full. */
export const remove: Handler = async (store, command) => {
  checkFields(command, ['deletes', 'ordered', 'let'], ['encryptionInformation']);
  const namespace = namespaceOf(command);
  const scope = commandScope(command.fields.get('let'), store.now());
  const tally = newTally();
  const statements = countedDocuments(command, 'deletes').map((source) => {
    const given = statementFields(source, 'delete.deletes', ['q', 'limit'], ['hint', 'collation']);
    const count = integerOf(given.get('limit') as RawValue, 'limit');
    if (count !== 0 && count !== 1)
      throw failedToParse(`The limit field in delete objects must be 0 or 1. Got ${count}`);
    return () => {
      const filter = compileFilter(documentField(given.get('q'), 'q'), scope);
      return deleteStatement(store, namespace, filter, given.get('hint'), count === 1, () => {
        tally.n++;
      });
    };
  });
  await store.engine.write(statementsStep(statements, tally, command), false);
  return tallyReply(tally, false);
};
