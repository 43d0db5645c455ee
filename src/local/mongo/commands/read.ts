import { compareValues } from '../bson/compare.js';
import { eachElement, fields, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { flagOf, integerOf, stringOf } from '../bson/values.js';
import { arrayOf, bsonWriter } from '../bson/writer.js';
import { badValue, failedToParse, notImplemented, StoreError } from '../errors.js';
import { commandScope, type Scope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { compileProjection } from '../query/find-projection.js';
import { pathOf, visitPath } from '../query/path.js';
import type { Projection } from '../query/projection.js';
import { parseSort } from '../query/sort.js';
import type { Collection } from '../storage/catalog.js';
import type { Command } from '../wire/message.js';
import { startCursor } from './batches.js';
import {
  checkCollation,
  checkFields,
  countOption,
  documentField,
  type Handler,
  hintOf,
  namespaceOf,
  naturalOrder,
  type Store,
} from './context.js';
import { arraySource, openQuery, type Query, type Source } from './query.js';
import { cursorReply, mixedReply } from './reply.js';
import { tailableSource, wakeOf } from './tailable.js';
import { timeLimit } from './time-limit.js';

const FIND_FIELDS = (
  'filter sort projection hint skip limit batchSize singleBatch collation tailable awaitData noCursorTimeout ' +
  'allowDiskUse allowPartialResults oplogReplay let'
).split(' ');
const PIECE_BYTES = 15 * 1024 * 1024;

/** What a find command asks for. Throws as the parts' parsers do. */
export function findQuery(command: Command, collection: Collection | undefined, scope: Scope): Query {
  const sort = command.fields.get('sort');
  const hint = command.fields.get('hint');
  const natural = naturalOrder(sort);
  if (natural !== undefined && hint !== undefined && naturalOrder(hint) !== natural)
    throw badValue('a sort by $natural goes with no other hint');
  return {
    filter: compileFilter(documentField(command.fields.get('filter'), 'filter'), scope),
    sort: natural === undefined ? parseSort(sort) : [],
    skip: countOption(command, 'skip') ?? 0,
    limit: countOption(command, 'limit') ?? 0,
    hint: hintOf(natural === undefined ? hint : sort, collection),
    time: timeLimit(countOption(command, 'maxTimeMS')),
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

async function findTailable(
  store: Store,
  command: Command,
  namespace: string,
  collection: Collection | undefined,
  scope: Scope,
): Promise<Buffer> {
  const sort = documentField(command.fields.get('sort'), 'sort');
  if (fields(sort).length > 0 && naturalOrder(sort) !== 1) {
    throw badValue('cannot use tailable option with a sort other than {$natural: 1}');
  }
  if (flagOf(command.fields.get('singleBatch'), 'singleBatch')) {
    throw failedToParse("Cannot use tailable option with the 'singleBatch' option");
  }
  if (countOption(command, 'skip') || countOption(command, 'limit')) {
    throw notImplemented("'skip' and 'limit' of a tailable cursor");
  }
  const filter = compileFilter(documentField(command.fields.get('filter'), 'filter'), scope);
  const project = compileProjection(command.fields.get('projection'), scope, filter);
  if (collection !== undefined && collection.capped === undefined) {
    throw badValue(`error processing query: tailable cursor requested on non capped collection ${namespace}`);
  }
  // As MongoDB does: a tailable cursor on an empty collection is dead at once.
  if (collection === undefined || collection.count === 0) return cursorReply('firstBatch', namespace, 0n, []);
  return await startCursor(store, command, {
    namespace,
    source: projected(tailableSource(store, collection, filter), project),
    batchSize: countOption(command, 'batchSize'),
    tailable: true,
    waitForMore: flagOf(command.fields.get('awaitData'), 'awaitData') ? wakeOf(store, namespace) : undefined,
    noTimeout: flagOf(command.fields.get('noCursorTimeout'), 'noCursorTimeout'),
  });
}

/** Flags that change the answer in a way this store does not: refused unless they are off. */
function refuseFlags(command: Command, names: readonly string[]): void {
  for (const name of names) {
    if (flagOf(command.fields.get(name), name)) throw notImplemented(`'${name}' of ${command.name}`);
  }
}

const REFUSED_FLAGS = ['returnKey', 'showRecordId', 'requestResumeToken'];

/** `find`. */
export const find: Handler = async (store, command) => {
  checkFields(command, [...FIND_FIELDS, ...REFUSED_FLAGS], ['min', 'max', 'resumeAfter', 'startAt', 'term']);
  refuseFlags(command, REFUSED_FLAGS);
  checkCollation(command.fields.get('collation'));
  const namespace = namespaceOf(command);
  const collection = store.catalog.find(namespace);
  const scope = commandScope(command.fields.get('let'), store.now());
  if (flagOf(command.fields.get('tailable'), 'tailable'))
    return await findTailable(store, command, namespace, collection, scope);
  if (flagOf(command.fields.get('awaitData'), 'awaitData'))
    throw failedToParse("Cannot set 'awaitData' without also setting 'tailable'");
  const query = findQuery(command, collection, scope);
  const project = compileProjection(command.fields.get('projection'), scope, query.filter);
  return await startCursor(store, command, {
    namespace,
    source: collection === undefined ? arraySource([]) : projected(openQuery(store, collection, query), project),
    batchSize: countOption(command, 'batchSize'),
    single: flagOf(command.fields.get('singleBatch'), 'singleBatch'),
    time: query.time,
    noTimeout: flagOf(command.fields.get('noCursorTimeout'), 'noCursorTimeout'),
  });
};

async function eachMatch(source: Source, visit: (document: RawValue) => void): Promise<void> {
  while (!source.ended()) for (const document of await source.pull(256, PIECE_BYTES)) visit(document);
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
    openQuery(store, collection, {
      filter,
      sort: [],
      skip,
      limit,
      hint,
      time: timeLimit(countOption(command, 'maxTimeMS')),
    }),
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
      openQuery(store, collection, {
        filter,
        sort: [],
        skip: 0,
        limit: 0,
        hint,
        time: timeLimit(countOption(command, 'maxTimeMS')),
      }),
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
