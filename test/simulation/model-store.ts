import { ObjectId } from 'mongodb';
import mongoose from 'mongoose';
import { defineModels, type Models } from '../../src/store/models.js';
import type { Store } from '../../src/store/store.js';
import type { Host, Kernel } from './kernel.js';
import { compare, copied, type Doc, matches, seedOf, updated } from './rows.js';

/** How often what goes wrong between a process and the store, as shares of its calls; times in ms. */
export interface StoreWeather {
  /** Of one way, at most. */
  latencyMs: number;
  /** Until a write is seen by majority reads, at most; its acknowledgement comes after that. */
  commitMs: number;
  /** The call is lost, or its answer; a write of which an error was said is applied later; a bulk is cut in the middle. */
  lost: number;
  answerLost: number;
  late: number;
  cut: number;
  /** A call takes up to 3 s. */
  slow: number;
}

interface Row {
  readonly id: ObjectId;
  /** Undefined once it is deleted. */
  current: Doc | undefined;
  /** As majority reads see it. */
  committed: Doc | undefined;
}

interface Table {
  readonly name: keyof Models;
  readonly rows: Row[];
  readonly unique: readonly (readonly string[])[];
  /** By index and key, for the unique indexes. */
  readonly byKey: Map<string, Row>;
}

/** What the checker hears of: a version of a document as it was applied, and when majority reads see it. */
export interface Change {
  readonly table: keyof Models;
  readonly doc: Doc;
  readonly before: Doc | undefined;
  readonly stage: 'applied' | 'committed';
  /** It was applied after its writer was told that it had failed. */
  readonly late: boolean;
}

/** The store that all processes of a run share: the collections of src/store on the calls of the driver that it really makes. */
export interface ModelStore {
  weather: StoreWeather;
  /** Virtual time until which no process reaches it. */
  awayUntil: number;
  /** Virtual time until which its disk is full: every write is refused, reads go on. */
  fullUntil: number;
  /** What `process` may use in place of the driver. `rewrite` may change its calls: for planted bugs. */
  open(host: Host, rewrite?: Rewrite): Store;
  /** Changes at once and seen by all, as an import before the run. */
  insert(table: keyof Models, doc: Doc): void;
  /** What is applied now. */
  all(table: keyof Models): readonly Doc[];
  onChange(listener: (change: Change) => void): void;
}

/** Changes a filter before it is used: (collection, method, filter) → filter. */
export type Rewrite = (table: keyof Models, method: string, filter: Doc) => Doc;

interface Operation {
  readonly updateOne: { readonly filter: Doc; readonly update: Doc; readonly upsert?: boolean };
}

/** The unique indexes of the real models: the connection is never opened. */
const UNIQUE = (() => {
  const models = defineModels(mongoose.createConnection());
  return Object.entries(models).map(([name, model]) => ({
    name: name as keyof Models,
    unique: (model as unknown as { schema: mongoose.Schema }).schema
      .indexes()
      .filter(([, options]) => options.unique === true)
      .map(([keys]) => Object.keys(keys)),
  }));
})();

/** Makes an empty store. */
export function modelStore(kernel: Kernel): ModelStore {
  const { random } = kernel;
  const listeners: ((change: Change) => void)[] = [];
  const tables = new Map<keyof Models, Table>(
    UNIQUE.map(({ name, unique }) => [name, { name, unique: [['_id'], ...unique], rows: [], byKey: new Map() }]),
  );
  let ids = 0;
  let committedAt = 0;

  const tableOf = (name: keyof Models): Table => tables.get(name) as Table;
  let late = false;
  const tell = (change: Omit<Change, 'late'>): void => {
    for (const listener of listeners) listener({ ...change, late });
  };

  function keysOf(index: readonly string[], doc: Doc): string[] {
    const parts = index.map((field) => doc[field]);
    if (parts.some((part) => part === undefined)) return [];
    const list = parts.findIndex(Array.isArray);
    const whole = (values: unknown[]) => `${index.join()}:${values.map(String).join('|')}`;
    if (list === -1) return [whole(parts)];
    return (parts[list] as unknown[]).map((one) => whole(parts.map((part, at) => (at === list ? one : part))));
  }

  /** Throws the driver's error for a duplicate key. */
  function checkUnique(table: Table, doc: Doc, row: Row | undefined): void {
    for (const index of table.unique) {
      for (const key of keysOf(index, doc)) {
        const other = table.byKey.get(key);
        if (other !== undefined && other !== row) throw duplicate(index);
      }
    }
  }

  function put(table: Table, row: Row, doc: Doc, before: Doc | undefined): void {
    row.current = doc;
    if (before !== undefined) forgetKeys(table, row, before);
    for (const index of table.unique) for (const key of keysOf(index, doc)) table.byKey.set(key, row);
    kernel.trace(() => `store ${table.name} ${JSON.stringify(traced(doc), shortened)}`);
    tell({ table: table.name, doc, before, stage: 'applied' });
    whenCommitted(() => {
      row.committed = doc;
      tell({ table: table.name, doc, before, stage: 'committed' });
    });
  }

  function forgetKeys(table: Table, row: Row, doc: Doc): void {
    for (const index of table.unique)
      for (const key of keysOf(index, doc)) if (table.byKey.get(key) === row) table.byKey.delete(key);
  }

  /** Writes are seen in the order in which they were applied, some time later. */
  function whenCommitted(run: () => void): void {
    const { commitMs } = store.weather;
    const lag = random.chance(0.03) ? random.next() * commitMs * 20 : random.next() * commitMs;
    committedAt = Math.max(committedAt, kernel.now + lag);
    kernel.after(committedAt - kernel.now, run);
  }

  function remove(table: Table, row: Row, doc: Doc): void {
    row.current = undefined;
    forgetKeys(table, row, doc);
    kernel.trace(() => `store ${table.name} deleted ${JSON.stringify(traced(doc))}`);
    whenCommitted(() => {
      row.committed = undefined;
      table.rows.splice(table.rows.indexOf(row), 1);
    });
  }

  function insertRow(table: Table, given: Doc): ObjectId {
    ids += 1;
    const id = (given._id as ObjectId | undefined) ?? new ObjectId(ids.toString(16).padStart(24, '0'));
    const doc = { ...updated({}, { $set: given }, true), _id: id };
    checkUnique(table, doc, undefined);
    const row: Row = { id, current: doc, committed: undefined };
    table.rows.push(row);
    put(table, row, doc, undefined);
    return id;
  }

  function candidates(table: Table, filter: Doc): readonly Row[] {
    for (const index of table.unique) {
      const values = index.map((field) => filter[field]);
      if (
        values.every((value) => typeof value === 'string' || typeof value === 'number' || value instanceof ObjectId)
      ) {
        const row = table.byKey.get(`${index.join()}:${values.map(String).join('|')}`);
        return row === undefined ? [] : [row];
      }
    }
    return table.rows;
  }

  function updateOne(
    table: Table,
    filter: Doc,
    update: Doc,
    upsert: boolean,
  ): { matched: number; upserted?: ObjectId; before: Doc | null } {
    const row = candidates(table, filter).find((one) => fits(one, filter));
    const before = row?.current;
    if (row !== undefined && before !== undefined) {
      const after = updated(before, update, false);
      checkUnique(table, after, row);
      put(table, row, after, before);
      return { matched: 1, before };
    }
    if (!upsert) return { matched: 0, before: null };
    return { matched: 0, upserted: insertRow(table, updated(seedOf(filter), update, true)), before: null };
  }

  const fits = ({ current }: Row, filter: Doc): boolean => current !== undefined && matches(current, filter);

  function find(table: Table, filter: Doc): Doc[] {
    // An index leads to what is applied; what is committed may still be under another key.
    const rows = table.name === 'Chats' ? table.rows : candidates(table, filter);
    return rows.flatMap(({ committed }) =>
      committed !== undefined && matches(committed, filter) ? [copied(committed)] : [],
    );
  }

  /** One call over the network: what may go wrong with it goes wrong here. `apply` is told how much of a bulk arrives. */
  function call<T>(host: Host, name: string, write: boolean, apply: (share: number) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { weather } = store;
      const way = () => 0.2 + random.next() * (random.chance(weather.slow) ? 3_000 : weather.latencyMs);
      const fail = (kind: string, afterMs: number): void => {
        kernel.after(afterMs, () => reject(away(kind)), host);
      };
      const answer = (): void => {
        if (kernel.now < store.awayUntil) {
          const wait = Math.min(2_000, store.awayUntil - kernel.now + 1);
          kernel.after(wait, () => (kernel.now < store.awayUntil ? reject(away('away')) : go()), host);
        } else go();
      };
      const go = (): void => {
        const there = way();
        if (random.chance(weather.lost)) {
          kernel.fault('store: call lost');
          fail('lost', there + random.next() * 500);
          return;
        }
        if (write && random.chance(weather.late)) {
          kernel.fault('store: written after an error was said');
          fail('late', there);
          kernel.after(there + random.next() * (random.chance(0.2) ? 15_000 : 1_000), () => {
            late = true;
            try {
              apply(1);
            } catch {
              // nobody hears of it
            }
            late = false;
          });
          return;
        }
        const cut = write && random.chance(weather.cut);
        const answerLost = cut || (write && random.chance(weather.answerLost));
        kernel.after(there, () => {
          if (kernel.now < store.awayUntil) {
            fail('away', 0);
            return;
          }
          if (write && kernel.now < store.fullUntil) {
            kernel.fault('store: refused, the disk is full');
            kernel.after(way(), () => reject(full()), host);
            return;
          }
          let end: () => void;
          try {
            const value = apply(cut ? random.next() : 1);
            end = () => resolve(value);
          } catch (error) {
            end = () => reject(error);
          }
          if (answerLost) {
            kernel.fault(cut ? 'store: cut in the middle of a bulk' : 'store: written and answered with an error');
            fail('answer lost', way());
            return;
          }
          // w: majority: acknowledged when majority reads see it.
          const seen = write ? Math.max(0, committedAt - kernel.now) : 0;
          kernel.after(seen + way(), end, host);
        });
      };
      kernel.trace(() => `call ${name}`);
      answer();
    });
  }

  function collection(name: keyof Models, host: Host, rewrite: Rewrite) {
    const table = tableOf(name);

    function bulk(operations: readonly Operation[], share: number) {
      const errors: { index: number; code: number; keyPattern: object }[] = [];
      const upsertedIds: Record<number, ObjectId> = {};
      let matchedCount = 0;
      operations.slice(0, Math.ceil(operations.length * share)).forEach(({ updateOne: one }, index) => {
        try {
          const done = updateOne(table, one.filter, one.update, one.upsert === true);
          matchedCount += done.matched;
          if (done.upserted !== undefined) upsertedIds[index] = done.upserted;
        } catch (error) {
          errors.push({ index, ...(error as { code: number; keyPattern: object }) });
        }
      });
      if (errors.length > 0) throw bulkError(errors, upsertedIds);
      return { matchedCount, modifiedCount: matchedCount, upsertedIds };
    }

    return {
      find(given: Doc) {
        let order: [string, number][] = [];
        let most = 0;
        const filter = rewrite(name, 'find', given);
        const read = (limit: number): Promise<Doc[]> =>
          call(host, `${name}.find`, false, () => {
            const found = find(table, filter);
            for (const [field, direction] of order.toReversed())
              found.sort((a, b) => direction * compare(a[field], b[field]));
            return limit === 0 ? found : found.slice(0, limit);
          });
        const cursor = {
          sort(given: Record<string, 1 | -1>) {
            order = Object.entries(given);
            return cursor;
          },
          limit(count: number) {
            most = count;
            return cursor;
          },
          toArray: () => read(most),
          next: async () => (await read(1))[0] ?? null,
          async *[Symbol.asyncIterator]() {
            yield* await read(most);
          },
        };
        return cursor;
      },
      findOne: (given: Doc) => {
        const filter = rewrite(name, 'findOne', given);
        return call(host, `${name}.findOne`, false, () => find(table, filter)[0] ?? null);
      },
      /** Pipelines of $match, $sort by a field, $limit and a $group of all. */
      aggregate(stages: readonly Doc[]) {
        const of = (stage: string) => stages.find((one) => stage in one)?.[stage] as Doc | undefined;
        const filter = rewrite(name, 'aggregate', of('$match') ?? {});
        const [[field, direction] = ['_id', 1]] = Object.entries((of('$sort') ?? {}) as Record<string, number>);
        const limit = Number(of('$limit'));
        const { _id, ...wanted } = of('$group') ?? {};
        return {
          toArray: () =>
            call(host, `${name}.aggregate`, false, () => {
              const found = find(table, filter);
              found.sort((a, b) => direction * compare(a[field], b[field]));
              return found.length === 0 ? [] : [{ _id, ...grouped(found.slice(0, limit), wanted) }];
            }),
        };
      },
      countDocuments: (filter: Doc) => call(host, `${name}.count`, false, () => find(table, filter).length),
      insertOne(given: Doc) {
        const doc = copied(given);
        return call(host, `${name}.insertOne`, true, () => ({ insertedId: insertRow(table, doc) }));
      },
      insertMany(given: readonly Doc[]) {
        const docs = given.map(copied);
        return call(host, `${name}.insertMany`, true, (share) => {
          const errors: { index: number; code: number; keyPattern: object }[] = [];
          docs.slice(0, Math.ceil(docs.length * share)).forEach((doc, index) => {
            try {
              insertRow(table, doc);
            } catch (error) {
              errors.push({ index, ...(error as { code: number; keyPattern: object }) });
            }
          });
          if (errors.length > 0) throw bulkError(errors, {});
          return {};
        });
      },
      updateOne(given: Doc, change: Doc, options: { upsert?: boolean } = {}) {
        const filter = rewrite(name, 'updateOne', copied(given));
        const update = copied(change);
        return call(host, `${name}.updateOne`, true, () => {
          const done = updateOne(table, filter, update, options.upsert === true);
          const upsertedCount = done.upserted === undefined ? 0 : 1;
          return { matchedCount: done.matched, modifiedCount: done.matched, upsertedCount };
        });
      },
      deleteOne(given: Doc) {
        const filter = copied(given);
        return call(host, `${name}.deleteOne`, true, () => {
          const row = candidates(table, filter).find((one) => fits(one, filter));
          if (row?.current !== undefined) remove(table, row, row.current);
          return { deletedCount: row === undefined ? 0 : 1 };
        });
      },
      updateMany(given: Doc, change: Doc) {
        const [filter, update] = [copied(given), copied(change)];
        return call(host, `${name}.updateMany`, true, () => {
          const found = table.rows.filter((row) => fits(row, filter));
          for (const row of found) {
            const before = row.current as Doc;
            put(table, row, updated(before, update, false), before);
          }
          return { matchedCount: found.length, modifiedCount: found.length };
        });
      },
      findOneAndUpdate(given: Doc, change: Doc) {
        const [filter, update] = [copied(given), copied(change)];
        return call(host, `${name}.findOneAndUpdate`, true, () =>
          copied(updateOne(table, filter, update, false).before),
        );
      },
      bulkWrite(given: readonly Operation[]) {
        const operations = copied(given).map(({ updateOne: one }) => ({
          updateOne: { ...one, filter: rewrite(name, 'bulkWrite', one.filter) },
        }));
        return call(host, `${name}.bulkWrite`, true, (share) => bulk(operations, share));
      },
    };
  }

  const store: ModelStore = {
    weather: { latencyMs: 3, commitMs: 2, lost: 0, answerLost: 0, late: 0, cut: 0, slow: 0 },
    awayUntil: 0,
    fullUntil: 0,
    open(host, rewrite = (_table, _method, filter) => filter) {
      const models = Object.fromEntries(
        UNIQUE.map(({ name }) => [name, { collection: collection(name, host, rewrite) }]),
      ) as unknown as Models;
      return {
        connection: undefined as never,
        models,
        reachable: () => kernel.now >= store.awayUntil,
        async update(model, updates) {
          if (updates.length === 0) return;
          await models[model].collection.bulkWrite(
            updates.map(({ filter, change, upsert = false }) => ({ updateOne: { filter, update: change, upsert } })),
          );
        },
        close: () => Promise.resolve(),
      };
    },
    insert(name, doc) {
      const table = tableOf(name);
      insertRow(table, doc);
      const row = table.rows.at(-1);
      if (row !== undefined) row.committed = row.current;
    },
    all: (name) => tableOf(name).rows.flatMap(({ current }) => (current === undefined ? [] : [current])),
    onChange(listener) {
      listeners.push(listener);
    },
  };
  return store;
}

/** What of a document belongs to the run: ids and times that the code takes from the machine do not. */
const UNTRACED: ReadonlySet<string> = new Set(['_id', 'at', 'closedAt', 'blockedAt', 'createdAt', 'settledAt']);

/** A text of several messages is traced by its beginning. */
const TRACED_UNITS = 200;
const shortened = (_: string, value: unknown): unknown =>
  typeof value === 'string' && value.length > 4_096 ? value.slice(0, TRACED_UNITS) : value;

/** As the store answers a write when its disk is full. */
function full(): Error {
  return Object.assign(new Error('no room'), { name: 'MongoServerError', code: 14_031, codeName: 'OutOfDiskSpace' });
}

function traced(doc: Doc): unknown {
  return Object.fromEntries(
    Object.entries(doc).flatMap(([field, value]) =>
      UNTRACED.has(field) ? [] : [[field, Buffer.isBuffer(value) ? value.toString('base64') : value]],
    ),
  );
}

function away(why: string): Error {
  return Object.assign(new Error(`no store: ${why}`), { name: 'MongoNetworkError' });
}

function duplicate(index: readonly string[]): Error {
  return Object.assign(new Error('E11000 duplicate key'), {
    name: 'MongoServerError',
    code: 11_000,
    keyPattern: Object.fromEntries(index.map((field) => [field, 1])),
  });
}

/** What the accumulators of a $group of all make of these rows: $push and $last of a field, or of whether one differs from a value. */
function grouped(found: readonly Doc[], wanted: Doc): Doc {
  const asked = (row: Doc, expression: unknown): unknown => {
    if (typeof expression === 'string') return row[expression.slice(1)];
    const [field, value] = (expression as { $ne: [string, unknown] }).$ne;
    return matches(row, { [field.slice(1)]: { $ne: value } });
  };
  return Object.fromEntries(
    Object.entries(wanted).map(([field, accumulator]) => {
      const { $push, $last } = accumulator as { $push?: unknown; $last?: unknown };
      const last = found.at(-1) ?? {};
      return [field, $push === undefined ? asked(last, $last) : found.map((row) => asked(row, $push))];
    }),
  );
}

function bulkError(
  writeErrors: { index: number; code: number; keyPattern: object }[],
  upsertedIds: Record<number, ObjectId>,
): Error {
  return Object.assign(new Error('E11000 duplicate key'), {
    name: 'MongoBulkWriteError',
    code: 11_000,
    keyPattern: writeErrors[0]?.keyPattern ?? {},
    writeErrors,
    result: { upsertedIds, getWriteConcernError: () => undefined },
  });
}
