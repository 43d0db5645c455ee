import { bytesOf, findField, type RawValue, rawDocument } from '../bson/raw-value.js';
import { resetScratch } from '../bson/scratch.js';
import { flagOf, NULL } from '../bson/values.js';
import { failedToParse } from '../errors.js';
import { commandScope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { compileProjection } from '../query/find-projection.js';
import { parseSort } from '../query/sort.js';
import { compileUpdate } from '../update/update.js';
import { upsertDocument } from '../update/upsert.js';
import { openChoice } from './choice.js';
import {
  checkCollation,
  checkFields,
  collectionFor,
  countOption,
  documentField,
  type Handler,
  targetOf,
} from './context.js';
import { mixedDocument, mixedReply } from './reply.js';
import { timeLimit } from './time-limit.js';
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
  const target = targetOf(command);
  const scope = commandScope(command.fields.get('let'), store.now());
  const filter = compileFilter(documentField(command.fields.get('query'), 'query'), scope);
  const sort = parseSort(command.fields.get('sort'));
  const removes = flagOf(command.fields.get('remove'), 'remove');
  const given = command.fields.get('update');
  const upsert = flagOf(command.fields.get('upsert'), 'upsert');
  const returnsNew = flagOf(command.fields.get('new'), 'new');
  const arrayFilters = command.fields.get('arrayFilters');
  if (!removes && given === undefined) throw failedToParse('Either an update or remove=true must be specified');
  if (removes) {
    if (given !== undefined) throw failedToParse('Cannot specify both an update and remove=true');
    if (upsert) throw failedToParse('Cannot specify both upsert=true and remove=true');
    if (returnsNew)
      throw failedToParse("Cannot specify both new=true and remove=true; 'remove' always returns the deleted document");
    if (arrayFilters !== undefined) throw failedToParse('Cannot specify arrayFilters and remove=true');
  }
  const update = given === undefined ? undefined : compileUpdate(given, scope, { arrayFilters });
  const choose = openChoice(store, filter, sort, command.fields.get('hint'));
  const project = compileProjection(command.fields.get('fields'), scope, filter);
  const outcome: Outcome = { value: undefined, n: 0, existed: false, upsertedId: undefined };

  const time = timeLimit(countOption(command, 'maxTimeMS'));
  await store.engine.write((outOfTime) => {
    time.check();
    const collection = store.catalog.find(target.namespace);
    const found = collection === undefined ? 'end' : choose(collection, outOfTime);
    if (found === 'later') return false;
    if (found !== 'end' && collection !== undefined) {
      if (update === undefined) {
        store.records.remove(collection, found.record, found.document);
        outcome.value = found.document;
      } else {
        resetScratch();
        const changed = updateRecord(store, collection, found, filter, update);
        // The new document lies in scratch bytes, and is answered with after the commit.
        const next = changed === undefined ? found.document : rawDocument(Buffer.from(bytesOf(changed)));
        outcome.value = returnsNew ? next : found.document;
        outcome.existed = true;
      }
      outcome.n = 1;
      return true;
    }
    if (update !== undefined && upsert) {
      const document = upsertDocument(filter, update, store.now());
      insertOne(store, collection ?? collectionFor(store, target), document);
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
