import type { Document as Bson } from 'mongodb';
import mongoose, { Error as MongooseError, Schema } from 'mongoose';
import t from 'tap';
import { GIVEN_SERVER } from '../../../support/given-server.js';
import { failure } from '../../../support/server-failure.js';
import { connected, rejection, says } from './connection.js';

t.test('what is read', async (t) => {
  const connection = await connected(t);
  const schema = new Schema({
    _id: Number,
    name: String,
    city: String,
    age: Number,
    secret: { type: String, select: false },
    tags: [String],
    visits: [{ _id: false, place: String, days: Number }],
    home: { street: String, number: Number },
  });
  const Person = connection.model('Person', schema);
  const people = [
    { _id: 1, name: 'Ann', city: 'Oslo', age: 30, secret: 's1', tags: ['a', 'b'], home: { street: 'x', number: 1 } },
    {
      _id: 2,
      name: 'bob',
      city: 'Rome',
      age: 20,
      tags: ['b'],
      visits: [
        { place: 'A', days: 1 },
        { place: 'B', days: 9 },
      ],
    },
    { _id: 3, name: 'Cid', city: 'Oslo', age: 40, tags: [], visits: [{ place: 'B', days: 2 }] },
    { _id: 4, name: 'Dan', age: 20, tags: ['c', 'a', 'b'] },
    { _id: 5, name: 'eve', city: 'Rome' },
  ];
  await Person.insertMany(people);
  const ids = async (query: PromiseLike<unknown>): Promise<number[]> =>
    ((await query) as { _id: number }[]).map(({ _id }) => _id);

  t.strictSame(
    await ids(Person.find().sort({ city: 1, age: -1, _id: 1 })),
    [4, 3, 1, 2, 5],
    'what is missing sorts first',
  );
  t.strictSame(await ids(Person.find().sort('-age _id').skip(1).limit(3)), [1, 2, 4]);
  t.strictSame(await ids(Person.find().sort({ name: 'desc' }).limit(2)), [5, 2], 'by bytes');
  t.strictSame(await ids(Person.find({ $or: [{ city: 'Rome' }, { age: { $gte: 40 } }] }).sort('_id')), [2, 3, 5]);
  t.strictSame(
    await ids(
      Person.find({ name: /^[a-d]/i })
        .where('age')
        .gte(20)
        .lt(40)
        .sort('_id'),
    ),
    [1, 2, 4],
  );
  t.strictSame(await ids(Person.find({ tags: { $all: ['a', 'b'] } }).sort('_id')), [1, 4]);
  t.strictSame(await ids(Person.find({ tags: { $size: 0 } }).sort('_id')), [3, 5], 'an array has a default');
  t.strictSame(await ids(Person.find({ city: { $nin: ['Rome', null] } }).sort('_id')), [1, 3]);
  t.strictSame(await ids(Person.find({ city: null })), [4]);
  t.strictSame(await ids(Person.find({ city: { $exists: false } })), [4]);
  t.strictSame(await ids(Person.find({ visits: { $elemMatch: { place: 'B', days: { $lt: 5 } } } })), [3]);
  t.strictSame(await ids(Person.find({ 'visits.place': 'B', 'visits.days': 1 })), [2], 'each from another element');
  t.strictSame(await ids(Person.find({ 'home.street': 'x', tags: 'a' })), [1]);
  t.strictSame(await ids(Person.find({ age: '20' } as Bson).sort('_id')), [2, 4], 'cast by the schema');
  t.strictSame(await ids(Person.find({ $expr: { $gt: ['$age', { $multiply: ['$_id', 12] }] } }).sort('_id')), [1, 3]);
  t.strictSame(await ids(Person.find({ age: { $mod: [20, 0] } }).sort('_id')), [2, 3, 4]);
  t.strictSame(await ids(Person.find({ name: { $not: /^[A-Z]/ } }).sort('_id')), [2, 5]);

  const found = async (query: PromiseLike<unknown>): Promise<unknown> => JSON.parse(JSON.stringify(await query));
  t.strictSame(await found(Person.findById(1).select('name home.number')), {
    _id: 1,
    name: 'Ann',
    home: { number: 1 },
  });
  t.strictSame(await found(Person.findById(1, '-tags -home -visits -__v')), {
    _id: 1,
    name: 'Ann',
    city: 'Oslo',
    age: 30,
  });
  t.strictSame(
    await found(Person.findById(1).select('+secret').select({ tags: 0, home: 0, visits: 0, __v: 0, age: 0 })),
    { _id: 1, name: 'Ann', city: 'Oslo', secret: 's1' },
  );
  t.strictSame(await found(Person.findById(4).select({ tags: { $slice: -2 }, name: 1, _id: 0 })), {
    name: 'Dan',
    tags: ['a', 'b'],
  });
  t.strictSame(await found(Person.findById(2).select({ visits: { $elemMatch: { days: { $gt: 5 } } } })), {
    _id: 2,
    visits: [{ place: 'B', days: 9 }],
  });
  t.strictSame(await found(Person.findOne({ _id: 2, 'visits.place': 'B' }).select('visits.$')), {
    _id: 2,
    visits: [{ place: 'B', days: 9 }],
  });
  t.strictSame(
    await found(
      Person.find({ city: 'Rome' }, { upper: { $toUpper: '$name' }, _id: 0 })
        .sort('_id')
        .lean(),
    ),
    [{ upper: 'BOB' }, { upper: 'EVE' }],
  );

  const lean = await Person.findById(1).lean();
  t.notOk(lean instanceof mongoose.Document);
  t.strictSame(lean, {
    _id: 1,
    name: 'Ann',
    city: 'Oslo',
    age: 30,
    tags: ['a', 'b'],
    home: { street: 'x', number: 1 },
    visits: [],
    __v: 0,
  });
  t.equal(await Person.findById(99), null);
  t.equal(await Person.findOne({ name: 'nobody' }).lean(), null);
  t.strictSame(await Person.find({ name: 'nobody' }), []);
  const missing = await rejection(
    MongooseError.DocumentNotFoundError,
    Person.findOne({ name: 'nobody' }).orFail().exec(),
  );
  t.strictSame(missing.filter, { name: 'nobody' });

  t.strictSame((await Person.distinct('city')).sort(), ['Oslo', 'Rome']);
  t.strictSame((await Person.distinct('tags', { age: { $gte: 30 } })).sort(), ['a', 'b']);
  says(t, (await Person.distinct('visits.days')).sort(), [1, 2, 9], 'distinct through an array');
  t.equal(await Person.countDocuments(), 5);
  t.equal(await Person.countDocuments({ city: 'Oslo' }), 2);
  t.equal(await Person.countDocuments({}).skip(1).limit(3), 3);
  t.equal(await Person.estimatedDocumentCount(), 5);
  t.strictSame(await Person.exists({ city: 'Oslo', age: { $gt: 30 } }), { _id: 3 });
  t.equal(await Person.exists({ city: 'Paris' }), null);
  t.strictSame(
    await ids(
      Person.find({ city: 'Oslo' })
        .sort('_id')
        .maxTimeMS(30_000)
        .comment('a comment')
        .allowDiskUse(true)
        .read('primary')
        .readConcern('majority'),
    ),
    [1, 3],
  );
});

t.test('populate', async (t) => {
  const connection = await connected(t);
  const house = new Schema({ _id: String, city: String });
  const author = new Schema({
    _id: String,
    name: String,
    born: Number,
    house: { type: String, ref: 'House' },
    friends: [{ type: String, ref: 'Author' }],
  });
  author.virtual('books', { ref: 'Book', localField: '_id', foreignField: 'author' });
  author.virtual('bookCount', { ref: 'Book', localField: '_id', foreignField: 'author', count: true });
  author.virtual('best', {
    ref: 'Book',
    localField: '_id',
    foreignField: 'author',
    justOne: true,
    match: { stars: { $gte: 3 } },
    options: { sort: { stars: -1 } },
  });
  const book = new Schema({
    _id: String,
    stars: Number,
    author: { type: String, ref: 'Author' },
    readers: [{ type: String, ref: 'Author' }],
    notes: [{ text: String, by: { type: String, ref: 'Author' } }],
    about: { kind: { type: String, enum: ['Author', 'House'] }, item: { type: String, refPath: 'about.kind' } },
  });
  connection.model('House', house);
  const Author = connection.model('Author', author);
  const Book = connection.model('Book', book);
  await connection.model('House').create([{ _id: 'h1', city: 'Oslo' }]);
  await Author.create([
    { _id: 'ann', name: 'Ann', born: 1980, house: 'h1', friends: ['cid', 'bob', 'gone'] },
    { _id: 'bob', name: 'Bob', born: 1990, house: 'gone' },
    { _id: 'cid', name: 'Cid', born: 2000 },
  ]);
  await Book.create([
    { _id: 'b1', stars: 5, author: 'ann', readers: ['cid', 'gone', 'bob'], about: { kind: 'House', item: 'h1' } },
    { _id: 'b2', stars: 2, author: 'ann', readers: [], notes: [{ text: 'good', by: 'bob' }, { text: 'bad' }] },
    { _id: 'b3', stars: 3, author: 'ann', about: { kind: 'Author', item: 'cid' } },
    { _id: 'b4', stars: 1, author: 'bob', readers: ['ann'] },
    { _id: 'b5', author: 'gone' },
  ]);
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

  const one = await Book.findById('b1').populate<{ author: Bson }>('author', 'name').orFail();
  t.strictSame(plain(one.author), { _id: 'ann', name: 'Ann' });
  t.ok(one.populated('author'));
  t.equal((await Book.findById('b5').populate('author').lean())?.author, null, 'what is gone is null');
  const readers = await Book.findById('b1').populate<{ readers: Bson[] }>('readers', 'name -_id').lean();
  t.strictSame(readers?.readers, [{ name: 'Cid' }, { name: 'Bob' }], 'in the order of the array, without what is gone');
  const nested = await Book.find({ _id: { $in: ['b1', 'b4'] } })
    .sort('_id')
    .populate({ path: 'author', select: 'house', populate: { path: 'house', select: 'city' } })
    .lean();
  t.strictSame(
    nested.map(({ author }) => author as unknown),
    [
      { _id: 'ann', house: { _id: 'h1', city: 'Oslo' } },
      { _id: 'bob', house: null },
    ],
  );
  const friends = {
    path: 'friends',
    match: { born: { $gte: 1990 } },
    select: 'name -_id',
    options: { sort: { name: 1 } },
  };
  t.match((await Book.findById('b3').populate({ path: 'author', populate: friends }).lean())?.author, {
    friends: [{ name: 'Bob' }, { name: 'Cid' }],
  });
  const notes = await Book.findById('b2').populate('notes.by', 'name').lean();
  t.strictSame(
    notes?.notes.map(({ text, by }) => [text, by as unknown]),
    [
      ['good', { _id: 'bob', name: 'Bob' }],
      ['bad', undefined],
    ],
  );
  const about = await Book.find({ 'about.kind': { $ne: null } })
    .sort('_id')
    .populate('about.item')
    .lean();
  t.match(
    about.map(({ about }) => about?.item as unknown),
    [{ city: 'Oslo' }, { name: 'Cid' }],
  );
  const matched = await Book.find({ stars: { $gt: 0 } })
    .sort('_id')
    .populate({ path: 'author', match: { born: { $lt: 1985 } }, select: 'born -_id' })
    .lean();
  const young = { born: 1980 };
  t.strictSame(
    matched.map(({ author }) => author as unknown),
    [young, young, young, null],
  );

  const authors = await Author.find()
    .sort('_id')
    .populate([
      { path: 'books', match: { stars: { $gte: 2 } }, options: { sort: { stars: 1 } }, select: 'stars author' },
      'bookCount',
      'best',
    ])
    .lean({ virtuals: true });
  t.strictSame(
    authors.map((one: Bson) => [one._id, one.books.map(({ _id }: Bson) => _id), one.bookCount, one.best?._id ?? null]),
    [
      ['ann', ['b2', 'b3', 'b1'], 3, 'b1'],
      ['bob', [], 1, null],
      ['cid', [], 0, null],
    ],
  );
  t.equal(authors[0] instanceof mongoose.Document, false);
  const loaded = await Author.findById('ann')
    .populate<{ books: Bson[]; bookCount: number }>('books bookCount')
    .orFail();
  t.strictSame([loaded.books.length, loaded.bookCount, loaded.books[0] instanceof Book], [3, 3, true]);
  const page = await Author.find({ _id: { $in: ['ann', 'bob'] } })
    .sort('_id')
    .populate({ path: 'books', perDocumentLimit: 2, options: { sort: { _id: 1 } } })
    .lean();
  t.strictSame(
    page.map((one: Bson) => one.books.map(({ _id }: Bson) => _id)),
    [['b1', 'b2'], ['b4']],
  );
  const later = await Book.findById('b4').orFail();
  await later.populate('readers');
  t.equal((later.readers[0] as unknown as Bson).name, 'Ann');
  later.readers.push('bob');
  await later.save();
  t.strictSame((await Book.findById('b4').lean())?.readers, ['ann', 'bob'], 'what is populated is saved as its ids');
  const rows = await Book.aggregate<Bson>([{ $match: { _id: 'b3' } }]);
  t.equal(((await Author.populate(rows, { path: 'author', model: Author })) as Bson[])[0]?.author.name, 'Ann');
});

t.test('cursors', async (t) => {
  const connection = await connected(t, { monitorCommands: true });
  const Row = connection.model(
    'Row',
    new Schema({
      _id: { type: Number, required: true },
      even: Boolean,
      next: { type: Number, ref: 'Row' },
    }),
  );
  const COUNT = 250;
  await Row.insertMany(Array.from({ length: COUNT }, (_, n) => ({ _id: n, even: n % 2 === 0, next: n + 1 })));
  const asked: string[] = [];
  connection.getClient().on('commandStarted', ({ commandName, command }) => {
    asked.push(`${commandName} ${command.batchSize ?? ''}`.trim());
  });
  const during = async (run: () => Promise<void>): Promise<string[]> => {
    asked.length = 0;
    await run();
    return asked.splice(0);
  };
  const all = Array.from({ length: COUNT }, (_, n) => n);

  const seen: number[] = [];
  const batches = await during(async () => {
    for await (const row of Row.find().sort('_id').cursor({ batchSize: 100 })) seen.push(row._id);
  });
  t.strictSame(seen, all);
  t.strictSame(batches, ['find 100', 'getMore 100', 'getMore 100']);
  const lean: unknown[] = [];
  for await (const row of Row.find({ even: true }, '_id').sort({ _id: -1 }).lean().cursor({ batchSize: 7 }))
    lean.push(row);
  t.strictSame(
    lean,
    all
      .filter((n) => n % 2 === 0)
      .reverse()
      .map((n) => ({ _id: n })),
  );

  const early = await during(async () => {
    const left = Row.find().cursor({ batchSize: 10 });
    for await (const row of left) if (row._id === 15) break;
    await left.close();
  });
  t.strictSame(early, ['find 10', 'getMore 10', 'killCursors']);
  const cursor = Row.find().sort('_id').cursor({ batchSize: 2 });
  t.equal((await cursor.next())?._id, 0);
  t.equal((await cursor.next())?._id, 1);
  await Row.deleteMany({ _id: { $lt: 10 } });
  t.ok(((await cursor.next())?._id ?? 0) >= 2, 'it goes on while documents are deleted');
  await cursor.close();
  await Row.insertMany(all.slice(0, 10).map((n) => ({ _id: n, even: n % 2 === 0, next: n + 1 })));

  const parallel: number[] = [];
  await Row.find()
    .cursor({ batchSize: 50 })
    .eachAsync(async (row) => void parallel.push(row._id), { parallel: 5 });
  t.strictSame(
    parallel.sort((a, b) => a - b),
    all,
  );
  const sizes: number[] = [];
  await Row.find()
    .cursor()
    .eachAsync(async (rows) => void sizes.push(rows.length), { batchSize: 100 });
  t.strictSame(sizes, [100, 100, 50]);
  const populated: unknown[] = [];
  for await (const row of Row.find({ _id: { $gte: COUNT - 2 } })
    .sort('_id')
    .populate('next')
    .cursor())
    populated.push((row.next as unknown as Bson | null)?._id ?? null);
  t.strictSame(populated, [COUNT - 1, null]);
  const sums: unknown[] = [];
  const grouped = Row.aggregate([
    { $group: { _id: { $mod: ['$_id', 50] }, n: { $sum: 1 } } },
    { $sort: { _id: 1 } },
  ]).cursor({ batchSize: 20 });
  for await (const row of grouped) sums.push([row._id, row.n]);
  t.strictSame(
    sums,
    Array.from({ length: 50 }, (_, n) => [n, 5]),
  );
  const doubled: number[] = [];
  for await (const n of Row.find()
    .sort('_id')
    .limit(3)
    .cursor()
    .map((row) => row._id * 2) as unknown as AsyncIterable<number>)
    doubled.push(n);
  t.strictSame(doubled, [0, 2, 4]);
});

t.test('a tailable cursor waits for what is inserted', async (t) => {
  const connection = await connected(t, { autoCreate: false });
  const schema = new Schema({ _id: Number }, { capped: { size: 100_000, max: 3 }, autoCreate: false });
  const Entry = connection.model('Entry', schema, 'log');
  await Entry.createCollection();
  const ids = async (): Promise<unknown[]> => (await Entry.find().lean()).map(({ _id }) => _id);
  await Entry.insertMany([1, 2, 3, 4].map((n) => ({ _id: n })));
  says(t, await ids(), [2, 3, 4], 'the trimming of a capped collection');
  await Entry.create({ _id: 5 });
  t.strictSame(await ids(), [3, 4, 5], 'the oldest make room');
  const cursor = Entry.find().tailable().cursor({ awaitData: true });
  const seen: unknown[] = [];
  for await (const { _id } of cursor) {
    seen.push(_id);
    if (_id === 5) await Entry.create({ _id: 6 });
    if (_id === 6) break;
  }
  await cursor.close();
  t.strictSame(seen, [3, 4, 5, 6]);
});

type Asking = (model: mongoose.Model<Bson>) => Promise<unknown>;
const NOT_IMPLEMENTED: readonly (readonly [string, Asking])[] = [
  ['collations', (Thing) => Thing.find().collation({ locale: 'en', strength: 2 }).exec()],
  ['collations', (Thing) => Thing.collection.createIndex({ a: 1 }, { collation: { locale: 'en' } })],
  ['text indexes', (Thing) => Thing.collection.createIndex({ a: 'text' })],
  ['2dsphere indexes', (Thing) => Thing.collection.createIndex({ a: '2dsphere' })],
  ['the query operator $where', (Thing) => Thing.find({ $where: 'true' }).exec()],
  [
    'the aggregation stage $graphLookup',
    (Thing) =>
      Thing.aggregate()
        .graphLookup({ from: 'things', startWith: '$a', connectFromField: 'a', connectToField: 'b', as: 'c' })
        .exec(),
  ],
  ["'timeseries' of create", (Thing) => Thing.createCollection({ timeseries: { timeField: 'at' } })],
];

t.test('aggregation', async (t) => {
  const connection = await connected(t);
  const Customer = connection.model('Customer', new Schema({ _id: String, city: String, boss: String }));
  const line = new Schema({ sku: String, count: Number, price: Schema.Types.Decimal128 }, { _id: false });
  const Order = connection.model('Order', new Schema({ _id: Number, customer: String, at: Date, lines: [line] }));
  await Customer.create([
    { _id: 'ann', city: 'Oslo' },
    { _id: 'bob', city: 'Rome', boss: 'ann' },
    { _id: 'cid', city: 'Rome', boss: 'bob' },
  ]);
  const day = (n: number): Date => new Date(Date.UTC(2024, 0, n));
  await Order.create([
    {
      _id: 1,
      customer: 'ann',
      at: day(1),
      lines: [
        { sku: 'a', count: 2, price: '1.10' },
        { sku: 'b', count: 1, price: '0.05' },
      ],
    },
    { _id: 2, customer: 'bob', at: day(1), lines: [{ sku: 'a', count: 1, price: '1.10' }] },
    { _id: 3, customer: 'ann', at: day(2), lines: [] },
    { _id: 4, customer: 'gone', at: day(3), lines: [{ sku: 'c', count: 3, price: '2.00' }] },
  ]);
  const joined = await Order.aggregate([
    { $match: { at: { $lt: day(3) } } },
    { $lookup: { from: 'customers', localField: 'customer', foreignField: '_id', as: 'customer' } },
    { $unwind: '$customer' },
    { $sort: { _id: 1 } },
    { $project: { city: '$customer.city', skus: '$lines.sku' } },
  ]);
  const skus = [
    { _id: 1, city: 'Oslo', skus: ['a', 'b'] },
    { _id: 2, city: 'Rome', skus: ['a'] },
    { _id: 3, city: 'Oslo', skus: [] },
  ];
  says(t, joined, skus, 'an expression through an array');
  const perCustomer = await Customer.aggregate([
    {
      $lookup: {
        from: 'orders',
        let: { who: '$_id', since: day(1) },
        pipeline: [
          { $match: { $expr: { $and: [{ $eq: ['$customer', '$$who'] }, { $gte: ['$at', '$$since'] }] } } },
          { $unwind: '$lines' },
          {
            $group: {
              _id: null,
              sum: { $sum: { $multiply: ['$lines.count', '$lines.price'] } },
              orders: { $addToSet: '$_id' },
            },
          },
        ],
        as: 'orders',
      },
    },
    { $unwind: { path: '$orders', preserveNullAndEmptyArrays: true } },
    { $sort: { _id: 1 } },
    { $project: { total: { $toString: { $ifNull: ['$orders.sum', 0] } } } },
  ]);
  t.strictSame(perCustomer, [
    { _id: 'ann', total: '2.25' },
    { _id: 'bob', total: '1.10' },
    { _id: 'cid', total: '0' },
  ]);
  const [facets] = await Order.aggregate([
    {
      $facet: {
        days: [
          { $group: { _id: { $dateToString: { date: '$at', format: '%d' } }, n: { $sum: 1 } } },
          { $sort: { _id: 1 } },
        ],
        skus: [{ $unwind: '$lines' }, { $sortByCount: '$lines.sku' }, { $limit: 1 }],
        empty: [{ $match: { lines: { $size: 0 } } }, { $count: 'n' }],
      },
    },
  ]);
  t.strictSame(facets, {
    days: [
      { _id: '01', n: 2 },
      { _id: '02', n: 1 },
      { _id: '03', n: 1 },
    ],
    skus: [{ _id: 'a', count: 2 }],
    empty: [{ n: 1 }],
  });
  t.strictSame(
    await Order.aggregate()
      .unwind('lines')
      .group({ _id: '$lines.sku', n: { $sum: '$lines.count' } })
      .sort('-n _id')
      .limit(2)
      .option({ allowDiskUse: true }),
    [
      { _id: 'a', n: 3 },
      { _id: 'c', n: 3 },
    ],
  );
  t.strictSame(
    await Order.aggregate([
      { $project: { name: '$customer' } },
      { $unionWith: { coll: 'customers', pipeline: [{ $project: { name: '$_id' } }] } },
      { $group: { _id: '$name', n: { $sum: 1 } } },
      { $sort: { n: -1, _id: 1 } },
    ]),
    [
      { _id: 'ann', n: 3 },
      { _id: 'bob', n: 2 },
      { _id: 'cid', n: 1 },
      { _id: 'gone', n: 1 },
    ],
  );
  await Order.aggregate([
    { $unwind: '$lines' },
    { $group: { _id: '$lines.sku', sold: { $sum: '$lines.count' } } },
    { $merge: { into: 'stocks', whenMatched: 'merge', whenNotMatched: 'insert' } },
  ]);
  const Stock = connection.model('Stock', new Schema({ _id: String, sold: Number }));
  t.strictSame(await Stock.find().sort('_id').lean(), [
    { _id: 'a', sold: 3 },
    { _id: 'b', sold: 1 },
    { _id: 'c', sold: 3 },
  ]);
  const [id] = await Order.aggregate([{ $match: { at: '2024-01-02' } }]);
  t.equal(id, undefined, 'a pipeline is not cast');
});

t.test(
  'what the embedded store does not implement it refuses by name',
  { skip: GIVEN_SERVER !== undefined },
  async (t) => {
    const connection = await connected(t);
    const Thing = connection.model<Bson>('Thing', new Schema({ a: String }, { autoCreate: false, strict: false }));
    for (const [what, ask] of NOT_IMPLEMENTED) {
      const { code, message } = await failure(ask(Thing));
      t.strictSame([code, message], [238, `the embedded store does not implement ${what}`]);
    }
    const watching = await failure(Thing.watch().next());
    t.match([watching.code, watching.message], [40_573, /the embedded store has no change streams$/]);
    t.strictSame(await connection.listCollections(), [], 'nothing was made');
  },
);
