import { field, fields, type RawValue, Type } from '../bson/raw-value.js';
import { date } from '../bson/values.js';
import { notImplemented, StoreError } from '../errors.js';
import { commandScope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { type Plan, planQuery } from '../query/plan.js';
import { parseSort } from '../query/sort.js';
import { openScan } from '../storage/scan.js';
import { MAX_DOCUMENT_BYTES } from '../update/storable.js';
import type { Command } from '../wire/message.js';
import { aggregateQuery } from './aggregate.js';
import { checkFields, documentField, documentsOf, type Handler, hintOf, namespaceOf, type Store } from './context.js';
import { breathe, type Query } from './query.js';
import { findQuery } from './read.js';
import { mixedDocument, mixedReply } from './reply.js';

/** The version of MongoDB that is spoken like; wire version 25 is 8.0's. */
const VERSION = '8.0.0';
const WIRE_VERSION = 25;

/** `hello`, `isMaster`, `ismaster`: a stand-alone server. Without topologyVersion, so that drivers ask again instead of waiting. */
export const hello: Handler = (store, _command, asker) =>
  mixedReply({
    helloOk: true,
    isWritablePrimary: true,
    ismaster: true,
    maxBsonObjectSize: MAX_DOCUMENT_BYTES,
    maxMessageSizeBytes: 48_000_000,
    maxWriteBatchSize: 100_000,
    localTime: date(store.now()),
    logicalSessionTimeoutMinutes: 30,
    connectionId: asker.connectionId,
    minWireVersion: 0,
    maxWireVersion: WIRE_VERSION,
    readOnly: false,
  });

/** `ping`. */
export const ping: Handler = () => mixedReply({});

/** `buildInfo`. */
export const buildInfo: Handler = () =>
  mixedReply({
    version: VERSION,
    versionArray: fourNumbers([8, 0, 0, 0]),
    gitVersion: 'none',
    modules: [],
    allocator: 'system',
    javascriptEngine: 'none',
    sysInfo: 'posthorn embedded store',
    bits: 64,
    debug: false,
    maxBsonObjectSize: MAX_DOCUMENT_BYTES,
    storageEngines: stringList(['lmdb']),
  });

function fourNumbers(list: readonly number[]): RawValue {
  return { ...mixedDocument(Object.fromEntries(list.map((value, i) => [String(i), value]))), type: Type.array };
}

function stringList(list: readonly string[]): RawValue {
  return { ...mixedDocument(Object.fromEntries(list.map((value, i) => [String(i), value]))), type: Type.array };
}

/** `serverStatus`: what a health page needs; `storageEngine.readOnly` while writes are refused, with `refusal` saying why. */
export const serverStatus: Handler = (store) => {
  const refusal = store.engine.refusal();
  return mixedReply({
    host: '127.0.0.1',
    version: VERSION,
    process: 'posthorn',
    pid: BigInt(process.pid),
    uptime: store.uptimeMs() / 1000,
    uptimeMillis: BigInt(Math.round(store.uptimeMs())),
    localTime: date(store.now()),
    connections: { current: store.clients(), available: 10_000 },
    storageEngine: {
      name: 'lmdb',
      persistent: true,
      readOnly: refusal !== undefined,
      ...(refusal === undefined ? {} : { refusal: refusal.message }),
    },
  });
};

/** `connectionStatus`: nobody logs in. */
export const connectionStatus: Handler = () =>
  mixedReply({ authInfo: { authenticatedUsers: [], authenticatedUserRoles: [] } });

/** `hostInfo` and `getParameter` and their like are refused by name. */
export const refused =
  (what: string): Handler =>
  () => {
    throw notImplemented(what);
  };

function planDocument(plan: Plan): RawValue {
  if (plan.index === undefined) {
    const scan = mixedDocument({ stage: 'COLLSCAN', direction: 'forward' });
    return plan.sorted ? scan : mixedDocument({ stage: 'SORT', inputStage: scan });
  }
  const scan = mixedDocument({
    stage: 'IXSCAN',
    keyPattern: field(plan.index.spec, 'key'),
    indexName: plan.index.name,
    isUnique: plan.index.unique,
    isSparse: plan.index.sparse,
    isPartial: plan.index.partial !== undefined,
    isMultiKey: plan.index.multikey.some(Boolean),
    direction: plan.reverse ? 'backward' : 'forward',
    intervals: plan.intervals.length,
  });
  const fetch = mixedDocument({ stage: 'FETCH', inputStage: scan });
  return plan.sorted ? fetch : mixedDocument({ stage: 'SORT', inputStage: fetch });
}

function explained(command: Command, store: Store): Query {
  const collection = store.catalog.find(namespaceOf(command));
  const scope = commandScope(command.fields.get('let'), store.now());
  switch (command.name) {
    case 'find':
      return findQuery(command, collection, scope);
    case 'aggregate':
      return aggregateQuery(command, scope);
    case 'count':
    case 'distinct':
    case 'findAndModify':
      return {
        filter: compileFilter(documentField(command.fields.get('query'), 'query'), scope),
        sort: parseSort(command.fields.get('sort')),
        skip: 0,
        limit: 0,
        hint: hintOf(command.fields.get('hint'), collection),
      };
    case 'update':
    case 'delete': {
      const [statement] = documentsOf(command, command.name === 'update' ? 'updates' : 'deletes');
      if (statement === undefined) throw new StoreError(16, 'InvalidLength', 'nothing to explain');
      return {
        filter: compileFilter(documentField(field(statement, 'q'), 'q'), scope),
        sort: parseSort(field(statement, 'sort')),
        skip: 0,
        limit: 0,
        hint: hintOf(field(statement, 'hint'), collection),
      };
    }
    default:
      throw notImplemented(`explain of ${command.name}`);
  }
}

async function examine(
  store: Store,
  query: Query,
  namespace: string,
  plan: Plan,
): Promise<{ examined: number; returned: number }> {
  const collection = store.catalog.find(namespace);
  let examined = 0;
  let returned = 0;
  if (collection === undefined) return { examined, returned };
  const scan = openScan(store.engine, store.catalog, collection, plan);
  for (;;) {
    const end = performance.now() + 8;
    const state = scan.next(
      (_record, document) => {
        examined++;
        if (query.filter.matches(document)) returned++;
        return plan.sorted && query.limit > 0 && returned >= query.limit + query.skip;
      },
      () => performance.now() >= end,
    );
    if (state !== 'later') break;
    await breathe();
  }
  returned = Math.max(0, returned - query.skip);
  return { examined, returned: query.limit > 0 ? Math.min(returned, query.limit) : returned };
}

/** `explain` of find, aggregate, count, distinct, findAndModify, update and delete: the chosen plan, and with executionStats how many documents it reads. */
export const explain: Handler = async (store, command) => {
  checkFields(command, ['verbosity']);
  const body = documentField(command.fields.get('explain'), 'explain');
  const list = fields(body);
  const name = list[0]?.[0];
  if (name === undefined) throw new StoreError(59, 'CommandNotFound', 'explain of nothing');
  const inner: Command = {
    name,
    database: command.database,
    body,
    fields: new Map(list),
    sequences: command.sequences,
  };
  const namespace = namespaceOf(inner);
  const collection = store.catalog.find(namespace);
  const query = explained(inner, store);
  const plan: Plan =
    collection === undefined
      ? { index: undefined, intervals: [], reverse: false, exact: false, sorted: true, repeats: false }
      : planQuery(collection, query.filter, query.sort, query.hint);
  const verbosity = command.fields.get('verbosity');
  const only =
    verbosity?.type === Type.string &&
    verbosity.bytes.toString('utf8', verbosity.start + 4, verbosity.end - 1) === 'queryPlanner';
  const stats = only ? undefined : await examine(store, query, namespace, plan);
  return mixedReply({
    explainVersion: '1',
    queryPlanner: mixedDocument({
      namespace,
      parsedQuery: query.filter.source,
      winningPlan: planDocument(plan),
      rejectedPlans: [],
    }),
    ...(stats === undefined
      ? {}
      : {
          executionStats: mixedDocument({
            executionSuccess: true,
            nReturned: stats.returned,
            totalDocsExamined: stats.examined,
            totalKeysExamined: plan.index === undefined ? 0 : stats.examined,
          }),
        }),
  });
};
