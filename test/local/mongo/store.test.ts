import { serialize } from 'bson';
import fc from 'fast-check';
import { Binary, type Collection, Decimal128, type Document, Double, Long, MongoClient, ObjectId } from 'mongodb';
import t from 'tap';
import { rawDocument } from '../../../src/local/mongo/bson/raw-value.js';
import { dispatch } from '../../../src/local/mongo/commands/dispatch.js';
import { expireDocuments } from '../../../src/local/mongo/commands/upkeep.js';
import { compileFilter } from '../../../src/local/mongo/query/filter.js';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { openStore } from '../../../src/local/mongo/store.js';
import { failure } from '../../support/server-failure.js';

const store = await startEmbeddedStore({ dataDir: t.testdir() });
const client = await new MongoClient(store.uri, {
  writeConcern: { w: 'majority', journal: true },
  readConcern: { level: 'majority' },
}).connect();
const db = client.db();
t.teardown(async () => {
  await client.close();
  await store.stop();
});

let names = 0;
const fresh = (): Collection<Document> => db.collection(`c${++names}`);

t.test('what is written comes back with its types', async (t) => {
  const things = fresh();
  const document = {
    _id: 'x',
    int: 1,
    double: new Double(1),
    long: Long.fromString('9007199254740993'),
    decimal: Decimal128.fromString('1.10'),
    at: new Date(5),
    binary: new Binary(Buffer.from([1, 2])),
    list: [1, 'two', { three: null }],
  };
  t.match(await things.insertOne({ ...document, _id: 'x' } as Document), { acknowledged: true, insertedId: 'x' });
  await things.updateOne({ _id: 'x' } as Document, { $set: { added: true } });
  const raw = await things.findOne({ long: document.long }, { promoteValues: false });
  t.equal(raw?.double?._bsontype, 'Double');
  t.equal(raw?.int?._bsontype, 'Int32');
  t.equal(String(raw?.decimal), '1.10');
  t.equal((await things.findOne({ _id: 'x' } as Document))?.added, true);
  t.strictSame(await things.findOne({}, { projection: { _id: 0, list: 1 } }), { list: [1, 'two', { three: null }] });
});

t.test('fencing: an upsert that a range keeps from matching is a duplicate key', async (t) => {
  const results = fresh();
  await results.createIndex({ bot: 1, n: 1, k: 1 }, { unique: true });
  const write = (epoch: number, left: number): Promise<unknown> =>
    results.updateOne({ bot: 7, n: 1, k: 0, epoch: { $lte: epoch } }, { $set: { epoch, left } }, { upsert: true });
  await write(2, 5);
  await write(2, 4);
  await write(3, 3);
  const error = await failure(write(2, 0));
  t.equal(error.code, 11000);
  t.strictSame(error.keyPattern, { bot: 1, n: 1, k: 1 });
  t.strictSame(error.keyValue, { bot: 7, n: 1, k: 0 });
  t.strictSame(await results.findOne({}, { projection: { _id: 0 } }), { bot: 7, n: 1, k: 0, epoch: 3, left: 3 });
  const bulk = await failure(
    results.bulkWrite(
      [
        {
          updateOne: {
            filter: { bot: 7, n: 2, k: 0, epoch: { $lte: 2 } },
            update: { $set: { epoch: 2 } },
            upsert: true,
          },
        },
        {
          updateOne: {
            filter: { bot: 7, n: 1, k: 0, epoch: { $lte: 2 } },
            update: { $set: { epoch: 2 } },
            upsert: true,
          },
        },
        {
          updateOne: {
            filter: { bot: 7, n: 2, k: 0, epoch: { $lte: 3 } },
            update: { $set: { epoch: 3 } },
            upsert: true,
          },
        },
      ],
      { ordered: false },
    ),
  );
  t.equal(bulk.code, 11000);
  t.match((bulk as unknown as { writeErrors: Document[] }).writeErrors, [{ index: 1, code: 11000 }]);
  t.equal((await results.findOne({ n: 2 }))?.epoch, 3, 'a later update of the command sees an earlier one');
});

t.test('leases: findOneAndUpdate moves an epoch by compare-and-set', async (t) => {
  const owners = fresh();
  await owners.createIndex({ bot: 1, part: 1 }, { unique: true });
  const take = (epoch: number): Promise<Document | null> =>
    owners.findOneAndUpdate(
      { bot: 1, part: 'send', epoch },
      { $inc: { epoch: 1 }, $set: { owner: epoch } },
      { returnDocument: 'after' },
    );
  const first = await owners.findOneAndUpdate(
    { bot: 1, part: 'send' },
    { $setOnInsert: { epoch: 0, begun: [] } },
    { upsert: true, returnDocument: 'after', includeResultMetadata: true },
  );
  t.match(first, { lastErrorObject: { n: 1, updatedExisting: false, upserted: ObjectId }, value: { epoch: 0 } });
  const both = await Promise.all([take(0), take(0)]);
  t.equal(both.filter((one) => one !== null).length, 1, 'one of two wins');
  t.match(await take(1), { epoch: 2, owner: 1 });
  const error = await failure(
    owners.findOneAndUpdate({ bot: 1, part: 'send', epoch: 0 }, { $set: { x: 1 } }, { upsert: true }),
  );
  t.match(error, { code: 11000, keyValue: { bot: 1, part: 'send' } });
  await owners.insertMany([
    { bot: 2, part: 'a', n: 3 },
    { bot: 2, part: 'b', n: 9 },
    { bot: 2, part: 'c', n: 5 },
  ]);
  t.match(await owners.findOneAndDelete({ bot: 2 }, { sort: { n: -1 } }), { part: 'b' });
  t.match(await owners.findOneAndReplace({ bot: 2, part: 'c' }, { bot: 2, part: 'd' }), { part: 'c', n: 5 });
  t.equal(await owners.findOneAndUpdate({ bot: 9 }, { $set: { a: 1 } }), null);
});

t.test('upserts take over what the filter demands', async (t) => {
  const things = fresh();
  await things.updateOne(
    { a: 1, 'b.c': 2, $and: [{ d: { $eq: 3 } }, { e: { $in: [4] } }], f: { $gt: 9 }, $or: [{ g: 1 }] },
    { $set: { z: 1 }, $setOnInsert: { y: 2 } },
    { upsert: true },
  );
  t.strictSame(await things.findOne({}, { projection: { _id: 0 } }), {
    a: 1,
    b: { c: 2 },
    d: 3,
    e: 4,
    g: 1,
    y: 2,
    z: 1,
  });
  t.equal(
    (await things.updateOne({ _id: 5 } as unknown as Document, { $inc: { n: 1 } }, { upsert: true }))
      .upsertedId as unknown,
    5,
  );
  await things.replaceOne({ _id: 6, q: 1 } as unknown as Document, { r: 1 }, { upsert: true });
  t.strictSame(await things.findOne({ _id: 6 } as unknown as Document), { _id: 6, r: 1 });
});

t.test('writes of many: counts, order, errors', async (t) => {
  const things = fresh();
  await things.insertMany(Array.from({ length: 1200 }, (_, n) => ({ _id: n, n, half: n % 2 }) as unknown as Document));
  t.match(await things.updateMany({ half: 1 }, { $inc: { n: 10_000 } }), { matchedCount: 600, modifiedCount: 600 });
  t.match(await things.updateMany({ half: 1 }, { $set: { half: 1 } }), { matchedCount: 600, modifiedCount: 0 });
  t.equal((await things.deleteMany({ n: { $gte: 10_000 } })).deletedCount, 600);
  t.equal((await things.deleteOne({ half: 0 })).deletedCount, 1);
  t.equal(await things.countDocuments({ half: 0 }), 599);
  t.equal(await things.estimatedDocumentCount(), 599);
  const ids = (list: number[]): Document[] => list.map((_id) => ({ _id }) as unknown as Document);
  const ordered = await failure(things.insertMany(ids([5001, 2, 5002])));
  t.match(ordered, { code: 11000, result: { insertedCount: 1 } });
  const unordered = await failure(things.insertMany(ids([5003, 2, 5004]), { ordered: false }));
  t.match(unordered, { code: 11000, result: { insertedCount: 2 } });
  const moving = fresh();
  await moving.createIndex({ n: 1 });
  await moving.insertMany(Array.from({ length: 300 }, (_, n) => ({ n })));
  await moving.updateMany({ n: { $gte: 0 } }, { $inc: { n: 1000 } });
  t.strictSame(
    [await moving.countDocuments({ n: { $lt: 1300 } }), await moving.countDocuments({})],
    [300, 300],
    'each is changed once',
  );
});

t.test('a long write does not hold up the writes of others, nor is it misled by them', async (t) => {
  const things = fresh();
  const COUNT = 20_000;
  await things.createIndex({ n: 1 });
  await things.insertMany(
    Array.from({ length: COUNT }, (_, n) => ({ _id: n, n, by: 0, text: 'x'.repeat(200) }) as unknown as Document),
  );
  const at = (n: number): Document => ({ _id: n }) as unknown as Document;
  const work: [string, () => Promise<unknown>][] = [
    ['updateMany', () => things.updateMany({ n: { $gte: 0 } }, { $inc: { n: 1, by: 1 } })],
    ['createIndexes', () => things.createIndex({ by: 1, text: 1 })],
    ['deleteMany', () => things.deleteMany({ by: 1 })],
  ];
  for (const [what, start] of work) {
    let ended = false;
    const long = start().finally(() => {
      ended = true;
    });
    let others = 0;
    for (let k = 0; !ended; k++) {
      // The last ones: moved on in the index before the long write comes to them, and once more behind it.
      if (what === 'updateMany') await things.updateOne(at(COUNT - 1 - (k % 50)), { $inc: { n: 7 } });
      else await things.insertOne({ n: -1, by: 1000, text: `${k}` });
      if (!ended) others++;
    }
    await long;
    t.ok(others >= 3, `${others} writes came through during ${what}`);
    if (what === 'updateMany') t.equal(await things.countDocuments({ by: 1 }), COUNT, 'each is changed once');
  }
  t.equal(await things.countDocuments({ by: 1 }), 0);
  const left = await things.countDocuments({});
  t.equal(
    (
      await things
        .find({ by: { $gte: 0 } })
        .hint('by_1_text_1')
        .toArray()
    ).length,
    left,
    'the index has them all',
  );
});

t.test('cursors: batches, skip, limit, kill', async (t) => {
  const things = fresh();
  await things.insertMany(Array.from({ length: 250 }, (_, n) => ({ n })));
  t.equal((await things.find().batchSize(7).toArray()).length, 250);
  t.strictSame(
    (await things.find().sort({ n: -1 }).skip(3).limit(2).toArray()).map(({ n }) => n as number),
    [246, 245],
  );
  t.equal((await things.find().limit(-5).toArray()).length, 5);
  const cursor = things.find().batchSize(2);
  await cursor.next();
  await cursor.close();
  t.equal((await failure(db.command({ getMore: Long.fromNumber(12345), collection: 'c1' }))).code, 43);
  const big = fresh();
  await big.insertMany(Array.from({ length: 40 }, () => ({ blob: new Binary(Buffer.alloc(1_000_000)) })));
  t.equal((await big.find().toArray()).length, 40, 'answers are cut before they are too large');
});

const plan = async (things: Collection<Document>, filter: Document, sort?: Document): Promise<Document> => {
  const explained = await (sort === undefined ? things.find(filter) : things.find(filter).sort(sort as never))
    .limit(500)
    .explain();
  return {
    text: JSON.stringify(explained.queryPlanner.winningPlan),
    examined: explained.executionStats.totalDocsExamined as number,
  };
};

t.test('indexes: which one a query takes, and how much it reads', async (t) => {
  const chats = fresh();
  await chats.createIndexes([
    { key: { bot: 1, uid: 1 }, unique: true },
    { key: { bot: 1, chat: 1 }, unique: true, partialFilterExpression: { chat: { $exists: true } } },
    { key: { bot: 1, open: 1, n: -1 }, partialFilterExpression: { open: true } },
    { key: { state: 1, at: 1 }, sparse: true },
  ]);
  await chats.insertMany(
    Array.from({ length: 3000 }, (_, i) => ({
      bot: 1 + (i % 2),
      uid: i,
      ...(i % 3 ? { chat: i } : {}),
      ...(i % 10 ? {} : { open: true, n: i }),
    })),
  );
  const cases: [Document, Document | undefined, RegExp, number][] = [
    [{ bot: 1, uid: { $gt: 100 } }, { uid: 1 }, /^\{"stage":"FETCH".*"bot_1_uid_1".*"forward"/, 500],
    [{ bot: 1, uid: { $lt: 2900 } }, { uid: -1 }, /^\{"stage":"FETCH".*"bot_1_uid_1".*"backward"/, 500],
    [{ bot: 1 }, { bot: 1, uid: -1 }, /^\{"stage":"FETCH".*"bot_1_uid_1".*"backward"/, 500],
    [{ bot: 2, uid: 77 }, undefined, /"bot_1_uid_1"/, 1],
    [{ bot: 2, uid: { $in: [1, 3, 5, 2] } }, undefined, /"bot_1_uid_1"/, 3],
    [{ bot: 2, chat: 77 }, undefined, /"bot_1_chat_1"/, 1],
    [{ bot: 2, chat: null }, undefined, /"bot_1_uid_1"/, 1499],
    [{ bot: 1, open: true }, { n: -1 }, /^\{"stage":"FETCH".*"bot_1_open_1_n_-1".*"forward"/, 300],
    [{ bot: 1, open: true }, { n: 1 }, /^\{"stage":"FETCH".*"bot_1_open_1_n_-1".*"backward"/, 300],
    [{ state: 'x' }, undefined, /"state_1_at_1"/, 0],
    [{ state: null }, undefined, /COLLSCAN/, 500],
    [{ uid: 5 }, undefined, /COLLSCAN/, 3000],
    [{ bot: 1, uid: { $gt: 5 } }, { chat: 1 }, /^\{"stage":"SORT".*"bot_1_uid_1"/, 1497],
    [{ _id: new ObjectId() }, undefined, /"_id_"/, 0],
  ];
  for (const [filter, sort, expected, reads] of cases) {
    const { text, examined } = await plan(chats, filter, sort);
    t.match(text, expected, JSON.stringify(filter));
    t.equal(examined, reads, `reads of ${JSON.stringify(filter)} ${JSON.stringify(sort)}`);
  }
  const error = await failure(chats.createIndex({ bot: 1, uid: 1 }, { name: 'other', unique: true }));
  t.equal(error.code, 85);
  t.equal((await failure(chats.createIndex({ z: 1 }, { name: 'bot_1_uid_1' }))).code, 86);
  t.equal((await failure(chats.createIndex({ n: 'text' } as never))).code, 238);
  t.equal((await failure(chats.dropIndex('nothing'))).code, 27);
  t.equal((await failure(chats.createIndex({ bot: 1 }, { unique: true }))).code, 11000, 'a unique index over doubles');
  t.notOk(
    (await chats.listIndexes().toArray()).some(({ name }) => name === 'bot_1'),
    'and it is gone again',
  );
  await chats.dropIndex('bot_1_uid_1');
  t.match((await plan(chats, { bot: 2, uid: 77 })).text, /"bot_1_open|COLLSCAN/);
});

t.test('hints are followed, and ranges imply the ranges of a partial index', async (t) => {
  const things = fresh();
  await things.insertMany(
    [1, 2, 3, 4].map((n) => ({ _id: n as unknown as ObjectId, n, ...(n > 2 ? { s: 9 - n } : {}) })),
  );
  await things.createIndexes([
    { key: { n: -1 }, name: 'down' },
    { key: { s: 1 }, name: 'sparse', sparse: true },
    { key: { n: 1 }, name: 'some', partialFilterExpression: { n: { $gt: 2 } } },
  ]);
  const ids = async (filter: Document, hint: string): Promise<unknown[]> =>
    (await things.find(filter, { hint }).toArray()).map(({ _id }) => _id);
  t.strictSame(await ids({}, 'down'), [4, 3, 2, 1], 'in the order of the index, also with nothing to look for');
  t.strictSame(await ids({}, 'sparse'), [4, 3], 'a sparse index leaves out what it does not hold');
  t.strictSame(await ids({ n: { $gte: 3 } }, 'some'), [3, 4]);
  t.strictSame(await ids({ n: 3 }, 'some'), [3]);
  t.strictSame(await ids({ n: { $in: [3, 4] } }, 'some'), [3, 4]);
  for (const filter of [{}, { n: { $gte: 2 } }, { n: 2 }, { n: { $gt: 'x' } }, { n: { $gt: Number.NaN } }]) {
    t.match(await failure(ids(filter, 'some')), { code: 291 }, `${JSON.stringify(filter)} asks for more than it holds`);
  }
  t.match(await failure(ids({}, 'none')), { code: 2 });
});

t.test('a write concern that one host cannot give is refused', async (t) => {
  const things = fresh();
  t.match(await failure(things.insertOne({ a: 1 }, { writeConcern: { w: 2 } })), { code: 2 });
  t.ok(await things.insertOne({ a: 1 }, { writeConcern: { w: 1, journal: true } }));
});

t.test('the unique index on the keys of pages: multikey and partial', async (t) => {
  const pages = fresh();
  await pages.createIndex({ bot: 1, n: 1 }, { unique: true });
  await pages.createIndex({ bot: 1, keys: 1 }, { unique: true, partialFilterExpression: { keys: { $exists: true } } });
  await pages.insertMany([
    { bot: 1, n: 1 },
    { bot: 1, n: 2 },
    { bot: 1, n: 3, keys: ['d:a', 'd:b', 'd:a'] },
    { bot: 2, n: 1, keys: ['d:a'] },
  ]);
  const again = await failure(pages.insertOne({ bot: 1, n: 4, keys: ['d:c', 'd:b'] }));
  t.strictSame([again.code, again.keyPattern, again.keyValue], [11000, { bot: 1, keys: 1 }, { bot: 1, keys: 'd:b' }]);
  t.strictSame((await failure(pages.insertOne({ bot: 1, n: 3, keys: ['d:z'] }))).keyPattern, { bot: 1, n: 1 });
  await pages.insertOne({ bot: 1, n: 4, keys: ['d:c'] });
  t.match((await plan(pages, { bot: 1, keys: 'd:b' })).text, /"bot_1_keys_1"/);
  t.equal(
    (await pages.find({ bot: 1, keys: { $in: ['d:a', 'd:b', 'd:c'] } }).toArray()).length,
    2,
    'a page comes once',
  );
  await pages.updateOne({ bot: 1, n: 3 }, { $unset: { keys: '' } });
  await pages.insertOne({ bot: 1, n: 5, keys: ['d:a'] });
  t.equal((await failure(pages.insertOne({ bot: 1, n: 6, a: [1, 2], keys: ['x'.repeat(3000)] }))).code, 17280);
  const parallel = fresh();
  await parallel.createIndex({ a: 1, b: 1 });
  t.equal((await failure(parallel.insertOne({ a: [1], b: [2] }))).code, 171);
});

t.test('an index never changes an answer', async () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const leaf = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constantFrom(null, 'x', 'y', 2.5, true));
  const held = fc.oneof(
    { weight: 4, arbitrary: leaf },
    { weight: 2, arbitrary: fc.array(leaf, { maxLength: 3 }) },
    { weight: 1, arbitrary: fc.record({ d: leaf, e: leaf }, { requiredKeys: [] }) },
    { weight: 1, arbitrary: fc.array(fc.record({ d: leaf, e: leaf }, { requiredKeys: [] }), { maxLength: 3 }) },
  );
  // Indexes of two paths need documents without parallel arrays: so only `a` may hold one.
  const document = fc.record({ a: held, b: leaf, c: leaf }, { requiredKeys: [] });
  const test = fc.oneof(
    leaf,
    fc.record({ $gt: leaf }),
    fc.record({ $gte: leaf, $lt: leaf }),
    fc.record({ $lte: leaf }),
    fc.record({ $in: fc.array(leaf, { maxLength: 3 }) }),
    fc.record({ $ne: leaf }),
    fc.record({ $exists: fc.boolean() }),
    fc.record({ $all: fc.array(leaf, { maxLength: 2 }) }),
    fc.record({ $elemMatch: fc.record({ $gte: leaf }) }),
  );
  const filter = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'a.d', 'a.e'), test, { maxKeys: 3 });
  const sort = fc.dictionary(fc.oneof(name, fc.constantFrom('a.d')), fc.constantFrom(1, -1), { maxKeys: 2 });
  const specs: { key: Record<string, 1 | -1>; sparse?: boolean; partialFilterExpression?: Document }[] = [
    { key: { a: 1 } },
    { key: { b: 1, a: -1 } },
    { key: { c: -1, b: 1 } },
    { key: { 'a.d': 1, 'a.e': 1 } },
    { key: { 'a.e': 1, c: 1 }, sparse: true },
    { key: { b: -1 }, partialFilterExpression: { c: { $exists: true } } },
    { key: { c: 1, a: 1 }, partialFilterExpression: { b: 2 } },
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.array(document, { minLength: 5, maxLength: 40 }),
      fc.subarray(specs, { minLength: 1 }),
      fc.array(fc.tuple(filter, sort), { minLength: 10, maxLength: 10 }),
      async (documents, indexes, queries) => {
        const things = fresh();
        const half = documents.length >> 1;
        const numbered = documents.map((one, _id) => ({ _id, ...one }) as unknown as Document);
        await things.insertMany(numbered.slice(0, half));
        await things.createIndexes(indexes);
        await things.insertMany(numbered.slice(half));
        await things.updateMany({ b: 1 }, { $set: { c: 3 }, $unset: { b: '' } });
        for (const [where, order] of queries) {
          const sorted = { ...order, _id: 1 } as Record<string, 1>;
          const ids = async (hint?: Document): Promise<string> => {
            const cursor = things.find(where, { ...(hint === undefined ? {} : { hint }) });
            return (await cursor.sort(sorted).toArray()).map(({ _id }) => String(_id)).join();
          };
          const [expected, found] = [await ids({ $natural: 1 }), await ids()];
          if (found !== expected)
            throw new Error(`${JSON.stringify({ where, sorted })}: ${found} instead of ${expected}`);
          const first = await things
            .find(where)
            .sort(order as Record<string, 1>)
            .limit(3)
            .toArray();
          const plain = await things
            .find(where, { hint: { $natural: 1 } })
            .sort(order as Record<string, 1>)
            .limit(3)
            .toArray();
          const scalars = Object.keys(order).every((key) => key === 'b' || key === 'c');
          const shown = (rows: Document[]): string =>
            JSON.stringify(
              rows.map((row) => (scalars ? Object.keys(order).map((key) => (row[key] ?? null) as unknown) : 1)),
            );
          if (shown(first) !== shown(plain)) {
            throw new Error(`${JSON.stringify({ where, order })}: ${shown(first)} instead of ${shown(plain)}`);
          }
        }
        await things.drop();
      },
    ),
    { numRuns: process.env.POSTHORN_TEST_LONG === undefined ? 12 : 400 },
  );
});

t.test('capped collections: bounds, and a tailable cursor that wakes another client', async (t) => {
  await db.createCollection('wakes', { capped: true, size: 4096, max: 5 });
  const wakes = db.collection('wakes');
  await wakes.insertOne({ sentinel: true });
  const other = await new MongoClient(store.uri).connect();
  t.teardown(() => other.close());
  const cursor = other.db().collection('wakes').find({}, { tailable: true, awaitData: true, maxAwaitTimeMS: 10_000 });
  t.teardown(() => cursor.close());
  t.match(await cursor.next(), { sentinel: true });
  for (let n = 0; n < 20; n++) {
    const next = cursor.next();
    await new Promise((resolve) => setImmediate(resolve));
    const start = performance.now();
    await wakes.insertOne({ n });
    t.match(await next, { n });
    t.ok(performance.now() - start < 5000, 'long before the wait ends');
  }
  t.strictSame(
    (await wakes.find().toArray()).map(({ n }) => n as number),
    [15, 16, 17, 18, 19],
  );
  const empty = wakes.find({}, { tailable: true, awaitData: true, maxAwaitTimeMS: 20 });
  for (let i = 0; i < 5; i++) await empty.next();
  t.equal(await empty.tryNext(), null, 'the wait ends without anything');
  await empty.close();
  t.equal(
    (
      await failure(
        fresh()
          .insertOne({})
          .then(() => db.collection(`c${names}`).find({}, { tailable: true }).toArray()),
      )
    ).code,
    2,
  );
  t.equal((await failure(db.createCollection('wakes', { capped: true, size: 9999 }))).code, 48);
  await db.createCollection('wakes', { capped: true, size: 4096, max: 5 });
});

t.test('aggregations that are served', async (t) => {
  const things = fresh();
  await things.insertMany([
    { k: 'a', n: 1, d: { x: 1 } },
    { k: 'a', n: 2.5 },
    { k: 'b', n: 7 },
    { k: null, n: 3 },
    { n: 4 },
  ]);
  const run = (pipeline: Document[]): Promise<Document[]> => things.aggregate(pipeline).toArray();
  t.strictSame(
    await run([
      { $match: { n: { $gt: 0 } } },
      {
        $group: {
          _id: '$k',
          sum: { $sum: '$n' },
          count: { $sum: 1 },
          avg: { $avg: '$n' },
          min: { $min: '$n' },
          max: { $max: '$n' },
          first: { $first: '$n' },
          last: { $last: '$n' },
        },
      },
      { $sort: { _id: 1 } },
    ]),
    [
      { _id: null, sum: 7, count: 2, avg: 3.5, min: 3, max: 4, first: 3, last: 4 },
      { _id: 'a', sum: 3.5, count: 2, avg: 1.75, min: 1, max: 2.5, first: 1, last: 2.5 },
      { _id: 'b', sum: 7, count: 1, avg: 7, min: 7, max: 7, first: 7, last: 7 },
    ],
  );
  t.strictSame(await run([{ $sort: { n: -1 } }, { $skip: 1 }, { $limit: 2 }, { $project: { _id: 0, n: 1 } }]), [
    { n: 4 },
    { n: 3 },
  ]);
  t.strictSame(await run([{ $match: { k: 'a' } }, { $count: 'n' }]), [{ n: 2 }]);
  t.strictSame(await run([{ $group: { _id: { k: '$k' } } }, { $sort: { _id: -1 } }, { $limit: 1 }]), [
    { _id: { k: 'b' } },
  ]);
  t.strictSame(await things.distinct('k'), [null, 'a', 'b']);
  t.strictSame(await things.distinct('d.x'), [1]);
});

t.test('what is not implemented is refused by its name', async (t) => {
  const things = fresh();
  await things.insertOne({ a: [1], b: [2] });
  const cases: [string, () => Promise<unknown>, number, RegExp][] = [
    ['a stage', () => things.aggregate([{ $graphLookup: {} }]).toArray(), 238, /\$graphLookup/],
    [
      'an accumulator',
      () => things.aggregate([{ $group: { _id: 1, x: { $accumulator: {} } } }]).toArray(),
      238,
      /\$accumulator/,
    ],
    ['an expression', () => things.aggregate([{ $group: { _id: { $sin: 1 } } }]).toArray(), 238, /\$sin/],
    [
      'a positional $ of two arrays',
      () => things.updateOne({ a: 1, b: 2 }, { $set: { 'a.$': 1 } }),
      238,
      /'a\.\$' with a query that matched elements of 'b'/,
    ],
    ['in $expr', () => things.find({ $expr: { $tan: 1 } }).toArray(), 238, /\$tan/],
    ['a projection', () => things.find({}, { projection: { a: { $meta: 'textScore' } } }).toArray(), 238, /\$meta/],
    ['a collation', () => things.find({}, { collation: { locale: 'de' } }).toArray(), 238, /collation/],
    ['a view', () => db.createCollection('v', { viewOn: 'c1' }), 238, /viewOn/],
    ['change streams', async () => await things.watch().next(), 40573, /change streams/],
    ['a command', () => db.command({ reIndex: 'x' }), 238, /reIndex/],
    ['an unknown command', () => db.command({ nonsense: 1 }), 59, /nonsense/],
    ['an unknown field', () => db.command({ find: 'c1', nonsense: 1 }), 40415, /nonsense/],
    ['a snapshot', () => things.find({}, { readConcern: 'snapshot' }).toArray(), 238, /snapshot/],
    ['an empty batch', () => db.command({ insert: 'c1', documents: [] }), 16, /batch/],
  ];
  for (const [name, attempt, code, text] of cases) {
    const error = await failure(attempt());
    t.equal(error.code, code, name);
    t.match(error.message, text, name);
  }
  const session = client.startSession();
  session.startTransaction();
  await t.rejects(things.insertOne({}, { session }), /[Tt]ransaction/);
  await session.endSession();
  t.equal(
    (
      await failure(
        db.command({
          insert: 'c1',
          documents: [{}],
          txnNumber: Long.ONE,
          lsid: { id: new Binary(Buffer.alloc(16), 4) },
        }),
      )
    ).code,
    238,
  );
});

t.test('collections and databases', async (t) => {
  const own = client.db('elsewhere');
  await own.createCollection('one');
  await own.collection('two').insertOne({ a: 1 });
  t.strictSame((await own.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name as string).sort(), [
    'one',
    'two',
  ]);
  t.strictSame((await own.listCollections({ name: 'two' }).toArray()).length, 1);
  t.ok((await client.db().admin().listDatabases()).databases.some(({ name }) => name === 'elsewhere'));
  t.match(await own.command({ collStats: 'two' }), { count: 1, nindexes: 1 });
  t.equal(await own.collection('two').drop(), true);
  await own.collection('two').insertOne({ b: 1 });
  t.equal(await own.collection('two').countDocuments(), 1, 'made anew, it is empty of the old');
  await own.dropDatabase();
  t.strictSame(await own.listCollections().toArray(), []);
  t.match(await db.admin().serverStatus(), { ok: 1, connections: { current: Number } });
  t.match(await db.admin().ping(), { ok: 1 });
  t.ok(store.clients() > 0);
});

t.test('documents expire by their TTL index', async (t) => {
  let now = 1_000_000;
  const own = openStore({ directory: t.testdir(), maxBytes: 2 ** 28, now: () => now, clients: () => 0 });
  t.teardown(() => own.engine.close());
  const run = async (command: Document): Promise<void> => {
    const body = rawDocument(Buffer.from(serialize({ ...command, $db: 'x' })));
    const { fields } = await import('../../../src/local/mongo/bson/raw-value.js');
    const name = Object.keys(command)[0] as string;
    await dispatch(
      own,
      { name, database: 'x', body, fields: new Map(fields(body)), sequences: new Map() },
      { connectionId: 1, signal: new AbortController().signal },
      (error) => {
        throw error;
      },
    );
  };
  await run({ createIndexes: 'u', indexes: [{ key: { settledAt: 1 }, name: 's', expireAfterSeconds: 100 }] });
  await run({
    insert: 'u',
    documents: [{ settledAt: new Date(1_000_000) }, { settledAt: new Date(1_050_000) }, { settledAt: 'never' }, {}],
  });
  const count = (): number | undefined => own.catalog.find('x.u')?.count;
  t.equal(count(), 4);
  t.equal(await expireDocuments(own), 0);
  now = 1_100_001;
  t.equal(await expireDocuments(own), 1);
  now = 9_000_000;
  t.equal(await expireDocuments(own), 1);
  t.equal(count(), 2, 'what has no date stays');
  compileFilter(rawDocument(Buffer.from(serialize({}))));
});
