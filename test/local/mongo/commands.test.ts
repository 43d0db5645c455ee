import { once } from 'node:events';
import { connect } from 'node:net';
import { deserialize, serialize } from 'bson';
import {
  Code,
  type Collection,
  Decimal128,
  type Document,
  Long,
  MinKey,
  MongoClient,
  MongoServerError,
  Timestamp,
  UUID,
} from 'mongodb';
import t, { type Test } from 'tap';
import { openCursors } from '../../../src/local/mongo/commands/cursors.js';
import { arraySource } from '../../../src/local/mongo/commands/query.js';
import { timeLimit } from '../../../src/local/mongo/commands/time-limit.js';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { eventually } from '../../support/eventually.js';

const defects: object[] = [];
const store = await startEmbeddedStore({
  dataDir: t.testdir(),
  log: { info: () => undefined, warn: () => undefined, error: (fields) => defects.push(fields) },
});
const client = await new MongoClient(store.uri).connect();
const db = client.db();
const admin = client.db('admin');
t.teardown(async () => {
  await client.close();
  await store.stop();
});

let names = 0;
const fresh = (): Collection<Document> => db.collection(`c${++names}`);

/** The code of the error that a command is answered with; 0 when there is none. */
async function codeOf(attempt: Promise<unknown>): Promise<number> {
  try {
    await attempt;
    return 0;
  } catch (error) {
    if (error instanceof MongoServerError) return Number(error.code);
    throw error;
  }
}

interface Batch {
  readonly id: Long;
  readonly firstBatch: Document[];
  readonly nextBatch: Document[];
  readonly ns: string;
}

const cursorOf = async (answer: Promise<Document>): Promise<Batch> => {
  const { cursor } = (await answer) as { cursor: Batch & { id: Long | number } };
  return { ...cursor, id: Long.fromValue(cursor.id) };
};

t.test("cursors expire by MongoDB's times", (t) => {
  let now = 0;
  const minutes = (count: number): void => {
    now += count * 60_000;
    cursors.sweep();
  };
  const cursors = openCursors(() => now);
  const open = (noTimeout: boolean, session?: string) =>
    cursors.open({
      namespace: 'd.c',
      source: arraySource([]),
      time: undefined,
      session,
      waitForMore: undefined,
      tailable: false,
      noTimeout,
    });
  const lives = (cursor: { id: bigint }, session?: string): boolean => {
    try {
      cursors.release(cursors.take(cursor.id, 'd.c', session));
      return true;
    } catch {
      return false;
    }
  };
  const plain = open(false);
  const used = open(false);
  const endless = open(true);
  const inSession = open(true, 's');
  const refreshed = open(true, 'r');
  minutes(9);
  t.ok(lives(used));
  minutes(2);
  t.notOk(lives(plain), 'after 10 minutes without use');
  t.ok(plain.killed.signal.aborted);
  t.ok(lives(used), 'the time begins anew with each use');
  minutes(15);
  cursors.refreshSession('r');
  minutes(6);
  t.notOk(lives(inSession, 's'), 'with its session after 30 minutes, noCursorTimeout or not');
  t.ok(lives(refreshed, 'r'), 'unless the session was refreshed');
  minutes(100_000);
  t.ok(lives(endless), 'noCursorTimeout without a session: never');
  const busy = cursors.take(open(false).id, 'd.c', undefined);
  minutes(60);
  cursors.release(busy);
  t.ok(lives(busy), 'not while it is in use');
  cursors.endSession('r');
  t.notOk(lives(refreshed, 'r'));
  t.end();
});

t.test('maxTimeMS counts the time at work', (t) => {
  let now = 0;
  const limit = timeLimit(100, () => now);
  now += 60;
  limit.check();
  limit.pause();
  now += 10_000;
  limit.resume();
  now += 40;
  limit.check();
  now += 1;
  t.throws(() => limit.check(), { code: 50 });
  t.doesNotThrow(() => timeLimit(0, () => now).check());
  t.equal(timeLimit(undefined).end(), Number.POSITIVE_INFINITY);
  t.end();
});

t.test('maxTimeMS ends reads, writes and builds of indexes', async (t) => {
  const many = fresh();
  await many.insertMany(Array.from({ length: 20_000 }, (_, n) => ({ n, text: `number ${n}` })));
  const slow = { text: /nowhere$/ };
  t.equal(await codeOf(many.find(slow, { maxTimeMS: 1 }).toArray()), 50);
  t.equal(await codeOf(many.countDocuments(slow, { maxTimeMS: 1 })), 50);
  t.equal(await codeOf(many.distinct('n', slow, { maxTimeMS: 1 })), 50);
  t.equal(await codeOf(many.updateMany({}, { $inc: { n: 1 } }, { maxTimeMS: 1 })), 50);
  t.equal(await codeOf(many.findOneAndUpdate(slow, { $set: { a: 1 } }, { maxTimeMS: 1 })), 50);
  t.equal(await codeOf(many.createIndex({ text: 1 }, { maxTimeMS: 1 })), 50);
  t.strictSame(
    (await many.indexes()).map(({ name }) => name),
    ['_id_'],
    'an index that was begun is gone',
  );
  t.equal(await codeOf(db.command({ find: many.collectionName, maxTimeMS: -1 })), 2);
  t.equal(await many.countDocuments({ text: 'number 7' }, { maxTimeMS: 60_000 }), 1);
});

t.test('getMore: sizes, namespaces, sessions', async (t) => {
  const things = fresh();
  const name = things.collectionName;
  await things.insertMany(Array.from({ length: 300 }, (_, i) => ({ _id: i as never })));
  const [session, another] = [client.startSession(), client.startSession()];
  t.teardown(() => Promise.all([session.endSession(), another.endSession()]));
  const open = (more: Document = {}) => cursorOf(db.command({ find: name, batchSize: 2, ...more }, { session }));
  const more = (id: Long, rest: Document = {}, by = session) =>
    db.command({ getMore: id, collection: name, ...rest }, { session: by });

  const first = await open();
  t.equal(first.firstBatch.length, 2);
  t.equal((await cursorOf(more(first.id, { batchSize: 3 }))).nextBatch.length, 3);
  const rest = await cursorOf(more(first.id));
  t.equal(rest.nextBatch.length, 295, 'without a size: all that fits');
  t.equal(rest.id.toString(), '0');
  t.equal((await cursorOf(db.command({ find: name }))).firstBatch.length, 101);
  t.equal((await open({ batchSize: 0 })).firstBatch.length, 0);
  t.equal((await open({ singleBatch: true })).id.toString(), '0');

  t.equal(await codeOf(more(first.id)), 43, 'an exhausted cursor is gone');
  t.equal(await codeOf(more((await open()).id, { collection: 'other' })), 13);
  t.equal(await codeOf(more((await open()).id, {}, another)), 50738);
  t.equal(await codeOf(more((await open()).id, { batchSize: -1 })), 2);
  t.equal(await codeOf(more((await open()).id, { maxTimeMS: 5 })), 2, 'maxTimeMS is for awaitData');
  t.equal(await codeOf(db.command({ getMore: 5, collection: name })), 14);

  const [one, two] = [await open(), await open()];
  const kill = await db.command({ killCursors: name, cursors: [one.id, Long.fromNumber(7)] });
  t.strictSame(kill.cursorsKilled, [one.id]);
  t.strictSame(kill.cursorsNotFound, [7]);
  t.equal(await codeOf(more(one.id)), 43);
  await db.command({ endSessions: [session.id] });
  t.equal(await codeOf(more(two.id)), 43, 'the end of a session ends its cursors');
});

t.test('find: options and the natural order', async (t) => {
  const things = fresh();
  const find = (options: Document) => db.command({ find: things.collectionName, ...options });
  await things.insertMany([3, 1, 2, 5, 4].map((n) => ({ n })));
  const order = async (options: Document): Promise<unknown[]> =>
    (await things.find({}, options).batchSize(2).toArray()).map(({ n }) => n as unknown);
  t.strictSame(await order({ sort: { $natural: 1 } }), [3, 1, 2, 5, 4]);
  t.strictSame(await order({ sort: { $natural: -1 } }), [4, 5, 2, 1, 3]);
  t.strictSame(await order({ hint: { $natural: -1 } }), [4, 5, 2, 1, 3]);
  t.strictSame(await order({ hint: { $natural: -1 }, sort: { n: 1 } }), [1, 2, 3, 4, 5]);
  t.strictSame(
    await things
      .find({}, { sort: { $natural: -1 }, limit: 2, skip: 1 })
      .map(({ n }) => n)
      .toArray(),
    [5, 2],
  );
  const cases: [Document, number][] = [
    [{ awaitData: true }, 9],
    [{ tailable: true }, 2],
    [{ limit: -1 }, 2],
    [{ skip: -1 }, 2],
    [{ batchSize: -1 }, 2],
    [{ sort: { $natural: 2 } }, 2],
    [{ sort: { $natural: 1 }, hint: { n: 1 } }, 2],
    [{ hint: 'nowhere' }, 2],
    [{ returnKey: true }, 238],
    [{ showRecordId: true }, 238],
    [{ returnKey: false, showRecordId: false }, 0],
    [{ min: { n: 1 }, hint: { n: 1 } }, 238],
    [{ max: { n: 1 } }, 238],
    [{ apiVersion: '1' }, 0],
    [{ hint: 5 }, 9],
    [{ maxTimeMS: 2 ** 31 }, 2],
    [{ maxTimeMS: 'x' }, 14],
    [{ allowDiskUse: 'x' }, 14],
    [{ readConcern: 'local' }, 14],
    [{ writeConcern: 1 }, 14],
    [{ writeConcern: { w: -1 } }, 9],
    [{ writeConcern: { w: 2 } }, 2],
    [{ writeConcern: { w: 'tag' } }, 2],
    [{ writeConcern: { nonsense: 1 } }, 40415],
    [{ writeConcern: { w: 'majority', j: true, wtimeout: 5 } }, 0],
    [{ apiVersion: '2' }, 322],
    [{ comment: { any: ['thing'] }, allowDiskUse: true, allowPartialResults: false }, 0],
    [{ readConcern: { level: 'snapshot' } }, 238],
    [{ collation: { locale: 'simple' } }, 0],
    [{ collation: { locale: 'en', strength: 2 } }, 238],
  ];
  for (const [options, code] of cases) t.equal(await codeOf(find(options)), code, JSON.stringify(options));
});

t.test('tailable cursors: several clients, kills and drops', async (t) => {
  const name = fresh().collectionName;
  const log = await db.createCollection(name, { capped: true, size: 100_000 });
  const find = (more: Document) => db.command({ find: name, tailable: true, awaitData: true, ...more });
  t.equal((await cursorOf(find({}))).id.toString(), '0', 'on an empty collection it is dead at once');
  await log.insertOne({ n: 0 });
  t.equal(await codeOf(find({ sort: { n: 1 } })), 2);
  t.equal(await codeOf(find({ singleBatch: true })), 9);
  t.equal(await codeOf(find({ limit: 1 })), 238);
  t.equal((await cursorOf(find({ sort: { $natural: 1 } }))).firstBatch.length, 1);

  const others = await Promise.all([0, 1, 2].map(() => new MongoClient(store.uri).connect()));
  t.teardown(() => Promise.all(others.map((one) => one.close())));
  const waits = others.map(async (one, i) => {
    const filter = i === 0 ? {} : { n: { $gte: i } };
    const { id } = await cursorOf(one.db().command({ find: name, filter, tailable: true, awaitData: true }));
    const waiting = one.db().command({ getMore: id, collection: name, maxTimeMS: 60_000 });
    return { id, waiting };
  });
  const opened = await Promise.all(waits);
  t.equal(
    await eventually('the cursor is in use', 10_000, async () => {
      const code = await codeOf(db.command({ getMore: opened[0]?.id, collection: name, maxTimeMS: 1 }));
      return code === 12051 && code;
    }),
    12051,
  );
  await log.insertOne({ n: 1 });
  const [all, from1] = await Promise.all(opened.slice(0, 2).map(({ waiting }) => cursorOf(waiting)));
  t.match(all?.nextBatch, [{ n: 1 }]);
  t.match(from1?.nextBatch, [{ n: 1 }]);
  // What does not match wakes too: an empty answer, as MongoDB gives one before the time is up.
  t.strictSame((await cursorOf((opened[2] as { waiting: Promise<Document> }).waiting)).nextBatch, []);

  const first = await cursorOf(find({}));
  const killed = codeOf(db.command({ getMore: first.id, collection: name, maxTimeMS: 60_000 }));
  await eventually('it waits', 10_000, async () => {
    const code = await codeOf(db.command({ getMore: first.id, collection: name, maxTimeMS: 1 }));
    return code === 12051;
  });
  await db.command({ killCursors: name, cursors: [first.id] });
  t.equal(await killed, 237, 'a cursor that is killed while it waits');
  const second = await cursorOf(find({}));
  const dropped = codeOf(db.command({ getMore: second.id, collection: name, maxTimeMS: 60_000 }));
  await log.drop();
  t.equal(await dropped, 175, 'a drop wakes those who wait');
});

t.test('specifications of indexes', async (t) => {
  const things = fresh();
  const create = (...indexes: Document[]) => db.command({ createIndexes: things.collectionName, indexes });
  const keys = (count: number): Document => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 1]));
  const cases: [string, Document, number][] = [
    ['no keys', { key: {}, name: 'n' }, 67],
    ['a direction of 0', { key: { a: 0 }, name: 'n' }, 67],
    ['a direction that is no number', { key: { a: true }, name: 'n' }, 67],
    ['NaN', { key: { a: Number.NaN }, name: 'n' }, 67],
    ['an unknown plugin', { key: { a: 'nonsense' }, name: 'n' }, 67],
    ['text', { key: { a: 'text' }, name: 'n' }, 238],
    ['2dsphere', { key: { a: '2dsphere' }, name: 'n' }, 238],
    ['hashed', { key: { a: 'hashed' }, name: 'n' }, 238],
    ['a wildcard', { key: { '$**': 1 }, name: 'n' }, 238],
    ['a wildcard below a path', { key: { 'a.$**': 1 }, name: 'n' }, 238],
    ['a name with a dollar', { key: { 'a.$b': 1 }, name: 'n' }, 67],
    ['an empty name', { key: { 'a..b': 1 }, name: 'n' }, 67],
    ['too many keys', { key: keys(33), name: 'n' }, 13103],
    ['32 keys', { key: keys(32), name: 'thirty-two' }, 0],
    ['the name *', { key: { a: 1 }, name: '*' }, 2],
    ['the name of the _id index', { key: { a: 1 }, name: '_id_' }, 2],
    ['no name of a string', { key: { a: 1 }, name: 5 }, 14],
    ['_id', { key: { _id: 1 }, name: 'whatever' }, 0],
    ['_id downwards', { key: { _id: -1 }, name: 'n' }, 2],
    ['unique _id', { key: { _id: 1 }, name: 'n', unique: true }, 197],
    ['an option that is none', { key: { a: 1 }, name: 'n', nonsense: 1 }, 197],
    ['a collation', { key: { a: 1 }, name: 'n', collation: { locale: 'de' } }, 238],
    ['the simple collation', { key: { s: 1 }, name: 'simple', collation: { locale: 'simple' } }, 0],
    ['weights', { key: { a: 1 }, name: 'n', weights: { a: 1 } }, 238],
    ['version 2', { key: { v: 1 }, name: 'version', v: 2 }, 0],
    ['version 1', { key: { a: 1 }, name: 'n', v: 1 }, 238],
    ['version 0', { key: { a: 1 }, name: 'n', v: 0 }, 67],
    ['a negative expiry', { key: { a: 1 }, name: 'n', expireAfterSeconds: -1 }, 67],
    ['an expiry too late', { key: { a: 1 }, name: 'n', expireAfterSeconds: 2 ** 31 }, 67],
    ['an expiry of two keys', { key: { a: 1, b: 1 }, name: 'n', expireAfterSeconds: 1 }, 67],
    ['an expiry of _id', { key: { _id: 1 }, name: 'n', expireAfterSeconds: 1 }, 197],
    ['sparse and partial', { key: { a: 1 }, name: 'n', sparse: true, partialFilterExpression: { a: 1 } }, 67],
    ['partial by $ne', { key: { a: 1 }, name: 'n', partialFilterExpression: { a: { $ne: 1 } } }, 67],
    [
      'partial by a missing field',
      { key: { a: 1 }, name: 'n', partialFilterExpression: { b: { $exists: false } } },
      67,
    ],
    ['partial by a regex', { key: { a: 1 }, name: 'n', partialFilterExpression: { b: /x/ } }, 67],
    ['partial by $nor', { key: { a: 1 }, name: 'n', partialFilterExpression: { $nor: [{ b: 1 }] } }, 67],
    [
      'partial by what may be',
      {
        key: { p: 1 },
        name: 'part',
        partialFilterExpression: { $or: [{ b: { $gt: 1, $lte: 5 } }, { c: { $in: [1] } }] },
      },
      0,
    ],
  ];
  for (const [name, index, code] of cases) t.equal(await codeOf(create(index)), code, name);
  t.equal(await codeOf(create()), 67, 'no index at all');
  const lenient = { createIndexes: things.collectionName, ignoreUnknownIndexOptions: true };
  t.ok(await db.command({ ...lenient, indexes: [{ key: { z: 1 }, name: 'z', nonsense: 1 }] }));
  t.strictSame(
    (await things.indexes()).map(({ name }) => name),
    ['_id_', 'thirty-two', 'simple', 'version', 'part', 'z'],
  );
});

t.test('indexes that are in the way of others', async (t) => {
  const things = fresh();
  await things.createIndex({ a: 1 });
  const cases: [string, Document, Document, number][] = [
    ['the same', { a: 1 }, {}, 0],
    ['the same under another name', { a: 1 }, { name: 'other' }, 85],
    ['the same name, other keys', { a: -1 }, { name: 'a_1' }, 86],
    ['the same name, unique', { a: 1 }, { unique: true }, 86],
    ['the same name, but it expires', { a: 1 }, { expireAfterSeconds: 5 }, 85],
    ['another name, unique', { a: 1 }, { unique: true, name: 'u' }, 0],
    ['another name, sparse', { a: 1 }, { sparse: true, name: 's' }, 0],
    ['another name, partial', { a: 1 }, { partialFilterExpression: { b: 1 }, name: 'p' }, 0],
    ['another name, another expiry', { a: 1 }, { expireAfterSeconds: 5, name: 'e' }, 85],
  ];
  for (const [name, key, options, code] of cases)
    t.equal(await codeOf(things.createIndex(key as Record<string, 1>, options)), code, name);
  t.strictSame(
    (await things.indexes()).map(({ name }) => name),
    ['_id_', 'a_1', 'u', 's', 'p'],
  );

  const drop = (index: unknown) => db.command({ dropIndexes: things.collectionName, index });
  t.equal(await codeOf(drop({ a: 1 })), 181, 'several have these keys');
  t.equal(await codeOf(drop('nowhere')), 27);
  t.equal(await codeOf(drop({ b: 1 })), 27);
  t.equal(await codeOf(drop(['a_1', 'nowhere'])), 27);
  t.equal(await codeOf(drop('_id_')), 72);
  t.equal(await codeOf(drop({ _id: 1 })), 72);
  t.equal((await things.indexes()).length, 5, 'one that cannot be dropped keeps the others');
  t.match(await drop(['u', 's']), { nIndexesWas: 5 });
  t.match(await drop('*'), { nIndexesWas: 3, msg: 'non-_id indexes dropped for collection' });
  t.equal(await codeOf(db.command({ dropIndexes: 'nowhere', index: '*' })), 26);
  t.equal(await codeOf(db.command({ listIndexes: 'nowhere' })), 26);

  const full = fresh();
  await full.createIndexes(Array.from({ length: 63 }, (_, i) => ({ key: { [`k${i}`]: 1 } })));
  t.equal(await codeOf(full.createIndex({ last: 1 })), 67, '64 are the most');
  t.equal(await codeOf(db.command({ listIndexes: full.collectionName, cursor: { nonsense: 1 } })), 40415);
  t.equal((await full.listIndexes({ batchSize: 10 }).toArray()).length, 64);
});

t.test('indexes while they are built', async (t) => {
  const many = fresh();
  const name = many.collectionName;
  await many.insertMany(Array.from({ length: 30_000 }, (_, n) => ({ n, last: n < 29_999 ? n : 0 })));
  const other = await new MongoClient(store.uri).connect();
  t.teardown(() => other.close());
  const build = (by: MongoClient, key: Record<string, 1>, options = {}) =>
    by.db().collection(name).createIndex(key, options);

  const unique = [client, other].map((by) => codeOf(build(by, { last: 1 }, { unique: true })));
  t.strictSame(await Promise.all(unique), [11000, 11000], 'whoever asks for the same waits for how it ends');
  const stages = [client, other].map(async (by) => {
    await build(by, { n: 1 });
    const { queryPlanner } = (await by.db().collection(name).find({ n: 5 }).explain('queryPlanner')) as Document;
    return queryPlanner.winningPlan.stage as string;
  });
  t.strictSame(await Promise.all(stages), ['FETCH', 'FETCH'], 'and can use it then');

  t.strictSame(
    (await many.indexes()).map((index) => index.name),
    ['_id_', 'n_1'],
  );
});

t.test('collMod: expiry and hidden indexes', async (t) => {
  const things = fresh();
  await things.insertOne({ a: 1, at: new Date() });
  await things.createIndexes([{ key: { a: 1 } }, { key: { at: 1 }, expireAfterSeconds: 10 }, { key: { b: 1, c: 1 } }]);
  const modify = (index: Document, rest: Document = {}) =>
    db.command({ collMod: things.collectionName, index, ...rest });
  t.match(await modify({ name: 'at_1', expireAfterSeconds: 20 }), {
    expireAfterSeconds_old: 10,
    expireAfterSeconds_new: 20,
  });
  t.match(await modify({ keyPattern: { a: 1 }, hidden: true }), { hidden_old: false, hidden_new: true });
  const indexes = await things.indexes();
  t.match(
    indexes.find(({ name }) => name === 'at_1'),
    { expireAfterSeconds: 20 },
  );
  t.match(
    indexes.find(({ name }) => name === 'a_1'),
    { hidden: true },
  );
  const stageOf = async (): Promise<unknown> =>
    ((await things.find({ a: 1 }).explain('queryPlanner')).queryPlanner as Document).winningPlan.stage;
  t.equal(await stageOf(), 'COLLSCAN');
  t.equal(await codeOf(things.find({ a: 1 }, { hint: 'a_1' }).toArray()), 2);
  t.equal(await codeOf(things.find({ a: 1 }, { hint: { a: 1 } }).toArray()), 2);
  await things.insertOne({ a: 2 });
  await modify({ name: 'a_1', hidden: false });
  t.equal(await stageOf(), 'FETCH');
  t.equal((await things.find({ a: 2 }, { hint: 'a_1' }).toArray()).length, 1, 'a hidden index is kept by writers');
  const cases: [Document, Document, number][] = [
    [{ name: 'nowhere', hidden: true }, {}, 27],
    [{ name: '_id_', hidden: true }, {}, 72],
    [{ name: 'b_1_c_1', expireAfterSeconds: 1 }, {}, 72],
    [{ name: 'a_1' }, {}, 72],
    [{ hidden: true }, {}, 72],
    [{ name: 'a_1', nonsense: 1 }, {}, 40415],
    [{ name: 'a_1', unique: true }, {}, 238],
    [{ name: 'a_1', hidden: true }, { validator: {} }, 238],
  ];
  for (const [index, rest, code] of cases) t.equal(await codeOf(modify(index, rest)), code, JSON.stringify(index));
  t.equal(await codeOf(db.command({ collMod: 'nowhere' })), 26);
});

t.test('create: options, and what is there already', async (t) => {
  const cases: [Document, number][] = [
    [{}, 0],
    [{ capped: true }, 72],
    [{ size: 5 }, 72],
    [{ max: 5 }, 72],
    [{ capped: true, size: 10_000, max: 5 }, 0],
    [{ validator: { a: 1 } }, 238],
    [{ timeseries: { timeField: 'at' } }, 238],
    [{ viewOn: 'c1', pipeline: [] }, 238],
    [{ clusteredIndex: { key: { _id: 1 }, unique: true } }, 238],
    [{ collation: { locale: 'de' } }, 238],
    [{ collation: { locale: 'simple' } }, 0],
    [{ idIndex: { key: { _id: 1 }, name: '_id_' } }, 0],
    [{ idIndex: { key: { a: 1 }, name: '_id_' } }, 2],
    [{ autoIndexId: false }, 238],
    [{ nonsense: 1 }, 40415],
  ];
  for (const [options, code] of cases) {
    t.equal(await codeOf(db.command({ create: fresh().collectionName, ...options })), code, JSON.stringify(options));
  }
  const { collectionName } = fresh();
  await db.command({ create: collectionName });
  t.equal(await codeOf(db.command({ create: collectionName })), 0, 'the same again is no error');
  t.equal(await codeOf(db.command({ create: collectionName, capped: true, size: 5000 })), 48);
  for (const name of ['', '.a', 'a$b', 'x'.repeat(250), 'system.users'])
    t.not(await codeOf(db.command({ create: name })), 0, `'${name.slice(0, 20)}' is no name`);
});

t.test('renameCollection', async (t) => {
  const things = fresh();
  const from = things.namespace;
  const to = `other_database.renamed${names}`;
  await things.insertMany([{ a: 1 }, { a: 2 }, { a: 3 }]);
  await things.createIndex({ a: 1 }, { unique: true });
  const rename = (rest: Document) => admin.command({ renameCollection: from, to, ...rest });
  t.equal(await codeOf(rename({ to: from })), 20);
  t.equal(await codeOf(rename({ to: 'nodatabase' })), 73);
  t.equal(await codeOf(db.command({ renameCollection: from, to })), 13, 'it is of the admin database');
  const cursor = things.find({}, { batchSize: 1 });
  await cursor.next();
  await rename({});
  t.equal(await codeOf(cursor.toArray()), 175, 'a cursor on the old name ends');
  t.equal(await things.countDocuments(), 0);
  const moved = client.db('other_database').collection(`renamed${names}`);
  t.equal(await moved.countDocuments({ a: { $gt: 1 } }), 2);
  t.equal(await codeOf(moved.insertOne({ a: 1 })), 11000, 'its indexes moved with it');
  t.equal(await codeOf(rename({})), 26);
  await things.insertOne({ b: 1 });
  t.equal(await codeOf(rename({})), 48);
  await rename({ dropTarget: true });
  t.strictSame(await moved.find({}, { projection: { _id: 0 } }).toArray(), [{ b: 1 }]);
});

t.test('what was renamed or changed is so after a restart', async (t) => {
  const dataDir = t.testdir();
  const first = await startEmbeddedStore({ dataDir });
  const before = await new MongoClient(first.uri).connect();
  const old = before.db().collection('old');
  await old.insertMany([{ a: 1 }, { a: 2 }]);
  await old.createIndexes([{ key: { a: 1 }, unique: true }, { key: { at: 1 } }]);
  await old.rename('new');
  await before.db().command({ collMod: 'new', index: { name: 'at_1', expireAfterSeconds: 9, hidden: true } });
  await before.db().collection('new').insertOne({ a: 3 });
  await before.close();
  await first.stop();
  const second = await startEmbeddedStore({ dataDir });
  const after = await new MongoClient(second.uri).connect();
  t.teardown(async () => {
    await after.close();
    await second.stop();
  });
  const found = after.db().collection('new');
  t.strictSame(
    await after
      .db()
      .listCollections({}, { nameOnly: true })
      .map(({ name }) => name)
      .toArray(),
    ['new'],
  );
  t.strictSame(
    await found
      .find()
      .map(({ a }) => a as number)
      .toArray(),
    [1, 2, 3],
  );
  t.equal(await found.countDocuments(), 3);
  t.equal(await codeOf(found.insertOne({ a: 3 })), 11000);
  t.match((await found.indexes())[2], { name: 'at_1', expireAfterSeconds: 9, hidden: true });
});

t.test('statistics and lists', async (t) => {
  const own = client.db('numbers');
  await own.collection('a').insertMany([{ x: 1 }, { x: 2 }]);
  await own.createCollection('b', { capped: true, size: 10_000, max: 7 });
  const stats = await own.command({ collStats: 'a' });
  t.match(stats, { ns: 'numbers.a', count: 2, nindexes: 1, capped: false, scaleFactor: 1 });
  t.equal(stats.size, 2 * stats.avgObjSize);
  t.notOk('indexSizes' in stats, 'nothing says what is not known');
  t.strictSame(await own.command({ collstats: 'a' }), stats, 'the old spelling');
  t.match(await own.command({ collStats: 'b', scale: 1000 }), { capped: true, max: 7, maxSize: 10, scaleFactor: 1000 });
  t.equal(await codeOf(own.command({ collStats: 'a', scale: 0 })), 2);
  const staged = (name: string, operand: Document, ...rest: Document[]) =>
    own
      .collection(name)
      .aggregate([{ $collStats: operand }, ...rest])
      .toArray();
  t.match(await staged('a', { storageStats: {}, count: {} }), [
    { ns: 'numbers.a', count: 2, storageStats: { count: 2 } },
  ]);
  t.match(await staged('a', { count: {} }, { $group: { _id: 1, n: { $sum: '$count' } } }), [{ n: 2 }]);
  t.equal(await codeOf(staged('nowhere', { count: {} })), 26);
  t.equal(await codeOf(staged('a', { latencyStats: {} })), 238);
  t.equal(await codeOf(staged('a', { nonsense: {} })), 40415);
  t.match(await own.command({ dbStats: 1 }), {
    db: 'numbers',
    collections: 2,
    objects: 2,
    indexes: 2,
    dataSize: stats.size,
  });

  const lists = async (filter: Document, nameOnly: boolean): Promise<unknown[]> =>
    (await own.listCollections(filter, { nameOnly, batchSize: 1 }).toArray()).map(({ name }) => name);
  t.strictSame(await lists({}, true), ['a', 'b']);
  t.strictSame(await lists({ name: /^b/ }, true), ['b']);
  t.strictSame(await lists({ 'options.capped': true }, false), ['b']);
  t.strictSame(await lists({ 'options.capped': true }, true), [], 'nameOnly filters by what it shows');
  t.strictSame((await admin.command({ listDatabases: 1, nameOnly: true, filter: { name: 'numbers' } })).databases, [
    { name: 'numbers' },
  ]);
  const { databases, totalSize } = await admin.command({ listDatabases: 1, filter: { name: /^num/ } });
  t.match(databases, [{ name: 'numbers', empty: false, sizeOnDisk: totalSize }]);
});

t.test('what tools ask at their start', async (t) => {
  t.strictSame((await admin.command({ buildInfo: 1 })).versionArray, [8, 0, 0, 0]);
  t.match(await admin.command({ connectionStatus: 1, showPrivileges: true }), { ok: 1 });
  for (const name of [
    'getParameter',
    'getLog',
    'getCmdLineOpts',
    'hostInfo',
    'whatsmyuri',
    'atlasVersion',
    'currentOp',
    'top',
    'usersInfo',
    'rolesInfo',
    'replSetGetStatus',
    'startSession',
    'killSessions',
    'listCommands',
    'configureFailPoint',
    'setFeatureCompatibilityVersion',
  ]) {
    t.equal(await codeOf(admin.command({ [name]: 1 })), 238, name);
  }
  for (const name of ['nonsense', 'getLastError', 'isdbgrid', 'getFreeMonitoringStatus'])
    t.equal(await codeOf(admin.command({ [name]: 1 })), 59, `${name} is no command of MongoDB 8`);
  t.equal(await codeOf(db.command({ listDatabases: 1 })), 13);
  const ofNone = (stage: Document) => codeOf(admin.aggregate([stage]).toArray());
  for (const stage of ['$currentOp', '$listLocalSessions']) t.equal(await ofNone({ [stage]: {} }), 238, stage);
  t.equal(await ofNone({ $match: {} }), 73, 'it needs a collection');
});

/** Sends a message of opcode OP_QUERY and reads the document of its answer. */
async function opQuery(t: Test, document: Document): Promise<Document> {
  const socket = connect(store.port, '127.0.0.1');
  const head = Buffer.alloc(20);
  const rest = Buffer.concat([
    Buffer.from('admin.$cmd\0'),
    Buffer.from([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
    serialize(document),
  ]);
  head.writeInt32LE(20 + rest.length, 0);
  head.writeInt32LE(77, 4);
  head.writeInt32LE(2004, 12);
  socket.write(Buffer.concat([head, rest]));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  t.equal(answer.readInt32LE(8), 77, 'it names the request');
  t.equal(answer.readInt32LE(12), 1, 'OP_REPLY');
  return deserialize(answer.subarray(36));
}

t.test('the legacy hello', async (t) => {
  for (const name of ['hello', 'isMaster', 'ismaster'])
    t.match(await opQuery(t, { [name]: 1, helloOk: true }), { ok: 1, isWritablePrimary: true, maxWireVersion: 25 });
  t.match(await opQuery(t, { find: 'c1' }), { ok: 0, code: 352 }, 'nothing else comes by this way');
});

t.test('bulkWrite: its answer is a cursor', async (t) => {
  const things = fresh();
  const other = fresh();
  const nsInfo = [{ ns: things.namespace }, { ns: other.namespace }];
  const bulk = (ops: Document[], more: Document = {}) => admin.command({ bulkWrite: 1, ops, nsInfo, ...more });
  const answer = await bulk(
    [
      { insert: 0, document: { _id: null } },
      { insert: 1, document: { _id: 1, a: 1 } },
      { update: 1, filter: { _id: 1 }, updateMods: { $inc: { a: 1 } } },
      { update: 1, filter: { _id: 2 }, updateMods: { a: 7 }, upsert: true },
      { insert: 1, document: { _id: 1 } },
      { delete: 1, filter: {}, multi: true },
    ],
    { ordered: false, cursor: { batchSize: 2 } },
  );
  t.match(answer, { nErrors: 1, nInserted: 2, nMatched: 1, nModified: 1, nUpserted: 1, nDeleted: 2 });
  const cursor = answer.cursor as Batch;
  t.strictSame(cursor.firstBatch, [
    { ok: 1, idx: 0, n: 1 },
    { ok: 1, idx: 1, n: 1 },
  ]);
  const rest = await cursorOf(admin.command({ getMore: Long.fromValue(cursor.id), collection: '$cmd.bulkWrite' }));
  t.match(rest.nextBatch, [
    { ok: 1, idx: 2, n: 1, nModified: 1 },
    { ok: 1, idx: 3, n: 1, nModified: 0, upserted: { _id: 2 } },
    { ok: 0, idx: 4, n: 0, code: 11000, keyPattern: { _id: 1 }, keyValue: { _id: 1 } },
    { ok: 1, idx: 5, n: 2 },
  ]);
  t.strictSame(await things.find().toArray(), [{ _id: null }] as never);

  const ordered = await bulk(
    [
      { insert: 0, document: { _id: 1 } },
      { insert: 0, document: { _id: 1 } },
      { insert: 0, document: { _id: 2 } },
    ],
    { errorsOnly: true },
  );
  t.match(ordered, { nErrors: 1, nInserted: 1 });
  t.match((ordered.cursor as Batch).firstBatch, [{ ok: 0, idx: 1, code: 11000 }]);
  t.equal((ordered.cursor as Batch).firstBatch.length, 1);
  t.equal(await things.countDocuments(), 2, 'an ordered one ends with its first error');

  const one = { insert: 0, document: {} };
  const cases: [string, () => Promise<unknown>, number][] = [
    ['a place without a namespace', () => bulk([{ insert: 2, document: {} }]), 2],
    ['an operation that is none', () => bulk([{ upsert: 0 }]), 9],
    ['a field that is none', () => bulk([{ ...one, nonsense: 1 }]), 40415],
    ['a document that is missing', () => bulk([{ insert: 0 }]), 40414],
    ['no operations', () => bulk([]), 16],
    ['a name that is none', () => bulk([one], { nsInfo: [{ ns: 'nodot' }] }), 73],
    ['another database', () => db.command({ bulkWrite: 1, ops: [one], nsInfo }), 13],
    ['a collation', () => bulk([{ delete: 0, filter: {}, collation: { locale: 'de' } }]), 238],
  ];
  for (const [name, attempt, code] of cases) t.equal(await codeOf(attempt()), code, name);
});

/** A whole command of each kind; of each field other values are tried. */
const WHOLE: Readonly<Record<string, Document>> = {
  find: {
    filter: { a: 1 },
    sort: { a: 1 },
    projection: { a: 1 },
    hint: { _id: 1 },
    skip: 1,
    limit: 1,
    batchSize: 1,
    singleBatch: true,
    collation: { locale: 'simple' },
    let: { v: 1 },
    tailable: false,
    awaitData: false,
    noCursorTimeout: true,
    returnKey: false,
    showRecordId: false,
  },
  aggregate: {
    pipeline: [{ $match: {} }],
    cursor: { batchSize: 1 },
    let: {},
    hint: { _id: 1 },
    allowDiskUse: true,
    collation: { locale: 'simple' },
  },
  count: { query: {}, skip: 1, limit: 1, hint: '_id_' },
  distinct: { key: 'a', query: {} },
  insert: { documents: [{ a: 1 }], ordered: true, bypassDocumentValidation: true },
  update: {
    updates: [{ q: {}, u: { $set: { b: 1 } }, multi: true, upsert: false, arrayFilters: [], hint: '_id_' }],
    ordered: true,
    let: {},
  },
  delete: { deletes: [{ q: { a: 99 }, limit: 1, hint: '_id_' }], ordered: true, let: {} },
  findAndModify: {
    query: {},
    update: { $set: { b: 1 } },
    sort: { a: 1 },
    new: true,
    upsert: false,
    fields: { a: 1 },
    arrayFilters: [],
    hint: '_id_',
    let: {},
  },
  bulkWrite: {
    ops: [
      { insert: 0, document: {} },
      { update: 0, filter: {}, updateMods: { $set: { b: 1 } }, multi: false },
      { delete: 0, filter: { a: 99 } },
    ],
    nsInfo: [{ ns: 'test.fuzz' }],
    ordered: true,
    errorsOnly: true,
    cursor: {},
    let: {},
  },
  createIndexes: {
    indexes: [
      {
        key: { a: 1 },
        name: 'a_1',
        unique: false,
        sparse: false,
        hidden: false,
        expireAfterSeconds: 5,
        v: 2,
        collation: { locale: 'simple' },
      },
    ],
    ignoreUnknownIndexOptions: false,
  },
  listIndexes: { cursor: { batchSize: 1 } },
  dropIndexes: { index: 'none' },
  collMod: { index: { name: 'a_1', hidden: false, expireAfterSeconds: 7 } },
  create: {
    capped: true,
    size: 5000,
    max: 5,
    collation: { locale: 'simple' },
    idIndex: { key: { _id: 1 }, name: '_id_' },
    autoIndexId: true,
  },
  collStats: { scale: 1 },
  dbStats: { scale: 1 },
  listCollections: { filter: {}, nameOnly: true, cursor: { batchSize: 1 } },
  listDatabases: { filter: {}, nameOnly: true },
  renameCollection: { to: 'test.fuzz2', dropTarget: false },
  getMore: { collection: 'fuzz', batchSize: 1 },
  killCursors: { cursors: [Long.fromNumber(1)] },
  endSessions: {},
  refreshSessions: {},
  explain: { verbosity: 'executionStats' },
  drop: {},
};
const FIRST: Readonly<Record<string, unknown>> = {
  bulkWrite: 1,
  dbStats: 1,
  listCollections: 1,
  listDatabases: 1,
  getMore: Long.fromNumber(1),
  endSessions: [],
  refreshSessions: [],
  explain: { find: 'fuzz', filter: { a: 1 } },
  renameCollection: 'test.fuzz',
  create: 'fuzz3',
};
const COMMON_FIELDS = {
  comment: 1,
  maxTimeMS: 5000,
  readConcern: { level: 'local' },
  writeConcern: { w: 1 },
  apiVersion: '1',
};
const OTHERS: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Long.MAX_VALUE,
  Long.MIN_VALUE,
  '',
  'x',
  '$',
  '\0',
  {},
  { $x: 1 },
  { a: { $x: 1 } },
  { '': 1 },
  [],
  [null],
  [[]],
  [{}],
  [{ '': 1 }],
  new Date(Number.NaN),
  /x/,
  new UUID(),
  new Decimal128('NaN'),
  new MinKey(),
  new Timestamp(0n),
  new Code('x'),
  Buffer.alloc(0),
];

/** Every way to put another value in place of one field, or of one field of a document below. */
function* spoiled(document: Document): Generator<Document> {
  for (const [name, value] of Object.entries(document)) {
    for (const other of OTHERS) yield { ...document, [name]: other };
    const below = Array.isArray(value) ? (value as unknown[])[0] : value;
    if (typeof below !== 'object' || below === null || Object.getPrototypeOf(below) !== Object.prototype) continue;
    for (const other of spoiled(below as Document))
      yield { ...document, [name]: Array.isArray(value) ? [other] : other };
  }
}

t.test('whatever value a field has: an answer or an error of MongoDB, never a defect', async (t) => {
  const test = client.db('test');
  let errors = 0;
  let answers = 0;
  for (const [name, rest] of Object.entries(WHOLE)) {
    const on = ['bulkWrite', 'listDatabases', 'renameCollection'].includes(name) ? admin : test;
    for (const command of spoiled({
      [name]: FIRST[name] ?? 'fuzz',
      ...rest,
      ...(name === 'getMore' ? {} : COMMON_FIELDS),
    })) {
      let code = 0;
      try {
        await on.command(command, { ignoreUndefined: true });
      } catch (error) {
        if (!(error instanceof MongoServerError)) continue; // the driver's own refusal
        code = Number(error.code);
      }
      if (code === 1 || defects.length > 0) t.strictSame(defects.splice(0), [], JSON.stringify(command));
      if (code === 0) answers++;
      else errors++;
    }
  }
  t.comment(`${answers} answers, ${errors} errors`);
  t.ok(answers > 500 && errors > 1000);
  t.equal((await admin.command({ ping: 1 })).ok, 1);
});
