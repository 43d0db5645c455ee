import { compareValues } from '../bson/compare.js';
import { eachElement, elements, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { flagOf, integerOf, stringOf } from '../bson/values.js';
import { arrayOf, bsonWriter } from '../bson/writer.js';
import { badValue, StoreError, typeMismatch } from '../errors.js';
import { commandScope, type Scope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { pathOf, visitPath } from '../query/path.js';
import { compileProjection, type Projection } from '../query/projection.js';
import { parseSort } from '../query/sort.js';
import type { Collection } from '../storage/catalog.js';
import type { Command } from '../wire/message.js';
import {
  checkCollation,
  checkFields,
  documentField,
  type Handler,
  hintOf,
  namespaceOf,
  type Store,
} from './context.js';
import type { Cursor } from './cursors.js';
import { arraySource, openQuery, type Query, type Source } from './query.js';
import { cursorReply, mixedReply } from './reply.js';
import { tailableSource, wakeOf } from './tailable.js';

const FIND_FIELDS = (
  'filter sort projection hint skip limit batchSize singleBatch collation tailable awaitData noCursorTimeout ' +
  'allowDiskUse allowPartialResults oplogReplay let'
).split(' ');
const FIRST_BATCH = 101; // as MongoDB's
const BATCH_BYTES = 15 * 1024 * 1024;
const AWAIT_MS = 1000;

/** A whole number of a command, 0 or more; undefined when it is missing. Throws BadValue on a negative one. */
export function countOption(command: Command, name: string): number | undefined {
  const value = command.fields.get(name);
  if (value === undefined || value.type === Type.null) return undefined;
  const number = integerOf(value, name);
  if (number < 0) throw badValue(`BSON field '${name}' value must be >= 0, actual value '${number}'`);
  return number;
}

/** When a command with maxTimeMS must have ended, by performance.now(). */
export function deadlineOf(command: Command): number | undefined {
  const limit = countOption(command, 'maxTimeMS');
  return limit === undefined || limit === 0 ? undefined : performance.now() + limit;
}

/** What a find command asks for. Throws as the parts' parsers do. */
export function findQuery(command: Command, collection: Collection | undefined, scope: Scope): Query {
  const limit = command.fields.get('limit');
  return {
    filter: compileFilter(documentField(command.fields.get('filter'), 'filter'), scope),
    sort: parseSort(command.fields.get('sort')),
    skip: countOption(command, 'skip') ?? 0,
    limit: limit === undefined ? 0 : Math.abs(integerOf(limit, 'limit')),
    hint: hintOf(command.fields.get('hint'), collection),
    deadline: deadlineOf(command),
  };
}

/** A source whose documents are projected. */
export function projected(source: Source, project: Projection | undefined): Source {
  if (project === undefined) return source;
  return {
    ended: source.ended,
    pull: async (max, maxBytes) => (await source.pull(max, maxBytes)).map(project),
  };
}

/** Answers with the first batch of a source and keeps the rest as a cursor. */
export async function startCursor(
  store: Store,
  namespace: string,
  source: Source,
  batchSize: number | undefined,
  single: boolean,
): Promise<Buffer> {
  const batch = batchSize === 0 ? [] : await source.pull(batchSize ?? FIRST_BATCH, BATCH_BYTES);
  if (single || source.ended()) return cursorReply('firstBatch', namespace, 0n, batch);
  const cursor = store.cursors.open({
    namespace,
    source,
    waitForMore: undefined,
    tailable: false,
    batchSize: batchSize ?? 0,
  });
  return cursorReply('firstBatch', namespace, cursor.id, batch);
}

async function findTailable(
  store: Store,
  command: Command,
  namespace: string,
  collection: Collection | undefined,
  scope: Scope,
): Promise<Buffer> {
  if (collection === undefined) return cursorReply('firstBatch', namespace, 0n, []);
  if (collection.capped === undefined) {
    throw badValue(`error processing query: tailable cursor requested on non capped collection ${namespace}`);
  }
  if (command.fields.has('sort')) throw badValue('a tailable cursor cannot be sorted');
  const query = findQuery(command, collection, scope);
  if (query.skip !== 0 || query.limit !== 0)
    throw badValue('the embedded store takes neither skip nor limit with a tailable cursor');
  // As MongoDB does: a tailable cursor on an empty collection is dead at once.
  if (collection.count === 0) return cursorReply('firstBatch', namespace, 0n, []);
  const source = projected(
    tailableSource(store, collection, query.filter),
    compileProjection(command.fields.get('projection'), scope),
  );
  const batchSize = countOption(command, 'batchSize');
  const batch = batchSize === 0 ? [] : await source.pull(batchSize ?? FIRST_BATCH, BATCH_BYTES);
  const awaits = flagOf(command.fields.get('awaitData'), 'awaitData');
  const cursor = store.cursors.open({
    namespace,
    source,
    waitForMore: awaits ? wakeOf(store, namespace) : undefined,
    tailable: true,
    batchSize: batchSize ?? 0,
  });
  return cursorReply('firstBatch', namespace, cursor.id, batch);
}

/** `find`. */
export const find: Handler = async (store, command) => {
  checkFields(command, FIND_FIELDS, [
    'returnKey',
    'showRecordId',
    'min',
    'max',
    'resumeAfter',
    'requestResumeToken',
    'term',
  ]);
  checkCollation(command.fields.get('collation'));
  const namespace = namespaceOf(command);
  const collection = store.catalog.find(namespace);
  const scope = commandScope(command.fields.get('let'), store.now());
  if (flagOf(command.fields.get('tailable'), 'tailable'))
    return await findTailable(store, command, namespace, collection, scope);
  const query = findQuery(command, collection, scope);
  const project = compileProjection(command.fields.get('projection'), scope);
  const limit = command.fields.get('limit');
  const single =
    flagOf(command.fields.get('singleBatch'), 'singleBatch') || (limit !== undefined && integerOf(limit, 'limit') < 0);
  const source = collection === undefined ? arraySource([]) : projected(openQuery(store, collection, query), project);
  return await startCursor(store, namespace, source, countOption(command, 'batchSize'), single);
};

function cursorId(value: RawValue | undefined): bigint {
  if (value?.type !== Type.int64) throw typeMismatch("field 'getMore' must be a long");
  return value.bytes.readBigInt64LE(value.start);
}

async function nextBatch(cursor: Cursor, command: Command, signal: AbortSignal): Promise<RawValue[]> {
  const size = countOption(command, 'batchSize') ?? cursor.batchSize;
  const max = size === 0 ? Number.POSITIVE_INFINITY : size;
  const batch = await cursor.source.pull(max, BATCH_BYTES);
  if (batch.length > 0 || cursor.waitForMore === undefined) return batch;
  await cursor.waitForMore(countOption(command, 'maxTimeMS') ?? AWAIT_MS, signal);
  return await cursor.source.pull(max, BATCH_BYTES);
}

/** `getMore`: the next batch; at the end of a tailable cursor with awaitData it waits for more, up to maxTimeMS. */
export const getMore: Handler = async (store, command, asker) => {
  checkFields(command, ['collection', 'batchSize'], ['term', 'lastKnownCommittedOpTime']);
  const namespace = `${command.database}.${stringOf(command.fields.get('collection'), 'collection')}`;
  const cursor = store.cursors.get(cursorId(command.fields.get('getMore')), namespace);
  if (cursor.busy) throw new StoreError(12051, 'CursorInUse', `cursor id ${cursor.id} is already in use`);
  cursor.busy = true;
  try {
    const batch = await nextBatch(cursor, command, asker.signal);
    const ended = !cursor.tailable && cursor.source.ended();
    if (ended) store.cursors.kill(cursor.id);
    return cursorReply('nextBatch', namespace, ended ? 0n : cursor.id, batch);
  } catch (error) {
    store.cursors.kill(cursor.id);
    throw error;
  } finally {
    cursor.busy = false;
    cursor.usedAt = performance.now();
  }
};

/** `killCursors`. */
export const killCursors: Handler = (store, command) => {
  checkFields(command, ['cursors']);
  const value = command.fields.get('cursors');
  if (value?.type !== Type.array) throw typeMismatch("field 'cursors' must be an array");
  const killed: RawValue[] = [];
  const unknown: RawValue[] = [];
  for (const id of elements(value)) (store.cursors.kill(cursorId(id)) ? killed : unknown).push(id);
  return mixedReply({
    cursorsKilled: arrayOf(killed),
    cursorsNotFound: arrayOf(unknown),
    cursorsAlive: arrayOf([]),
    cursorsUnknown: arrayOf([]),
  });
};

async function eachMatch(source: Source, visit: (document: RawValue) => void): Promise<void> {
  while (!source.ended()) for (const document of await source.pull(256, BATCH_BYTES)) visit(document);
}

/** `count`, at once from the collection's own count when there is no filter. */
export const count: Handler = async (store, command) => {
  checkFields(command, ['query', 'limit', 'skip', 'hint', 'collation', 'fields']);
  checkCollation(command.fields.get('collation'));
  const collection = store.catalog.find(namespaceOf(command));
  const filter = compileFilter(
    documentField(command.fields.get('query'), 'query'),
    commandScope(undefined, store.now()),
  );
  const limitValue = command.fields.get('limit');
  const limit = limitValue === undefined ? 0 : Math.abs(integerOf(limitValue, 'limit'));
  const skip = countOption(command, 'skip') ?? 0;
  if (collection === undefined) return mixedReply({ n: 0 });
  const hint = hintOf(command.fields.get('hint'), collection);
  if (filter.paths.size === 0 && hint === undefined && filter.source.end - filter.source.start === 5) {
    const rest = Math.max(0, collection.count - skip);
    return mixedReply({ n: limit === 0 ? rest : Math.min(limit, rest) });
  }
  let n = 0;
  await eachMatch(
    openQuery(store, collection, { filter, sort: [], skip, limit, hint, deadline: deadlineOf(command) }),
    () => {
      n++;
    },
  );
  return mixedReply({ n });
};

/** `distinct`: the values of a path, elements of arrays one by one, each once by value. */
export const distinct: Handler = async (store, command) => {
  checkFields(command, ['key', 'query', 'collation', 'hint']);
  checkCollation(command.fields.get('collation'));
  const collection = store.catalog.find(namespaceOf(command));
  const path = pathOf(stringOf(command.fields.get('key'), 'key'));
  const filter = compileFilter(
    documentField(command.fields.get('query'), 'query'),
    commandScope(undefined, store.now()),
  );
  let values: RawValue[] = [];
  const tidy = (): void => {
    values = values
      .sort(compareValues)
      .filter((value, i) => i === 0 || compareValues(value, values[i - 1] as RawValue) !== 0);
  };
  if (collection !== undefined) {
    const hint = hintOf(command.fields.get('hint'), collection);
    let compactAt = 4096;
    await eachMatch(
      openQuery(store, collection, { filter, sort: [], skip: 0, limit: 0, hint, deadline: deadlineOf(command) }),
      (document) => {
        visitPath(document, path, false, (value) => {
          if (value?.type === Type.array) {
            eachElement(value, (element) => {
              values.push(element);
              return false;
            });
          } else if (value !== undefined) values.push(value);
          return false;
        });
        if (values.length > compactAt) {
          tidy();
          compactAt = values.length * 2 + 4096;
        }
      },
    );
  }
  tidy();
  const writer = bsonWriter();
  writer.value('values', arrayOf(values));
  writer.double('ok', 1);
  const reply = writer.finish();
  if (reply.length > 16 * 1024 * 1024) throw new StoreError(17217, 'Location17217', 'distinct too big, 16mb cap');
  return rawDocument(reply).bytes;
};
