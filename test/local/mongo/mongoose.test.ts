import { Decimal128, type Long } from 'mongodb';
import mongoose, { type Connection, Schema, Types } from 'mongoose';
import t, { type Test } from 'tap';
import { anyServer } from '../../support/any-server.js';
import { GIVEN_SERVER } from '../../support/given-server.js';

// Mongoose as its users use it, on the embedded store or on the server at MONGODB_URI.
t.setTimeout(120_000);

async function connected(t: Test): Promise<Connection> {
  const connection = await mongoose.createConnection(await anyServer(t)).asPromise();
  t.teardown(() => connection.close());
  return connection;
}

/** What a promise is rejected with. */
async function failure(promise: Promise<unknown> | undefined): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was refused');
}

const errorsOf = (error: unknown): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries((error as mongoose.Error.ValidationError).errors).map(([path, one]) => [path, one.name]),
  );

t.test('a schema of all types: defaults, casts, and what comes back is what was given', async (t) => {
  const connection = await connected(t);
  const Kinds = connection.model(
    'Kind',
    new Schema(
      {
        text: { type: String, trim: true, lowercase: true },
        number: Number,
        flag: { type: Boolean, default: true },
        at: Date,
        bytes: Buffer,
        exact: Schema.Types.Decimal128,
        big: BigInt,
        other: Schema.Types.ObjectId,
        uuid: Schema.Types.UUID,
        any: Schema.Types.Mixed,
        map: { type: Map, of: Number },
        list: [String],
        nested: { deep: { word: { type: String, default: 'none' } } },
        parts: [new Schema({ name: String, count: { type: Number, default: 1 } })],
        made: { type: String, default: () => 'made' },
      },
      { timestamps: true },
    ),
  );
  const id = new Types.ObjectId();
  const made = await Kinds.create({
    text: '  LOUD ',
    number: '12.5' as never,
    at: '2026-01-02T03:04:05.678Z',
    bytes: Buffer.from([0, 255, 7]),
    exact: '12345678901234567890.12345',
    big: 2n ** 60n,
    other: id,
    uuid: '0195f1e4-5c7b-7b0a-8c2e-5a3f0d1c2b4a',
    any: { free: [1, 'two', null] },
    map: { one: 1, two: 2 },
    list: ['a', 'b'],
    parts: [{ name: 'first' }, { name: 'second', count: 3 }],
  });
  const found = await Kinds.findById(made._id).orFail();
  t.match(found.toObject({ flattenMaps: true }), {
    text: 'loud',
    number: 12.5,
    flag: true,
    at: new Date('2026-01-02T03:04:05.678Z'),
    big: 2n ** 60n,
    any: { free: [1, 'two', null] },
    list: ['a', 'b'],
    nested: { deep: { word: 'none' } },
    made: 'made',
  });
  t.equal(found.bytes?.toString('hex'), '00ff07');
  t.equal(found.exact?.toString(), '12345678901234567890.12345');
  t.ok(found.other?.equals(id));
  t.equal(String(found.uuid), '0195f1e4-5c7b-7b0a-8c2e-5a3f0d1c2b4a');
  t.strictSame(
    [...(found.map ?? [])],
    [
      ['one', 1],
      ['two', 2],
    ],
  );
  t.strictSame(
    found.parts.map(({ name, count }) => [name, count]),
    [
      ['first', 1],
      ['second', 3],
    ],
  );
  t.ok(found.parts.every((part) => part._id instanceof Types.ObjectId));
  t.type(found.createdAt, Date);
  t.equal(found.createdAt.getTime(), found.updatedAt.getTime());

  const raw = await Kinds.collection.findOne({ _id: made._id }, { promoteValues: false });
  t.equal((raw?.exact as Decimal128 | undefined)?._bsontype, 'Decimal128');
  t.equal(String(raw?.big as Long), String(2n ** 60n));
  t.equal((await Kinds.find({ exact: Decimal128.fromString('12345678901234567890.12345') })).length, 1);
  t.equal((await Kinds.find({ big: { $gt: 2n ** 59n } })).length, 1);
  t.equal((await Kinds.find({ 'map.two': 2, 'parts.count': 3, list: 'b' })).length, 1);

  found.map?.set('three', 3);
  found.nested = { deep: { word: 'some' } };
  found.parts[1]?.set({ count: 4 });
  found.parts.push({ name: 'third' });
  found.list.splice(0, 1);
  found.any = { ...(found.any as object), more: true };
  found.markModified('any');
  await found.save();
  const again = await Kinds.findById(made._id).lean().orFail();
  t.match(again, {
    map: { one: 1, two: 2, three: 3 },
    nested: { deep: { word: 'some' } },
    list: ['b'],
    any: { free: [1, 'two', null], more: true },
  });
  t.strictSame(
    again.parts.map(({ name, count }) => [name, count]),
    [
      ['first', 1],
      ['second', 4],
      ['third', 1],
    ],
  );
  t.ok(again.updatedAt.getTime() >= found.createdAt.getTime());
  found.parts.pull(found.parts[0]?._id);
  await found.save();
  t.equal((await Kinds.findById(made._id).lean())?.parts.length, 2);
});

t.test('what a schema refuses is named and not written', async (t) => {
  const connection = await connected(t);
  const Person = connection.model(
    'Person',
    new Schema(
      {
        name: { type: String, required: true, minlength: 2 },
        age: { type: Number, min: 0, max: 150 },
        role: { type: String, enum: ['owner', 'guest'] },
        mail: { type: String, match: /^\S+@\S+$/, validate: (value: string) => !value.endsWith('.invalid') },
        pets: [{ name: { type: String, required: true } }],
      },
      { strict: 'throw' },
    ),
  );
  const wrong = await failure(
    Person.create({ name: 'x', age: 200, role: 'king' as never, mail: 'nothing', pets: [{ name: 'Rex' }, {}] }),
  );
  t.strictSame(errorsOf(wrong), {
    name: 'ValidatorError',
    age: 'ValidatorError',
    role: 'ValidatorError',
    mail: 'ValidatorError',
    'pets.1.name': 'ValidatorError',
  });
  t.strictSame(errorsOf(await failure(Person.create({ name: 'Ada', age: 'old' as never }))), { age: 'CastError' });
  t.match(await failure(Person.find({ age: 'old' as never }).exec()), { name: 'CastError', path: 'age' });
  t.match(await failure(Person.updateOne({}, { age: -1 }, { runValidators: true }).exec()), {
    name: 'ValidationError',
  });
  t.match(await failure(Promise.resolve().then(() => Person.create({ name: 'Ada', strange: 1 } as never))), {
    name: 'StrictModeError',
  });
  t.equal(await Person.countDocuments(), 0);
});

t.test('indexes: made, told, unique, dropped when the schema drops them', async (t) => {
  const connection = await connected(t);
  const schema = new Schema({ mail: String, bot: Number, seen: Date, tags: [String], nick: String });
  schema.index({ mail: 1 }, { unique: true });
  schema.index({ bot: 1, seen: -1 });
  schema.index({ nick: 1 }, { unique: true, sparse: true });
  schema.index({ tags: 1 }, { partialFilterExpression: { bot: { $gt: 5 } } });
  schema.index({ seen: 1 }, { expireAfterSeconds: 3600 });
  const User = connection.model('User', schema);
  await User.init();
  t.strictSame((await User.listIndexes()).map(({ name }: { name?: string }) => name).sort(), [
    '_id_',
    'bot_1_seen_-1',
    'mail_1',
    'nick_1',
    'seen_1',
    'tags_1',
  ]);
  await User.create([{ mail: 'a@x' }, { mail: 'b@x' }]);

  const duplicate = { code: 11000, keyPattern: { mail: 1 }, keyValue: { mail: 'a@x' } };
  t.match(await failure(new User({ mail: 'a@x' }).save()), duplicate);
  t.match(await failure(User.findOneAndUpdate({ mail: 'b@x' }, { mail: 'a@x' }).exec()), duplicate);
  t.match(
    await failure(User.findOneAndUpdate({ bot: 77 }, { $set: { mail: 'a@x' } }, { upsert: true }).exec()),
    duplicate,
  );
  t.match(await failure(User.updateMany({}, { mail: 'a@x' }).exec()), { code: 11000 });
  t.match(await failure(User.insertMany([{ mail: 'c@x' }, { mail: 'a@x' }, { mail: 'd@x' }])), { code: 11000 });
  t.strictSame((await User.distinct('mail')).sort(), ['a@x', 'b@x', 'c@x'], 'ordered: up to the first that fails');
  const rest = await failure(User.insertMany([{ mail: 'e@x' }, { mail: 'a@x' }, { mail: 'f@x' }], { ordered: false }));
  t.match(rest, { code: 11000, insertedDocs: { length: 2 } });
  t.equal(await User.countDocuments(), 5);
  t.match(
    await failure(
      User.create(
        [
          { mail: 'g@x', nick: 'n' },
          { mail: 'h@x', nick: 'n' },
        ],
        { ordered: true },
      ),
    ),
    {
      code: 11000,
      keyPattern: { nick: 1 },
    },
  );

  connection.deleteModel('User');
  const fewer = new Schema({ mail: String, bot: Number, seen: Date });
  fewer.index({ mail: 1 });
  fewer.index({ bot: 1 });
  const Changed = connection.model('User', fewer);
  const { toDrop, toCreate } = await Changed.diffIndexes();
  t.strictSame(toDrop.sort(), ['bot_1_seen_-1', 'mail_1', 'nick_1', 'seen_1', 'tags_1']);
  t.strictSame(toCreate, [{ mail: 1 }, { bot: 1 }]);
  await Changed.syncIndexes();
  t.strictSame((await Changed.listIndexes()).map(({ name }: { name?: string }) => name).sort(), [
    '_id_',
    'bot_1',
    'mail_1',
  ]);
  await Changed.create({ mail: 'a@x' });
  t.equal(await Changed.countDocuments({ mail: 'a@x' }), 2, 'it is unique no more');
});

t.test('version keys: who saves what another has changed is told', async (t) => {
  const connection = await connected(t);
  const List = connection.model('List', new Schema({ items: [{ name: String }], title: String }));
  const { _id } = await List.create({ items: [{ name: 'a' }, { name: 'b' }, { name: 'c' }], title: 't' });
  const [first, second, third] = await Promise.all([1, 2, 3].map(() => List.findById(_id).orFail()));
  first?.items.splice(0, 1);
  await first?.save();
  t.equal(first?.__v, 1, 'a change of the array as a whole counts');
  if (second?.items[1] !== undefined) second.items[1].name = 'changed at a place that has moved';
  t.match(await failure(second?.save()), { name: 'VersionError' });
  third?.set('title', 'another field');
  await third?.save();
  t.match(await List.findById(_id).lean(), { __v: 1, title: 'another field', items: [{ name: 'b' }, { name: 'c' }] });

  const Account = connection.model('Account', new Schema({ balance: Number }, { optimisticConcurrency: true }));
  const account = await Account.create({ balance: 10 });
  const copies = await Promise.all(Array.from({ length: 5 }, () => Account.findById(account._id).orFail()));
  const outcomes = await Promise.allSettled(
    copies.map((copy, i) => {
      copy.balance = i;
      return copy.save();
    }),
  );
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1, 'one of five wins');
  t.ok(
    outcomes.every((one) => one.status === 'fulfilled' || (one.reason as Error).name === 'VersionError'),
    'the others are told why',
  );
  t.equal((await Account.findById(account._id).lean())?.__v, 1);
  await Account.deleteOne({ _id: account._id });
  copies[0]?.set('balance', 99);
  t.match(await failure(copies[0]?.save()), { name: /VersionError|DocumentNotFoundError/ });
});

t.test('populate: one, many, nested, virtual, with conditions, lean', async (t) => {
  const connection = await connected(t);
  const Author = connection.model(
    'Author',
    new Schema({ name: String, friends: [{ type: Types.ObjectId, ref: 'Author' }] }),
  );
  const bookSchema = new Schema(
    {
      title: String,
      year: Number,
      author: { type: Schema.Types.ObjectId, ref: 'Author' },
      readers: [{ type: Schema.Types.ObjectId, ref: 'Author' }],
      notes: [{ by: { type: Schema.Types.ObjectId, ref: 'Author' }, text: String }],
    },
    { toObject: { virtuals: true } },
  );
  const Book = connection.model('Book', bookSchema);
  const shelf = new Schema({ name: String });
  shelf.virtual('books', { ref: 'Book', localField: 'name', foreignField: 'title' });
  Author.schema.virtual('written', { ref: 'Book', localField: '_id', foreignField: 'author' });
  Author.schema.virtual('count', { ref: 'Book', localField: '_id', foreignField: 'author', count: true });
  const [ada, bob, eve] = await Author.create([{ name: 'Ada' }, { name: 'Bob' }, { name: 'Eve' }]);
  if (ada === undefined || bob === undefined || eve === undefined) throw new Error('not made');
  await Author.updateOne({ _id: ada._id }, { friends: [eve._id, bob._id] });
  const gone = new Types.ObjectId();
  await Book.create([
    {
      title: 'One',
      year: 1990,
      author: ada._id,
      readers: [eve._id, gone, bob._id],
      notes: [{ by: bob._id, text: 'good' }],
    },
    { title: 'Two', year: 2000, author: ada._id, readers: [] },
    { title: 'Three', year: 2010, author: gone },
  ]);

  const one = await Book.findOne({ title: 'One' })
    .populate<{ author: { name: string } }>('author', 'name')
    .populate<{ readers: { name: string }[] }>('readers')
    .populate<{ notes: { by: { name: string }; text: string }[] }>('notes.by')
    .lean()
    .orFail();
  t.equal(one.author.name, 'Ada');
  t.strictSame(
    one.readers.map(({ name }) => name),
    ['Eve', 'Bob'],
    'in their order, without what is gone',
  );
  t.match(one.notes, [{ by: { name: 'Bob' }, text: 'good' }]);
  const deep = await Book.findOne({ title: 'Two' })
    .populate({ path: 'author', populate: { path: 'friends', match: { name: /^B/ }, select: 'name -_id' } })
    .lean();
  t.match(deep, { author: { name: 'Ada', friends: [{ name: 'Bob' }] } });
  t.equal((await Book.findOne({ title: 'Three' }).populate('author').lean())?.author, null);
  const writers = await Author.find()
    .sort('name')
    .populate({ path: 'written', match: { year: { $gte: 1995 } }, options: { sort: { year: -1 } } })
    .populate('count')
    .lean<{ name: string; written: { title: string }[]; count: number }[]>();
  t.strictSame(
    writers.map(({ name, written, count }) => [name, written.map(({ title }) => title), count]),
    [
      ['Ada', ['Two'], 2],
      ['Bob', [], 0],
      ['Eve', [], 0],
    ],
  );
  const joined = await Book.aggregate([
    { $match: { year: { $lt: 2005 } } },
    { $sort: { year: 1 } },
    { $lookup: { from: 'authors', localField: 'author', foreignField: '_id', as: 'by' } },
    { $unwind: '$by' },
    { $group: { _id: '$by.name', titles: { $push: '$title' }, years: { $avg: '$year' } } },
  ]);
  t.strictSame(joined, [{ _id: 'Ada', titles: ['One', 'Two'], years: 1995 }]);
});

t.test('queries, cursors and lean', async (t) => {
  const connection = await connected(t);
  const Row = connection.model(
    'Row',
    new Schema({ n: Number, even: Boolean, word: String, sub: { a: Number, b: Number } }),
  );
  await Row.insertMany(
    Array.from({ length: 250 }, (_, n) => ({ n, even: n % 2 === 0, word: `w${n % 10}`, sub: { a: n, b: -n } })),
  );
  const seen: number[] = [];
  for await (const row of Row.find({ even: true }).sort({ n: -1 }).cursor({ batchSize: 7 })) seen.push(row.n as number);
  t.strictSame(
    seen,
    Array.from({ length: 125 }, (_, i) => 248 - i * 2),
  );
  let eachSum = 0;
  await Row.find()
    .lean()
    .cursor({ batchSize: 50 })
    .eachAsync(
      (rows) => {
        for (const row of rows) eachSum += row.n as number;
      },
      { batchSize: 20, parallel: 3 },
    );
  t.equal(eachSum, (249 * 250) / 2);
  const groups: unknown[] = [];
  for await (const one of Row.aggregate([{ $group: { _id: '$word', n: { $sum: 1 } } }, { $sort: { _id: 1 } }]).cursor({
    batchSize: 3,
  }))
    groups.push(one);
  t.equal(groups.length, 10);
  const [plain] = await Row.find({ n: 7 }).select('n sub.a -_id').lean();
  t.strictSame(plain, { n: 7, sub: { a: 7 } });
  t.strictSame(
    (await Row.find().sort('-n').skip(5).limit(3).lean()).map(({ n }) => n),
    [244, 243, 242],
  );
  t.strictSame((await Row.distinct('word', { n: { $lt: 3 } })).sort(), ['w0', 'w1', 'w2']);
  t.equal(await Row.countDocuments({ word: { $in: ['w1', 'w2'] }, n: { $not: { $gte: 100 } } }), 20);
  t.equal(await Row.estimatedDocumentCount(), 250);
  t.ok(await Row.exists({ n: 249 }));
  t.equal(await Row.exists({ n: 250 }), null);
  t.equal(await Row.where('n').gt(10).lte(20).where('even').equals(true).countDocuments(), 5);
  t.equal(
    (
      await Row.findOne()
        .or([{ n: 1000 }, { n: 3 }])
        .orFail()
    ).n,
    3,
  );
  t.match(await failure(Row.findOne({ n: 1000 }).orFail().exec()), { name: 'DocumentNotFoundError' });
});

t.test('updates in place: array filters, upserts with defaults, bulk', async (t) => {
  const connection = await connected(t);
  const Order = connection.model(
    'Order',
    new Schema(
      {
        number: { type: Number, required: true },
        state: { type: String, default: 'new' },
        items: [{ sku: String, quantity: Number, done: Boolean }],
      },
      { timestamps: true },
    ),
  );
  await Order.create({
    number: 1,
    items: [
      { sku: 'a', quantity: 1 },
      { sku: 'b', quantity: 5 },
      { sku: 'c', quantity: 9 },
    ],
  });
  const filtered = await Order.findOneAndUpdate(
    { number: 1 },
    { $set: { 'items.$[many].done': true }, $inc: { 'items.$[one].quantity': 2 } },
    { arrayFilters: [{ 'many.quantity': { $gte: 5 } }, { 'one.sku': 'a' }], returnDocument: 'after' },
  ).lean();
  t.match(filtered?.items, [
    { sku: 'a', quantity: 3 },
    { sku: 'b', quantity: 5, done: true },
    { sku: 'c', quantity: 9, done: true },
  ]);
  t.equal(filtered?.items[0]?.done, undefined);
  const before = await Order.findOneAndUpdate({ number: 1, 'items.sku': 'b' }, { $set: { state: 'open' } }).lean();
  t.equal(before?.state, 'new', 'as it was, unless asked otherwise');
  const upserted = await Order.findOneAndUpdate(
    { number: 2 },
    { $push: { items: { sku: 'z', quantity: 1 } } },
    { upsert: true, returnDocument: 'after', includeResultMetadata: true },
  );
  t.match(upserted, {
    lastErrorObject: { n: 1, updatedExisting: false },
    value: { number: 2, state: 'new', items: [{ sku: 'z' }] },
  });
  t.match(await Order.updateMany({ number: { $in: [1, 2] } }, { $pull: { items: { quantity: { $lt: 6 } } } }), {
    matchedCount: 2,
    modifiedCount: 2,
  });
  t.strictSame(
    (await Order.find().sort('number').lean()).map(({ items }) => items.map(({ sku }) => sku)),
    [['c'], []],
  );
  const written = await Order.bulkWrite([
    { insertOne: { document: { number: 3, items: [] } } },
    { updateOne: { filter: { number: 4 }, update: { state: 'made' }, upsert: true } },
    { updateMany: { filter: { number: { $gte: 1 } }, update: { $set: { state: 'all' } } } },
    { replaceOne: { filter: { number: 3 }, replacement: { number: 33, items: [] } } },
    { deleteOne: { filter: { number: 2 } } },
  ]);
  t.match(written, { insertedCount: 1, upsertedCount: 1, deletedCount: 1, modifiedCount: 5 });
  t.strictSame(
    (await Order.find().sort('number').lean()).map(({ number, state }) => [number, state]),
    [
      [1, 'all'],
      [4, 'all'],
      [33, 'new'],
    ],
  );
  const loaded = await Order.find().sort('number');
  for (const [i, order] of loaded.entries()) order.state = `bulk ${i}`;
  await Order.bulkSave(loaded);
  t.strictSame(
    (await Order.find().sort('number').lean()).map(({ state }) => state),
    ['bulk 0', 'bulk 1', 'bulk 2'],
  );
  t.match(
    await Order.findOneAndReplace({ number: 33 }, { number: 34, items: [] }, { returnDocument: 'after' }).lean(),
    {
      number: 34,
    },
  );
  t.match(await Order.findOneAndDelete({ number: 34 }).lean(), { number: 34 });
  t.match(await Order.deleteMany({ number: { $lte: 4 } }), { deletedCount: 2 });
  t.equal(await Order.countDocuments(), 0);
});

t.test('discriminators and middleware', async (t) => {
  const connection = await connected(t);
  const seen: string[] = [];
  const base = new Schema({ at: Number }, { discriminatorKey: 'kind' });
  base.pre('save', function () {
    seen.push(`before ${this.isNew ? 'insert' : 'update'}`);
  });
  base.post('findOneAndUpdate', () => {
    seen.push('after findOneAndUpdate');
  });
  const Event = connection.model('Event', base);
  const Click = Event.discriminator('Click', new Schema({ x: Number }));
  const Key = Event.discriminator('Key', new Schema({ code: String }));
  await Click.create({ at: 1, x: 10 });
  await Key.create({ at: 2, code: 'Enter' });
  t.strictSame(
    (await Event.find().sort('at')).map((event) => event.constructor === Click),
    [true, false],
  );
  t.equal(await Click.countDocuments(), 1);
  t.match(await Key.findOneAndUpdate({ at: 2 }, { code: 'Esc' }, { returnDocument: 'after' }).lean(), {
    kind: 'Key',
    code: 'Esc',
  });
  t.equal(await Click.findOneAndUpdate({ at: 2 }, { x: 1 }), null, 'of its own kind only');
  t.strictSame(seen, ['before insert', 'before insert', 'after findOneAndUpdate', 'after findOneAndUpdate']);
});

t.test('a transaction is refused by name and writes nothing', async (t) => {
  if (GIVEN_SERVER !== undefined) {
    t.comment('SKIP the server at MONGODB_URI may have transactions');
    return;
  }
  const connection = await connected(t);
  const Thing = connection.model('Thing', new Schema({ n: Number }));
  await Thing.createCollection();
  const refused = await failure(
    connection.transaction(async (session) => {
      await Thing.create([{ n: 1 }], { session });
    }),
  );
  t.match(refused.message, /transaction/i);
  t.equal(await Thing.countDocuments(), 0);
  await Thing.create({ n: 2 });
  t.equal(await Thing.countDocuments(), 1, 'the connection goes on');
});
