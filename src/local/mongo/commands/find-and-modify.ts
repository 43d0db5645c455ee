import { bytesOf, elements, findField, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { resetScratch } from '../bson/scratch.js';
import { flagOf, NULL } from '../bson/values.js';
import { failedToParse, notImplemented } from '../errors.js';
import { commandScope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { planQuery } from '../query/plan.js';
import { compileProjection } from '../query/projection.js';
import { parseSort } from '../query/sort.js';
import type { Collection } from '../storage/catalog.js';
import { recordKey } from '../storage/index-key.js';
import { openScan, type Scan } from '../storage/scan.js';
import { compileUpdate, upsertDocument } from '../update/update.js';
import {
  checkCollation,
  checkFields,
  collectionFor,
  documentField,
  type Handler,
  hintOf,
  namespaceOf,
} from './context.js';
import { sortedList } from './query.js';
import { mixedDocument, mixedReply } from './reply.js';
import { insertOne, updateRecord } from './write.js';

const KNOWN = [
  'query',
  'sort',
  'remove',
  'update',
  'new',
  'fields',
  'upsert',
  'hint',
  'collation',
  'bypassDocumentValidation',
  'arrayFilters',
  'let',
];

interface Outcome {
  value: RawValue | undefined;
  n: number;
  existed: boolean;
  upsertedId: RawValue | undefined;
}

/** `findAndModify`: finds one document and changes, replaces, removes or upserts it in one step; errors are the command's own. */
export const findAndModify: Handler = async (store, command) => {
  checkFields(command, KNOWN);
  checkCollation(command.fields.get('collation'));
  const filters = command.fields.get('arrayFilters');
  if (filters?.type === Type.array && elements(filters).length > 0) throw notImplemented('arrayFilters');
  const namespace = namespaceOf(command);
  const scope = commandScope(command.fields.get('let'), store.now());
  const filter = compileFilter(documentField(command.fields.get('query'), 'query'), scope);
  const sort = parseSort(command.fields.get('sort'));
  const removes = flagOf(command.fields.get('remove'), 'remove');
  const given = command.fields.get('update');
  const upsert = flagOf(command.fields.get('upsert'), 'upsert');
  const returnsNew = flagOf(command.fields.get('new'), 'new');
  if (removes === (given !== undefined))
    throw failedToParse('Either an update or remove=true must be specified, and not both');
  if (removes && (upsert || returnsNew)) throw failedToParse("'remove' goes with neither 'upsert' nor 'new'");
  const update = given === undefined ? undefined : compileUpdate(given);
  const project = compileProjection(command.fields.get('fields'), scope);
  const outcome: Outcome = { value: undefined, n: 0, existed: false, upsertedId: undefined };

  let scan: Scan | undefined;
  let list: ReturnType<typeof sortedList> | undefined;
  let sorted = true;

  /** The document to be changed, read in this very transaction. */
  function choose(
    collection: Collection,
    outOfTime: () => boolean,
  ): { record: number; document: RawValue } | 'later' | 'end' {
    for (;;) {
      if (scan === undefined) {
        const plan = planQuery(collection, filter, sort, hintOf(command.fields.get('hint'), collection));
        sorted = plan.sorted;
        scan = openScan(store.engine, store.catalog, collection, plan);
        list = sortedList(sort, 1);
      }
      let found: { record: number; document: RawValue } | undefined;
      const state = scan.next((record, document) => {
        if (!filter.matches(document)) return false;
        if (sorted) found = { record, document };
        else list?.add(record, document);
        return sorted;
      }, outOfTime);
      if (found !== undefined) return found;
      if (state === 'later') return 'later';
      const best = sorted ? undefined : list?.take()[0];
      if (best === undefined) return 'end';
      // It may have changed since it was sorted, if that took several transactions.
      const bytes = store.engine.docs.get(recordKey(collection.id, best.record));
      if (bytes?.equals(best.document.bytes) === true) return best;
      if (bytes !== undefined && filter.matches(rawDocument(bytes)))
        return { record: best.record, document: rawDocument(bytes) };
      scan = undefined;
      if (outOfTime()) return 'later';
    }
  }

  await store.engine.write((outOfTime) => {
    const collection = store.catalog.find(namespace);
    const found = collection === undefined ? 'end' : choose(collection, outOfTime);
    if (found === 'later') return false;
    if (found !== 'end' && collection !== undefined) {
      if (update === undefined) {
        store.records.remove(collection, found.record, found.document);
        outcome.value = found.document;
      } else {
        resetScratch();
        const changed = updateRecord(store, collection, found.record, found.document, update);
        // The new document lies in scratch bytes, and is answered with after the commit.
        const next = changed === undefined ? found.document : rawDocument(Buffer.from(bytesOf(changed)));
        outcome.value = returnsNew ? next : found.document;
        outcome.existed = true;
      }
      outcome.n = 1;
      return true;
    }
    if (update !== undefined && upsert) {
      const target = collection ?? collectionFor(store, command);
      const document = upsertDocument(filter, update, store.now());
      insertOne(store, target, document);
      outcome.n = 1;
      outcome.upsertedId = findField(document, Buffer.from('_id'));
      if (returnsNew) outcome.value = document;
    }
    return true;
  }, !removes);

  const shown = outcome.value === undefined || project === undefined ? outcome.value : project(outcome.value);
  return mixedReply({
    lastErrorObject: mixedDocument({
      n: outcome.n,
      ...(removes ? {} : { updatedExisting: outcome.existed }),
      upserted: outcome.upsertedId,
    }),
    value: shown ?? NULL,
  });
};
