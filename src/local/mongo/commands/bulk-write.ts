import { fields, type RawValue } from '../bson/raw-value.js';
import { flagOf, integerOf, stringOf } from '../bson/values.js';
import { badValue, failedToParse, notImplemented } from '../errors.js';
import { commandScope, type Scope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import type { Command } from '../wire/message.js';
import { batchSizeOf, startCursor } from './batches.js';
import {
  checkFields,
  documentField,
  documentsOf,
  type Handler,
  type Store,
  type Target,
  targetNamed,
} from './context.js';
import { arraySource } from './query.js';
import { mixedDocument } from './reply.js';
import {
  countedDocuments,
  newTally,
  type Statement,
  statementFields,
  statementsStep,
  type Tally,
} from './statements.js';
import { deleteStatement, insertStatement, updateStatement } from './write.js';

type Kind = 'insert' | 'update' | 'delete';

/** One operation and what it did so far. */
interface Operation {
  readonly kind: Kind;
  readonly tally: Tally;
  done: boolean;
  start(): Statement;
}

const UPDATE_FIELDS = ['multi', 'upsert', 'upsertSupplied', 'hint', 'collation', 'arrayFilters', 'sort'];

/** The names of `update` for the fields that are called otherwise here. */
function asUpdate(given: ReadonlyMap<string, RawValue>): ReadonlyMap<string, RawValue> {
  const renamed: Readonly<Record<string, string>> = { filter: 'q', updateMods: 'u', constants: 'c' };
  return new Map([...given].map(([name, value]) => [renamed[name] ?? name, value]));
}

/** The namespaces that the operations refer to by their places. Throws BadValue, FailedToParse, and InvalidNamespace (73) on a name that cannot be. */
function targetsOf(command: Command): Target[] {
  return documentsOf(command, 'nsInfo').map((source) => {
    const given = new Map(fields(source));
    for (const name of given.keys()) if (name !== 'ns') throw notImplemented(`'${name}' of bulkWrite.nsInfo`);
    return targetNamed(stringOf(given.get('ns'), 'bulkWrite.nsInfo.ns'));
  });
}

function operationOf(
  store: Store,
  source: RawValue,
  index: number,
  targets: readonly Target[],
  scope: Scope,
): Operation {
  const [first] = fields(source);
  const kind = first?.[0];
  if (first === undefined || (kind !== 'insert' && kind !== 'update' && kind !== 'delete')) {
    throw failedToParse(`BulkWrite ops entry ${index} must begin with insert, update or delete`);
  }
  const on = targets[integerOf(first[1], `bulkWrite.ops.${kind}`)];
  if (on === undefined) throw badValue(`BulkWrite ops entry ${index} has an invalid nsInfo index.`);
  const where = `bulkWrite.ops.${kind}`;
  const tally = newTally();
  const operation = (start: () => Statement): Operation => ({ kind, tally, done: false, start });
  if (kind === 'insert') {
    const given = statementFields(source, where, ['insert', 'document'], []);
    const document = documentField(given.get('document'), `${where}.document`);
    return operation(() => insertStatement(store, on, document, tally));
  }
  if (kind === 'update') {
    const given = statementFields(source, where, ['update', 'filter', 'updateMods'], [...UPDATE_FIELDS, 'constants']);
    return operation(() => updateStatement(store, on, asUpdate(given), scope, index, tally));
  }
  const given = statementFields(source, where, ['delete', 'filter'], ['multi', 'hint', 'collation']);
  const one = !flagOf(given.get('multi'), `${where}.multi`);
  return operation(() => {
    const filter = compileFilter(documentField(given.get('filter'), `${where}.filter`), scope);
    return deleteStatement(store, on.namespace, filter, given.get('hint'), one, () => {
      tally.n++;
    });
  });
}

/** What the answer's cursor says of one operation that was carried out. */
function itemOf({ kind, tally }: Operation, index: number): RawValue {
  const [upserted] = tally.upserted;
  return mixedDocument({
    ok: 1,
    idx: index,
    n: tally.n,
    nModified: kind === 'update' ? tally.modified : undefined,
    upserted: upserted === undefined ? undefined : mixedDocument({ _id: upserted._id }),
  });
}

function errorItem({ index, ...error }: Record<string, unknown>): RawValue {
  return mixedDocument({ ok: 0, idx: index, ...error, n: 0 });
}

function counts(operations: readonly Operation[], errors: number): Record<string, number> {
  const sum = (kind: Kind, of: (tally: Tally) => number): number =>
    operations.reduce((total, one) => total + (one.kind === kind ? of(one.tally) : 0), 0);
  return {
    nErrors: errors,
    nInserted: sum('insert', ({ n }) => n),
    nMatched: sum('update', ({ n, upserted }) => n - upserted.length),
    nModified: sum('update', ({ modified }) => modified),
    nUpserted: sum('update', ({ upserted }) => upserted.length),
    nDeleted: sum('delete', ({ n }) => n),
  };
}

/** `bulkWrite`: inserts, updates and deletes on several collections one after another; a cursor tells what each did, or with `errorsOnly` which failed. */
export const bulkWrite: Handler = async (store, command) => {
  checkFields(command, ['ops', 'nsInfo', 'ordered', 'bypassDocumentValidation', 'let', 'errorsOnly', 'cursor']);
  const targets = targetsOf(command);
  const scope = commandScope(command.fields.get('let'), store.now());
  const operations = countedDocuments(command, 'ops').map((source, i) => operationOf(store, source, i, targets, scope));
  const failed = newTally();
  const statements = operations.map((operation) => (): Statement => {
    const statement = operation.start();
    return (outOfTime) => {
      operation.done = statement(outOfTime);
      return operation.done;
    };
  });
  const grows = operations.some(({ kind }) => kind !== 'delete');
  await store.engine.write(statementsStep(statements, failed, command), grows);
  const errorsOnly = flagOf(command.fields.get('errorsOnly'), 'errorsOnly');
  const errors = new Map(failed.errors.map((error) => [error.index as number, errorItem(error)]));
  const items = operations.flatMap((operation, i) => {
    const item = errors.get(i) ?? (operation.done && !errorsOnly ? itemOf(operation, i) : undefined);
    return item === undefined ? [] : [item];
  });
  return await startCursor(store, command, {
    namespace: 'admin.$cmd.bulkWrite',
    source: arraySource(items),
    batchSize: batchSizeOf(command),
    extra: counts(operations, errors.size),
  });
};
