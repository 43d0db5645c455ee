import { Decimal128, type Document, Double, Int32, Long, MongoClient, MongoServerError } from 'mongodb';
import t from 'tap';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';

const store = await startEmbeddedStore({ dataDir: t.testdir() });
const client = await new MongoClient(store.uri).connect();
const db = client.db();
t.teardown(async () => {
  await client.close();
  await store.stop();
});

let names = 0;
const fresh = (): string => `c${++names}`;

async function collectionOf(documents: Document[]): Promise<ReturnType<typeof db.collection<Document>>> {
  const collection = db.collection<Document>(fresh());
  if (documents.length > 0) await collection.insertMany(documents);
  return collection;
}

async function run(documents: Document[], pipeline: Document[], options: Document = {}): Promise<Document[]> {
  return await (await collectionOf(documents)).aggregate(pipeline, options).toArray();
}

async function code(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MongoServerError) return error.code;
    throw error;
  }
  return 'nothing was refused';
}

const ITEMS = [
  { _id: 1, k: 'a', n: 1, l: [1, 2] },
  { _id: 2, k: 'b', n: 5, l: [] },
  { _id: 3, k: 'a', n: 3 },
  { _id: 4, k: null, n: 2, l: null },
  { _id: 5, n: 4, l: 'x' },
];
const ids = (list: Document[]): unknown[] => list.map(({ _id }) => _id);

// Each: pipeline, what comes out of ITEMS. Pages: https://www.mongodb.com/docs/v8.0/reference/operator/aggregation/STAGE/
const STAGES: readonly (readonly [string, Document[], Document[]])[] = [
  [
    'addFields',
    [{ $match: { _id: 1 } }, { $addFields: { 'a.b': '$n', n: { $add: ['$n', 1] }, l: '$$REMOVE', z: '$none' } }],
    [{ _id: 1, k: 'a', n: 2, a: { b: 1 } }],
  ],
  ['set', [{ $match: { _id: 3 } }, { $set: { o: { p: { q: 1 } } } }], [{ _id: 3, k: 'a', n: 3, o: { p: { q: 1 } } }]],
  ['unset', [{ $match: { _id: 1 } }, { $unset: ['k', 'l'] }], [{ _id: 1, n: 1 }]],
  [
    'project: computed fields come last',
    [{ $match: { _id: 1 } }, { $project: { twice: { $multiply: ['$n', 2] }, k: 1 } }],
    [{ _id: 1, k: 'a', twice: 2 }],
  ],
  ['project: an array', [{ $match: { _id: 1 } }, { $project: { _id: 0, x: ['$n', '$none'] } }], [{ x: [1, null] }]],
  ['project: exclusion', [{ $match: { _id: 1 } }, { $project: { _id: 0, l: 0 } }], [{ k: 'a', n: 1 }]],
  ['project: _id computed', [{ $match: { _id: 1 } }, { $project: { _id: '$k', n: 1 } }], [{ n: 1, _id: 'a' }]],
  ['replaceRoot', [{ $match: { _id: 1 } }, { $replaceRoot: { newRoot: { a: '$n' } } }], [{ a: 1 }]],
  [
    'replaceWith',
    [{ $match: { _id: 1 } }, { $replaceWith: { $mergeObjects: [{ d: 1 }, { e: '$k' }] } }],
    [{ d: 1, e: 'a' }],
  ],
  [
    'unwind',
    [{ $unwind: '$l' }, { $project: { l: 1 } }],
    [
      { _id: 1, l: 1 },
      { _id: 1, l: 2 },
      { _id: 5, l: 'x' },
    ],
  ],
  [
    'unwind with its options',
    [
      { $unwind: { path: '$l', includeArrayIndex: 'i', preserveNullAndEmptyArrays: true } },
      { $project: { l: 1, i: 1, type: { $type: '$i' } } },
    ],
    [
      { _id: 1, l: 1, i: 0, type: 'long' },
      { _id: 1, l: 2, i: 1, type: 'long' },
      { _id: 2, i: null, type: 'null' },
      { _id: 3, i: null, type: 'null' },
      { _id: 4, l: null, i: null, type: 'null' },
      { _id: 5, l: 'x', i: null, type: 'null' },
    ],
  ],
  [
    'sortByCount',
    [{ $match: { k: { $type: 'string' } } }, { $sortByCount: '$k' }],
    [
      { _id: 'a', count: 2 },
      { _id: 'b', count: 1 },
    ],
  ],
  [
    'bucket',
    [
      {
        $bucket: {
          groupBy: '$n',
          boundaries: [1, 3, 5],
          default: 'other',
          output: { ids: { $push: '$_id' }, sum: { $sum: '$n' } },
        },
      },
    ],
    [
      { _id: 1, ids: [1, 4], sum: 3 },
      { _id: 3, ids: [3, 5], sum: 7 },
      { _id: 'other', ids: [2], sum: 5 },
    ],
  ],
  [
    'facet',
    [
      { $match: { n: { $lt: 5 } } },
      {
        $facet: {
          count: [{ $count: 'n' }],
          first: [{ $sort: { n: -1 } }, { $limit: 1 }, { $project: { n: 1 } }],
          none: [{ $match: { n: 99 } }],
          some: [{ $limit: 2 }, { $project: { _id: 1 } }],
        },
      },
    ],
    [{ count: [{ n: 4 }], first: [{ _id: 5, n: 4 }], none: [], some: [{ _id: 1 }, { _id: 3 }] }],
  ],
  [
    'group: accumulators',
    [
      { $match: { k: 'a' } },
      {
        $group: {
          _id: { $toUpper: '$k' },
          all: { $push: { n: '$n', x: '$none' } },
          set: { $addToSet: '$k' },
          merged: { $mergeObjects: { a: '$n' } },
          count: { $count: {} },
          pop: { $stdDevPop: '$n' },
          samp: { $stdDevSamp: '$n' },
          firsts: { $firstN: { n: 5, input: '$n' } },
          lasts: { $lastN: { n: 1, input: '$n' } },
          least: { $minN: { n: 1, input: '$n' } },
          most: { $maxN: { n: 2, input: '$n' } },
          top: { $top: { sortBy: { n: -1 }, output: '$_id' } },
          bottoms: { $bottomN: { n: 2, sortBy: { n: -1 }, output: ['$_id', '$none'] } },
          avg: { $avg: '$n' },
        },
      },
    ],
    [
      {
        _id: 'A',
        all: [{ n: 1 }, { n: 3 }],
        set: ['a'],
        merged: { a: 3 },
        count: 2,
        pop: 1,
        samp: Math.SQRT2,
        firsts: [1, 3],
        lasts: [3],
        least: [1],
        most: [3, 1],
        top: 3,
        bottoms: [
          [3, null],
          [1, null],
        ],
        avg: 2,
      },
    ],
  ],
  [
    'skip and limit behind others',
    [{ $set: { x: 1 } }, { $sort: { n: 1 } }, { $skip: 1 }, { $limit: 2 }, { $project: { n: 1 } }],
    [
      { _id: 4, n: 2 },
      { _id: 3, n: 3 },
    ],
  ],
];

t.test('stages', async (t) => {
  for (const [name, pipeline, expected] of STAGES) {
    const found = await run(ITEMS, pipeline);
    t.strictSame(found, expected, name);
    t.strictSame(found.map(Object.keys), expected.map(Object.keys), `${name}: order`);
  }
});

t.test('groups go by value: numbers of all kinds, null and what is missing', async (t) => {
  const documents = [
    { v: 1 },
    { v: new Double(1) },
    { v: Long.ONE },
    { v: Decimal128.fromString('1.0') },
    { v: null },
    {},
  ];
  t.strictSame(await run(documents, [{ $group: { _id: '$v', n: { $sum: 1 } } }, { $sort: { _id: 1 } }]), [
    { _id: null, n: 2 },
    { _id: 1, n: 4 },
  ]);
  const long = 'x'.repeat(5000);
  t.strictSame(
    await run(
      [{ v: { long, n: 1 } }, { v: { long, n: new Double(1) } }, { v: { long, n: 2 } }],
      [{ $group: { _id: '$v', n: { $sum: 1 } } }, { $project: { _id: '$_id.n', n: 1 } }, { $sort: { _id: 1 } }],
    ),
    [
      { n: 2, _id: 1 },
      { n: 1, _id: 2 },
    ],
    'however long they are',
  );
});

t.test('sums keep the types of the manual', async (t) => {
  const collection = await collectionOf([
    { g: 'int', v: 2147483647 },
    { g: 'int', v: 1 },
    { g: 'long', v: Long.fromString('9007199254740993') },
    { g: 'long', v: 1 },
    { g: 'big', v: Long.MAX_VALUE },
    { g: 'big', v: 1 },
    { g: 'dec', v: Decimal128.fromString('0.10') },
    { g: 'dec', v: 0.5 },
    { g: 'double', v: 0.1 },
    { g: 'double', v: 0.2 },
    { g: 'double', v: 0.3 },
  ]);
  const found = await collection
    .aggregate([{ $group: { _id: '$g', v: { $sum: '$v' } } }], { promoteValues: false })
    .toArray();
  const of = (g: string): unknown => found.find(({ _id }) => _id === g)?.v;
  t.strictSame(of('int'), Long.fromNumber(2147483648));
  t.strictSame(of('long'), Long.fromString('9007199254740994'));
  t.strictSame(of('big'), new Double(2 ** 63));
  t.equal(String(of('dec')), '0.60');
  t.strictSame(of('double'), new Double(0.6));
});

t.test('$lookup', async (t) => {
  const orders = await collectionOf([
    { _id: 1, item: 'a', q: 2 },
    { _id: 2, item: ['a', 'b'], q: 5 },
    { _id: 3 },
    { _id: 4, item: 'z' },
  ]);
  const stock = await collectionOf([
    { _id: 1, sku: 'a', n: 1 },
    { _id: 2, sku: ['b', 'a'], n: 4 },
    { _id: 3, n: 9 },
  ]);
  await stock.createIndex({ sku: 1 });
  const lookup = (more: Document): Document => ({ $lookup: { from: stock.collectionName, as: 'found.it', ...more } });
  const plain = await orders.aggregate([lookup({ localField: 'item', foreignField: 'sku' })]).toArray();
  t.strictSame(
    plain.map(({ found }) => ids(found.it)),
    [[1, 2], [1, 2], [3], []],
    'arrays join by their elements, what is missing is null',
  );
  const pipeline = [{ $match: { $expr: { $gte: ['$n', '$$q'] } } }, { $project: { _id: 1 } }];
  const both = await orders
    .aggregate([lookup({ localField: 'item', foreignField: 'sku', let: { q: '$q' }, pipeline })])
    .toArray();
  t.strictSame(
    both.map(({ found }) => found.it),
    [[{ _id: 2 }], [], [{ _id: 3 }], []],
  );
  const equal = await orders
    .aggregate([
      { $match: { _id: 1 } },
      lookup({ let: { i: '$item' }, pipeline: [{ $match: { $expr: { $eq: ['$sku', '$$i'] } } }] }),
    ])
    .toArray();
  t.strictSame(ids(equal[0]?.found.it), [1], '$expr compares the whole value');
  const counted = await orders.aggregate([lookup({ pipeline: [{ $count: 'n' }] })]).toArray();
  t.strictSame(
    counted.map(({ found }) => found.it),
    [[{ n: 3 }], [{ n: 3 }], [{ n: 3 }], [{ n: 3 }]],
  );
  t.strictSame(
    (
      await orders
        .aggregate([{ $limit: 1 }, { $lookup: { from: 'none', as: 'x', localField: 'a', foreignField: 'b' } }])
        .toArray()
    )[0]?.x,
    [],
  );
});

t.test('$unionWith', async (t) => {
  const other = await collectionOf([{ _id: 8 }, { _id: 9 }]);
  t.strictSame(
    ids(await run(ITEMS, [{ $match: { _id: 1 } }, { $unionWith: other.collectionName }, { $sort: { _id: -1 } }])),
    [9, 8, 1],
  );
  t.strictSame(
    ids(
      await run(ITEMS, [
        { $limit: 1 },
        { $unionWith: { coll: other.collectionName, pipeline: [{ $match: { _id: 9 } }] } },
      ]),
    ),
    [1, 9],
  );
});

t.test('$sample gives so many different documents', async (t) => {
  const found = ids(await run(ITEMS, [{ $sample: { size: 3 } }]));
  t.equal(new Set(found).size, 3);
  t.equal((await run(ITEMS, [{ $sample: { size: 30 } }])).length, 5);
});

t.test('$out replaces a collection as a whole and keeps its indexes', async (t) => {
  const source = await collectionOf(ITEMS);
  const target = await collectionOf([{ _id: 99, n: 99 }]);
  await target.createIndex({ n: 1 }, { unique: true });
  t.strictSame(await source.aggregate([{ $project: { n: 1 } }, { $out: target.collectionName }]).toArray(), []);
  t.strictSame(ids(await target.find().sort({ _id: 1 }).toArray()), [1, 2, 3, 4, 5]);
  t.equal((await target.indexes()).length, 2);
  t.strictSame(ids(await target.find({ n: 4 }).toArray()), [5], 'by its index');
  t.equal(
    await code(source.aggregate([{ $project: { n: { $literal: 1 } } }, { $out: target.collectionName }]).toArray()),
    11000,
  );
  t.equal(await target.countDocuments(), 5, 'what was there stays when it fails');
  await source.aggregate([{ $match: { _id: 1 } }, { $out: source.collectionName }]).toArray();
  t.strictSame(ids(await source.find().toArray()), [1], 'also onto itself');
  const made = fresh();
  await target.aggregate([{ $limit: 1 }, { $out: { db: db.databaseName, coll: made } }]).toArray();
  t.equal(await db.collection(made).countDocuments(), 1);
  t.strictSame((await db.listCollections({ name: /tmp/ }).toArray()).length, 0);
});

t.test('$merge', async (t) => {
  const source = await collectionOf([
    { _id: 1, a: 1 },
    { _id: 2, a: 2 },
  ]);
  const merge = async (into: Document[], more: Document): Promise<Document[]> => {
    const target = await collectionOf(into);
    await source.aggregate([{ $merge: { into: target.collectionName, ...more } }]).toArray();
    return await target.find().sort({ _id: 1 }).toArray();
  };
  t.strictSame(await merge([{ _id: 1, b: 1 }], {}), [
    { _id: 1, b: 1, a: 1 },
    { _id: 2, a: 2 },
  ]);
  t.strictSame(await merge([{ _id: 1, b: 1 }], { whenMatched: 'replace', whenNotMatched: 'discard' }), [
    { _id: 1, a: 1 },
  ]);
  t.strictSame((await merge([{ _id: 1, b: 1 }], { whenMatched: 'keepExisting' }))[0], { _id: 1, b: 1 });
  t.strictSame(
    (
      await merge([{ _id: 1, a: 10 }], {
        let: { twice: { $multiply: ['$a', 2] } },
        whenMatched: [{ $set: { a: { $add: ['$a', '$$new.a', '$$twice'] } } }],
      })
    )[0],
    { _id: 1, a: 13 },
  );
  t.equal(await code(merge([{ _id: 1 }], { whenMatched: 'fail' })), 11000);
  t.equal(await code(merge([], { whenNotMatched: 'fail' })), 13113);
  t.equal(await code(merge([], { on: 'a' })), 51183);
  t.equal(await code(merge([], { whenMatched: 'fail', whenNotMatched: 'discard' })), 51181);
  const unique = await collectionOf([{ _id: 'x', a: 2 }]);
  await unique.createIndex({ a: 1 }, { unique: true });
  await source.aggregate([{ $unset: '_id' }, { $merge: { into: unique.collectionName, on: 'a' } }]).toArray();
  t.strictSame(
    (await unique.find().sort({ a: 1 }).toArray()).map(({ a }) => a),
    [1, 2],
  );
});

t.test('$expr and let in every command', async (t) => {
  const things = await collectionOf([
    { _id: 1, a: 1, b: 2 },
    { _id: 2, a: 3, b: 2 },
    { _id: 3, a: [3], b: 3 },
  ]);
  await things.createIndex({ a: 1 });
  const find = async (filter: Document, options: Document = {}): Promise<unknown[]> =>
    ids(await things.find(filter, options).sort({ _id: 1 }).toArray());
  t.strictSame(await find({ $expr: { $gt: ['$a', '$b'] } }), [2, 3], 'an array is above any number');
  t.strictSame(await find({ $expr: { $eq: ['$a', 3] } }), [2]);
  t.strictSame(await find({ $expr: { $eq: ['$a', '$$x'] } }, { let: { x: { $add: [1, 2] } } }), [2]);
  t.strictSame(await find({ $or: [{ _id: 3 }, { $expr: { $lt: ['$a', '$b'] } }] }), [1, 3]);
  const explained = await things.find({ $expr: { $eq: ['$a', 3] } }).explain('queryPlanner');
  t.match(JSON.stringify(explained), /IXSCAN/, 'an equality with a constant uses an index');
  t.equal(await things.countDocuments({ $expr: { $eq: ['$_id', 1] } }), 1);
  t.strictSame(
    ids(await things.aggregate([{ $match: { $expr: { $eq: ['$_id', '$$x'] } } }], { let: { x: 2 } }).toArray()),
    [2],
  );
  await things.updateMany({ $expr: { $eq: ['$a', '$$x'] } }, { $set: { hit: true } }, { let: { x: 1 } });
  t.strictSame(await find({ hit: true }), [1]);
  await things.findOneAndUpdate({ $expr: { $eq: ['$b', '$$x'] } }, { $set: { hit: 3 } }, { let: { x: 3 } });
  t.strictSame(await find({ hit: 3 }), [3]);
  await things.deleteMany({ $expr: { $eq: ['$_id', '$$x'] } }, { let: { x: 3 } });
  t.strictSame(await find({}), [1, 2]);
  await things.updateOne({ _id: 7 as never, $expr: { $eq: ['$c', 5] } }, { $set: { d: 1 } }, { upsert: true });
  t.strictSame(await things.findOne({ _id: 7 as never }), { _id: 7, d: 1 }, 'an upsert takes nothing from an $expr');
  t.equal(await code(find({ a: { $elemMatch: { $expr: true } } })), 2);
  t.equal(await code(find({ $expr: '$$x' })), 17276);
});

t.test('cursors of pipelines come in batches and may be left', async (t) => {
  const many = await collectionOf(Array.from({ length: 1000 }, (_, i) => ({ _id: i, n: i % 7 })));
  const pipeline = [{ $set: { m: { $mod: ['$_id', 10] } } }, { $match: { m: { $lt: 5 } } }, { $unwind: '$m' }];
  const found: number[] = [];
  for await (const one of many.aggregate(pipeline, { batchSize: 3 })) found.push(one._id);
  t.equal(found.length, 500);
  t.equal(new Set(found).size, 500);
  const cursor = many.aggregate(pipeline, { batchSize: 2 });
  t.ok(await cursor.next());
  await cursor.close();
  t.strictSame(await many.aggregate([{ $set: { x: 1 } }, { $limit: 3 }, { $count: 'n' }]).toArray(), [{ n: 3 }]);
});

t.test('what takes too much memory is refused', async (t) => {
  const text = 'x'.repeat(1_000_000);
  const big = await collectionOf(Array.from({ length: 12 }, (_, i) => ({ _id: i, text })));
  const copies = { $set: { list: { $range: [0, 10] } } };
  t.equal(
    await code(
      big.aggregate([copies, { $unwind: '$list' }, { $group: { _id: 1, all: { $push: '$text' } } }]).toArray(),
    ),
    292,
  );
  t.equal(await code(big.aggregate([copies, { $unwind: '$list' }, { $facet: { a: [] } }]).toArray()), 292);
  t.equal(await code(big.aggregate([copies, { $unwind: '$list' }, { $sort: { list: 1 } }]).toArray()), 292);
  t.equal(await code(big.aggregate([{ $facet: { a: [], b: [] } }]).toArray()), 10334);
  const one = await collectionOf([{ _id: 1 }]);
  t.equal(
    await code(
      one
        .aggregate([{ $lookup: { from: big.collectionName, as: 'x', pipeline: [{ $unionWith: big.collectionName }] } }])
        .toArray(),
    ),
    4568,
  );
  const streamed = await big.aggregate([copies, { $unwind: '$list' }, { $project: { _id: 1 } }]).toArray();
  t.equal(streamed.length, 120, 'what only passes is not');
});

// Each: pipeline, the error's code.
const REFUSALS: readonly (readonly [Document[], number])[] = [
  [[{}], 40323],
  [[{ $nonsense: 1 }], 40324],
  [[{ $graphLookup: {} }], 238],
  [[{ $setWindowFields: {} }], 238],
  [[{ $bucketAuto: {} }], 238],
  [[{ $redact: '$$KEEP' }], 238],
  [[{ $group: { n: { $sum: 1 } } }], 15955],
  [[{ $group: { _id: 1, n: 1 } }], 40234],
  [[{ $group: { _id: 1, 'a.b': { $sum: 1 } } }], 40235],
  [[{ $group: { _id: 1, n: { $sum: 1, $avg: 1 } } }], 40238],
  [[{ $group: { _id: 1, n: { $nonsense: 1 } } }], 15952],
  [[{ $group: { _id: 1, n: { $median: {} } } }], 238],
  [[{ $group: { _id: 1, n: { $firstN: { n: '$n', input: 1 } } } }], 238],
  [[{ $project: {} }], 51272],
  [[{ $project: { a: 1, b: 0 } }], 31254],
  [[{ $project: { a: 0, b: 1 } }], 31253],
  [[{ $project: { a: 0, b: '$x' } }], 31252],
  [[{ $project: { a: 1, 'a.b': 1 } }], 31249],
  [[{ $project: { 'a.b': 1, a: 1 } }], 31250],
  [[{ $project: { a: {} } }], 51270],
  [[{ $project: { 'a.$': 1 } }], 16410],
  [[{ $addFields: {} }], 40177],
  [[{ $addFields: { a: {} } }], 40180],
  [[{ $addFields: { a: 1, 'a.b': 1 } }], 40176],
  [[{ $addFields: { a: { $add: [1], b: 1 } } }], 40181],
  [[{ $unset: [] }], 31119],
  [[{ $unset: 1 }], 31002],
  [[{ $replaceRoot: {} }], 40231],
  [[{ $replaceWith: '$k' }], 40228],
  [[{ $unwind: 'l' }], 28818],
  [[{ $unwind: {} }], 28812],
  [[{ $unwind: { path: '$l', x: 1 } }], 28811],
  [[{ $sortByCount: 'k' }], 40148],
  [[{ $bucket: { groupBy: '$n' } }], 40198],
  [[{ $bucket: { groupBy: '$n', boundaries: [3, 1] } }], 40194],
  [[{ $bucket: { groupBy: '$n', boundaries: [1, 'a'] } }], 40193],
  [[{ $bucket: { groupBy: '$n', boundaries: [1, 2] } }], 40066],
  [[{ $facet: {} }], 40169],
  [[{ $facet: { a: [{ $facet: {} }] } }], 40600],
  [[{ $facet: { a: [{ $out: 'x' }] } }], 40600],
  [[{ $lookup: { from: 'x', localField: 'a', foreignField: 'b' } }], 9],
  [[{ $lookup: { from: 'x', as: 'y' } }], 9],
  [[{ $lookup: { from: 'x', as: 'y', pipeline: [{ $out: 'z' }] } }], 51047],
  [[{ $lookup: { from: 'x', as: 'y', pipeline: [{ $match: { $expr: '$$q' } }] } }], 17276],
  [[{ $lookup: { from: { db: 'a', coll: 'b' }, as: 'y', pipeline: [] } }], 238],
  [[{ $unionWith: 5 }], 9],
  [[{ $sample: { size: -1 } }], 28747],
  [[{ $sample: {} }], 28749],
  [[{ $count: '$x' }], 40158],
  [[{ $sort: {} }], 15976],
  [[{ $out: 'x' }, { $limit: 1 }], 40601],
  [[{ $out: 5 }], 16990],
  [[{ $merge: { into: 'x', nonsense: 1 } }], 40415],
  [[{ $documents: [{ a: 1 }] }], 40602],
  [[{ $limit: 0 }], 15958],
];

t.test('what pipelines refuse, also of a collection that is not there', async (t) => {
  const items = await collectionOf(ITEMS);
  for (const [pipeline, expected] of REFUSALS)
    t.equal(await code(items.aggregate(pipeline).toArray()), expected, JSON.stringify(pipeline));
  t.equal(
    await code(
      db
        .collection('nowhere')
        .aggregate([{ $graphLookup: {} }])
        .toArray(),
    ),
    238,
  );
  t.equal(await code(db.aggregate([{ $currentOp: {} }]).toArray()), 238);
  t.strictSame(await db.aggregate([{ $documents: [{ a: 1 }, { a: 2 }] }, { $match: { a: 2 } }]).toArray(), [{ a: 2 }]);
});

t.test('types survive a pipeline', async (t) => {
  const collection = await collectionOf([
    { _id: 1, i: 1, l: Long.fromNumber(2), d: new Double(3), e: Decimal128.fromString('4.0') },
  ]);
  const [found] = await collection
    .aggregate(
      [
        { $facet: { a: [{ $set: { j: { $add: ['$i', '$l'] } } }] } },
        { $unwind: '$a' },
        { $replaceWith: '$a' },
        { $project: { i: 1, l: 1, d: 1, e: 1, j: 1 } },
      ],
      { promoteValues: false },
    )
    .toArray();
  t.strictSame(found?.i, new Int32(1));
  t.strictSame(found?.l, Long.fromNumber(2));
  t.strictSame(found?.d, new Double(3));
  t.equal(String(found?.e), '4.0');
  t.strictSame(found?.j, Long.fromNumber(3));
});

const SHOP = {
  _id: 1,
  n: 5,
  l: [1, 2, 3, 4],
  o: { m: [10, 20, 30], x: 1 },
  d: [
    { k: 'a', v: 1 },
    { k: 'b', v: 2 },
    { k: 'b', v: 3 },
  ],
};

// Each: filter, projection, the document. Pages: https://www.mongodb.com/docs/v8.0/reference/operator/projection/slice/, .../elemMatch/, .../positional/ and
// https://www.mongodb.com/docs/v8.0/reference/method/db.collection.find/#projection
const PROJECTIONS: readonly (readonly [string, Document, Document, Document])[] = [
  ['$slice keeps the rest', {}, { l: { $slice: 2 }, o: 0, d: 0 }, { _id: 1, n: 5, l: [1, 2] }],
  ['$slice alone', {}, { l: { $slice: -1 }, _id: 0 }, { n: SHOP.n, l: [4], o: SHOP.o, d: SHOP.d }],
  ['$slice in an inclusion', {}, { n: 1, l: { $slice: [1, 2] } }, { _id: 1, n: 5, l: [2, 3] }],
  ['$slice from the end', {}, { _id: 0, n: 1, l: { $slice: [-3, 2] } }, { n: 5, l: [2, 3] }],
  ['$slice on a path', {}, { n: 1, 'o.m': { $slice: 1 } }, { _id: 1, n: 5, o: { m: [10] } }],
  ['$slice of what is no array', {}, { _id: 1, l: 1, n: { $slice: 1 } }, { _id: 1, n: 5, l: [1, 2, 3, 4] }],
  ['$slice as an expression', {}, { _id: 0, x: { $slice: ['$l', 1, 2] } }, { x: [2, 3] }],
  ['$elemMatch', {}, { d: { $elemMatch: { k: 'b' } } }, { _id: 1, d: [{ k: 'b', v: 2 }] }],
  ['$elemMatch comes last', {}, { l: { $elemMatch: { $gt: 2 } }, o: 1, _id: 0 }, { o: SHOP.o, l: [3] }],
  ['$elemMatch of nothing', {}, { d: { $elemMatch: { k: 'z' } } }, { _id: 1 }],
  ['positional', { l: { $gt: 2 } }, { 'l.$': 1 }, { _id: 1, l: [3] }],
  ['positional behind documents', { 'd.k': 'b' }, { 'd.$': 1, _id: 0 }, { d: [{ k: 'b', v: 2 }] }],
  [
    'positional with $elemMatch',
    { d: { $elemMatch: { k: 'b', v: 3 } } },
    { n: 1, 'd.$': 1 },
    { _id: 1, n: 5, d: [{ k: 'b', v: 3 }] },
  ],
  ['positional into the documents', { 'd.k': 'b' }, { _id: 0, 'd.v.$': 1 }, { d: [{ v: 2 }] }],
  ['positional of what is no array', { n: 5 }, { _id: 0, 'n.$': 1 }, { n: 5 }],
  ['computed fields', {}, { _id: 0, n: 1, sum: { $sum: '$l' }, text: 'x' }, { n: 5, sum: 10, text: 'x' }],
  ['a path of another field', {}, { _id: 0, 'o.x': '$n' }, { o: { x: 5 } }],
];

t.test('projections of find', async (t) => {
  const shop = await collectionOf([SHOP]);
  for (const [name, filter, projection, expected] of PROJECTIONS) {
    const found = await shop.findOne(filter, { projection });
    t.strictSame(found, expected, name);
    t.strictSame(Object.keys(found ?? {}), Object.keys(expected), `${name}: order`);
  }
  t.strictSame(
    await shop.findOneAndUpdate({ 'd.k': 'b' }, { $set: { n: 6 } }, { projection: { _id: 0, 'd.$': 1 } }),
    { d: [{ k: 'b', v: 2 }] },
    'of findAndModify too',
  );
  const refused: readonly (readonly [Document, Document, number])[] = [
    [{}, { l: { $meta: 'textScore' } }, 238],
    [{}, { l: { $slice: [1, 0] } }, 28729],
    [{}, { l: { $slice: 1 }, 'l.x': 1 }, 31249],
    [{}, { 'o.m': { $elemMatch: { $gt: 1 } } }, 31275],
    [{}, { 'l.$': 1 }, 51246],
    [{ l: 1 }, { 'l.$': 0 }, 31395],
    [{ l: 1 }, { 'l.$.x': 1 }, 31394],
    [{ l: 1 }, { 'l.$': 1, 'd.$': 1 }, 31276],
    [{ l: 1 }, { 'l.$': 1, d: { $elemMatch: { k: 'a' } } }, 31255],
    [{ l: 1, 'd.k': 'b' }, { 'l.$': 1 }, 238],
    [{}, { a: 1, b: 0 }, 31254],
    [{}, { a: 0, b: { $add: [1, 1] } }, 31252],
    [{}, { a: {} }, 51270],
    [{}, { 'a.': 1 }, 40353],
    [{}, { a: 1, 'a.b': 1 }, 31249],
    [{}, { a: { $nonsense: 1 } }, 168],
  ];
  for (const [filter, projection, expected] of refused)
    t.equal(await code(shop.findOne(filter, { projection })), expected, JSON.stringify(projection));
});
