import { type Document as Bson, Long } from 'mongodb';
import mongoose, { Error as MongooseError, Schema, Types } from 'mongoose';
import t from 'tap';
import { failure } from '../../../support/server-failure.js';
import { byPath, connected, rejection } from './connection.js';

t.test('values of each schema type are stored as BSON of that type and read as they were', async (t) => {
  const connection = await connected(t);
  const schema = new Schema(
    {
      name: { type: String, required: true, trim: true, lowercase: true },
      kind: { type: String, enum: ['cup', 'plate'], default: 'cup' },
      active: { type: Boolean, default: true },
      count: { type: Number, default: () => 7 },
      price: Schema.Types.Decimal128,
      serial: Schema.Types.BigInt,
      stock: Schema.Types.Int32,
      weight: Schema.Types.Double,
      picture: Buffer,
      madeAt: Date,
      key: Schema.Types.UUID,
      maker: Schema.Types.ObjectId,
      size: { width: Number, unit: { type: String, default: 'mm' } },
      lines: [new Schema({ sku: { type: String, required: true }, quantity: { type: Number, default: 1 } })],
      labels: { type: Map, of: String },
      stars: { type: Map, of: new Schema({ sum: Number }, { _id: false }) },
      grid: [[Number]],
      more: Schema.Types.Mixed,
      empty: Schema.Types.Mixed,
      nothing: String,
    },
    { collection: 'products' },
  );
  const Product = connection.model('Product', schema);
  const made = await Product.create({
    name: '  Blue Cup ',
    price: '9.90',
    serial: 9_007_199_254_740_993n,
    stock: 5,
    weight: 2,
    picture: Buffer.from([0, 255, 10]),
    madeAt: new Date(1_700_000_000_123),
    key: '6f1c5c8e-3f3f-4f0e-9a52-0c4c7f6f8d11',
    maker: new Types.ObjectId('65a000000000000000000001'),
    size: { width: 80 },
    lines: [{ sku: 'a' }, { sku: 'b', quantity: 2.5 }],
    labels: { en: 'Cup', de: 'Tasse' },
    stars: new Map([['ann', { sum: 4 }]]),
    grid: [[1, 2], [], [3]],
    more: { any: [Long.fromNumber(3), { deep: null }] },
    empty: {},
    nothing: null,
    unknown: 'not in the schema',
  } as Bson);

  const stored = await connection.collection('products').findOne({}, { promoteValues: false });
  const typeOf = (value: unknown): unknown => (value as Bson | null)?._bsontype ?? value;
  t.strictSame(Object.fromEntries(Object.entries(stored ?? {}).map(([name, value]) => [name, typeOf(value)])), {
    name: 'blue cup',
    kind: 'cup',
    active: true,
    count: 'Int32',
    price: 'Decimal128',
    serial: 'Long',
    stock: 'Int32',
    weight: 'Double',
    picture: 'Binary',
    madeAt: new Date(1_700_000_000_123),
    key: 'Binary',
    maker: 'ObjectId',
    size: stored?.size,
    lines: stored?.lines,
    labels: { en: 'Cup', de: 'Tasse' },
    stars: stored?.stars,
    grid: stored?.grid,
    more: stored?.more,
    nothing: null,
    _id: 'ObjectId',
    __v: 'Int32',
  });
  t.equal(typeOf(stored?.more.any[0]), 'Long');
  t.equal(stored?.more.any[1].deep, null);
  t.equal(typeOf(stored?.lines[1].quantity), 'Double');
  t.equal(stored?.key.sub_type, 4, 'a UUID is a binary of subtype 4');

  const read = await Product.findById(made._id).orFail();
  t.equal(read.price?.toString(), '9.90');
  t.equal(read.serial, 9_007_199_254_740_993n);
  t.equal(Number(read.weight), 2);
  t.strictSame(read.picture && [...read.picture], [0, 255, 10]);
  t.equal(read.madeAt?.getTime(), 1_700_000_000_123);
  t.equal(String(read.key), '6f1c5c8e-3f3f-4f0e-9a52-0c4c7f6f8d11');
  t.equal(read.size?.unit, 'mm');
  t.strictSame(
    read.lines.map(({ sku, quantity, _id }) => [sku, quantity, _id instanceof Types.ObjectId]),
    [
      ['a', 1, true],
      ['b', 2.5, true],
    ],
  );
  t.strictSame(
    [...(read.labels ?? [])],
    [
      ['en', 'Cup'],
      ['de', 'Tasse'],
    ],
  );
  t.equal(read.stars?.get('ann')?.sum, 4);
  t.strictSame(read.toObject().grid, [[1, 2], [], [3]]);
  t.equal(read.nothing, null);
  t.equal(read.get('empty'), undefined, 'an empty object is not stored');

  const finds = async (filter: Bson): Promise<boolean> => (await Product.exists(filter)) !== null;
  for (const filter of [
    { price: '9.9' },
    { price: { $gt: '9.89', $lt: 10 } },
    { price: { $type: 'decimal' } },
    { serial: 9_007_199_254_740_993n },
    { weight: { $type: 'double' } },
    { picture: Buffer.from([0, 255, 10]) },
    { madeAt: { $gte: new Date(1_700_000_000_123), $lt: '2023-11-14T22:13:20.124Z' } },
    { key: '6F1C5C8E-3F3F-4F0E-9A52-0C4C7F6F8D11' },
    { maker: '65a000000000000000000001' },
    { 'labels.de': 'Tasse' },
    { 'stars.ann.sum': { $gte: 4 } },
    { lines: { $elemMatch: { sku: 'b', quantity: { $gt: 2 } } } },
    { 'lines._id': String(read.lines[1]?._id) },
    { grid: [3] },
    { 'grid.0.1': 2 },
    { nothing: null, empty: null },
  ])
    t.ok(await finds(filter), `found by ${mongoose.mongo.BSON.EJSON.stringify(filter)}`);
  for (const filter of [{ price: '9.91' }, { serial: 9_007_199_254_740_992n }, { 'labels.en': 'Tasse' }, { grid: [1] }])
    t.notOk(await finds(filter), `not found by ${mongoose.mongo.BSON.EJSON.stringify(filter)}`);

  read.labels?.set('fr', 'Tasse');
  read.labels?.set('en', 'Mug');
  read.labels?.delete('de');
  read.set('stars.ann.sum', 5);
  read.set('more.any.1.deep', 'changed');
  read.set('size.width', undefined);
  await read.save();
  await Product.updateOne({ _id: made._id }, { $inc: { price: '0.15', serial: 1n, 'stars.ann.sum': 1 } });
  const changed = await Product.findById(made._id).orFail().lean({ defaults: false });
  t.match(changed.labels, { en: 'Mug', fr: 'Tasse' });
  t.notOk(Object.hasOwn(changed.labels ?? {}, 'de'));
  t.strictSame(changed.stars, { ann: { sum: 6 } });
  t.equal((changed.more as Bson).any[1].deep, 'changed');
  t.strictSame(changed.size, { unit: 'mm' });
  t.equal(String(changed.price), '10.05');
  t.equal(BigInt(String(changed.serial)), 9_007_199_254_740_994n);
});

t.test('what is not valid names its field and writes nothing', async (t) => {
  const connection = await connected(t);
  const schema = new Schema(
    {
      email: { type: String, required: [true, 'an email is needed'], match: [/^\S+@\S+$/, 'no email: {VALUE}'] },
      age: { type: Number, min: 18, max: 120 },
      role: { type: String, enum: { values: ['reader', 'writer'], message: '{VALUE} is no role' } },
      nick: {
        type: String,
        minlength: 2,
        maxlength: 5,
        validate: {
          async validator(this: unknown, nick: string): Promise<boolean> {
            const own = this instanceof User ? this._id : null;
            return (await User.exists({ nick, _id: { $ne: own } })) === null;
          },
          message: 'taken',
        },
      },
      address: { city: { type: String, required: true, default: 'Paris' } },
      orders: [{ sku: { type: String, required: true }, quantity: { type: Number, min: 1 } }],
      scores: { type: Map, of: { type: Number, max: 10 } },
      tags: { type: [String], validate: [(tags: string[]) => tags.length <= 2, 'too many'] },
    },
    { collection: 'users' },
  );
  const User = connection.model('User', schema);
  const { ValidationError } = MongooseError;

  const bad = {
    email: 'nobody',
    age: 17,
    role: 'king',
    nick: 'x',
    address: { city: '' },
    orders: [{ sku: 'a', quantity: 1 }, { quantity: 0 }],
    scores: { math: 11 },
    tags: ['a', 'b', 'c'],
  };
  const error = await rejection(ValidationError, new User(bad).save());
  t.match(byPath(error), {
    email: 'no email: nobody',
    age: /\(17\) is less than minimum allowed value \(18\)/,
    role: 'king is no role',
    nick: /shorter than the minimum/,
    'address.city': /required/,
    'orders.1.sku': /required/,
    'orders.1.quantity': /less than minimum/,
    'scores.math': /more than maximum/,
    tags: 'too many',
  });
  t.equal(Object.keys(error.errors).length, 9);
  const cast = await rejection(ValidationError, new User({ email: 'a@x', age: 'old' }).save());
  t.equal(cast.errors.age?.name, 'CastError');
  const many = await rejection(ValidationError, User.insertMany([{ email: 'a@x' }, { age: 5 }]));
  t.match(byPath(many), { age: /less than minimum/, email: 'an email is needed' });
  await rejection(ValidationError, User.bulkSave([new User({ email: 'a@x' }), new User({})]));
  t.equal(await User.estimatedDocumentCount(), 0, 'nothing was written');

  const loose = await User.insertMany([{ email: 'a@x', nick: 'ann' }, { age: 5 }, { email: 'b@x', age: 20 }], {
    ordered: false,
    rawResult: true,
  });
  t.equal(loose.insertedCount, 2);
  t.match(loose.mongoose?.validationErrors, [{ errors: { email: { message: 'an email is needed' } } }]);
  const taken = await rejection(ValidationError, User.create({ email: 'c@x', nick: 'ann' }));
  t.strictSame(byPath(taken), { nick: 'taken' }, 'a validator that asks the store');

  const before = await User.find().sort('email').lean();
  const checked = { runValidators: true };
  const updates: [Promise<unknown>, string][] = [
    [User.updateOne({ email: 'a@x' }, { age: 5 }, checked).exec(), 'age'],
    [User.updateMany({}, { $set: { role: 'king' } }, checked).exec(), 'role'],
    [User.findOneAndUpdate({ email: 'a@x' }, { $unset: { email: 1 } }, checked).exec(), 'email'],
    [User.findOneAndUpdate({ email: 'd@x' }, { age: 3 }, { ...checked, upsert: true }).exec(), 'age'],
    [User.updateOne({ email: 'a@x' }, { $push: { orders: { quantity: 2 } } }, checked).exec(), 'orders.sku'],
  ];
  for (const [update, path] of updates) {
    const { errors } = await rejection(ValidationError, update);
    t.ok(
      Object.keys(errors).some((name) => name === path || path.startsWith(`${name}.`)),
      `${path} is named`,
    );
  }
  const loaded = await User.findOne({ email: 'a@x' }).orFail();
  loaded.age = 200;
  t.strictSame(Object.keys((await rejection(ValidationError, loaded.save())).errors), ['age']);
  const filter = await rejection(MongooseError.CastError, User.findOne({ _id: 'no id' }).exec());
  t.match(filter, { path: '_id', value: 'no id', kind: 'ObjectId' });
  const strict = await rejection(
    MongooseError.StrictModeError,
    User.updateOne({ email: 'a@x' }, { nmae: 'x' }, { strict: 'throw' }).exec(),
  );
  t.equal(strict.path, 'nmae');
  t.strictSame(await User.find().sort('email').lean(), before, 'no update was written');
});

t.test('a copy that is out of date is not saved over another', async (t) => {
  const connection = await connected(t);
  const { VersionError } = MongooseError;
  const Post = connection.model('Post', new Schema({ title: String, tags: [String], comments: [{ text: String }] }));
  const made = await Post.create({ title: 'one', tags: ['a', 'b', 'c'], comments: [{ text: 'x' }, { text: 'y' }] });
  const load = () => Post.findById(made._id).orFail();
  const stored = () => Post.findById(made._id).orFail().lean();
  t.equal(made.__v, 0);

  let [first, second] = [await load(), await load()];
  (first.tags as Types.Array<string>).pull('a');
  await first.save();
  t.equal((await stored()).__v, 1, 'an array that shrank is a new version');
  second.comments.splice(0, 1);
  second.title = 'two';
  const refused = await rejection(VersionError, second.save());
  t.equal(refused.version, 0);
  t.strictSame(refused.modifiedPaths.sort(), ['comments', 'title']);
  t.match(await stored(), { title: 'one', comments: [{ text: 'x' }, { text: 'y' }], tags: ['b', 'c'] });

  [first, second] = [await load(), await load()];
  first.comments.push({ text: 'z' });
  second.tags.push('d');
  await first.save();
  await second.save();
  t.match(
    await stored(),
    { tags: ['b', 'c', 'd'], comments: [{}, {}, { text: 'z' }], __v: 3 },
    'appending meets nobody',
  );
  [first, second] = [await load(), await load()];
  first.comments.shift();
  await first.save();
  second.comments[1]?.set('text', 'lost');
  await rejection(VersionError, second.save());
  t.strictSame(
    (await stored()).comments.map(({ text }) => text),
    ['y', 'z'],
  );
  [first, second] = [await load(), await load()];
  first.increment();
  await first.save();
  t.equal((await stored()).__v, 5);
  second.title = 'three';
  await second.save();
  t.match(await stored(), { title: 'three', __v: 5 }, 'a field alone asks for no version');
  await Post.deleteOne({ _id: made._id });
  second.title = 'four';
  await rejection(MongooseError.DocumentNotFoundError, second.save());
  t.equal(await Post.countDocuments(), 0, 'a document that is gone is not made again');

  const strict = new Schema({ name: String, left: Number, note: String }, { optimisticConcurrency: true });
  const Seat = connection.model('Seat', strict);
  const seat = await Seat.create({ name: 'A1', left: 1 });
  const copies = await Promise.all([1, 2, 3].map(() => Seat.findById(seat._id).orFail()));
  const saves = await Promise.allSettled(
    copies.map((copy, i) => {
      copy.note = `by ${i}`;
      return copy.save();
    }),
  );
  const won = saves.findIndex(({ status }) => status === 'fulfilled');
  t.equal(saves.filter(({ status }) => status === 'fulfilled').length, 1);
  t.ok(saves.every((save) => save.status === 'fulfilled' || save.reason instanceof VersionError));
  t.match(await Seat.findById(seat._id).lean(), { note: `by ${won}`, __v: 1 });

  const chosen = new Schema({ left: Number, note: String }, { optimisticConcurrency: ['left'], versionKey: 'version' });
  const Ticket = connection.model('Ticket', chosen);
  const ticket = await Ticket.create({ left: 3 });
  const [one, two] = [await Ticket.findById(ticket._id).orFail(), await Ticket.findById(ticket._id).orFail()];
  one.left = 2;
  await one.save();
  two.note = 'free of it';
  await two.save();
  two.left = 9;
  await rejection(VersionError, two.save());
  t.match(await Ticket.findById(ticket._id).lean(), { left: 2, note: 'free of it', version: 1 });
});

t.test('timestamps', async (t) => {
  const connection = await connected(t);
  let now = 1_000;
  const tick = (): void => {
    now += 1_000;
  };
  const schema = new Schema(
    {
      name: String,
      n: Number,
      parts: [new Schema({ x: Number }, { timestamps: { currentTime: () => new Date(now) } })],
    },
    { timestamps: { createdAt: 'made', updatedAt: 'changed', currentTime: () => new Date(now) }, collection: 'notes' },
  );
  const Note = connection.model('Note', schema);
  const times = async (name: string): Promise<unknown[]> => {
    const note = await connection.collection('notes').findOne({ name });
    return [note?.made, note?.changed].map((at) => (at instanceof Date ? at.getTime() : at));
  };
  const a = await Note.create({ name: 'a' });
  t.strictSame(await times('a'), [1_000, 1_000]);
  a.set('n', 1);
  tick();
  await a.save();
  t.strictSame(await times('a'), [1_000, 2_000]);
  tick();
  await a.save();
  t.strictSame(await times('a'), [1_000, 2_000], 'a save without a change changes nothing');
  await Note.updateOne({ name: 'a' }, { n: 2 });
  t.strictSame(await times('a'), [1_000, 3_000]);
  tick();
  await Note.findOneAndUpdate({ name: 'b' }, { n: 1 }, { upsert: true });
  t.strictSame(await times('b'), [4_000, 4_000], 'an upsert makes both');
  tick();
  await Note.findOneAndUpdate({ name: 'b' }, { $inc: { n: 1 } }, { upsert: true });
  t.strictSame(await times('b'), [4_000, 5_000], 'a second one only one');
  await Note.insertMany([{ name: 'c' }, { name: 'd', made: new Date(7) } as Bson]);
  t.strictSame(
    [await times('c'), await times('d')],
    [
      [5_000, 5_000],
      [7, 5_000],
    ],
  );
  tick();
  await Note.bulkWrite([
    { insertOne: { document: { name: 'e' } } },
    { updateOne: { filter: { name: 'c' }, update: { n: 9 } } },
    { updateMany: { filter: { name: 'f' }, update: { $set: { n: 9 } }, upsert: true } },
    { replaceOne: { filter: { name: 'd' }, replacement: { name: 'd' } } },
  ]);
  t.strictSame(
    [await times('e'), await times('c'), await times('f'), await times('d')],
    [
      [6_000, 6_000],
      [5_000, 6_000],
      [6_000, 6_000],
      [6_000, 6_000],
    ],
  );
  tick();
  await Note.updateMany({}, { $set: { n: 0 } }, { timestamps: false });
  t.strictSame(await times('a'), [1_000, 3_000], 'not when they are left out');
  await Note.updateOne({ name: 'a' }, { $push: { parts: { x: 1 } } });
  const part = (await Note.findOne({ name: 'a' }).lean())?.parts[0] as Bson | undefined;
  t.strictSame([part?.createdAt, part?.updatedAt], [new Date(7_000), new Date(7_000)], 'subdocuments have their own');
  t.equal(await Note.countDocuments({ changed: { $gte: new Date(7_000) } }), 1);
});

t.test('arrays of a document are changed and saved', async (t) => {
  const connection = await connected(t);
  const List = connection.model(
    'List',
    new Schema({
      words: [String],
      rows: [{ name: String, n: Number, sub: [{ x: Number }] }],
      grid: [[Number]],
      any: {},
    }),
  );
  const list = await List.create({ words: ['a', 'b'], rows: [{ name: 'r1', n: 1 }], any: { list: [1] } });
  const stored = async (): Promise<Bson> => (await connection.collection('lists').findOne({ _id: list._id })) ?? {};
  const words = list.words as Types.Array<string>;
  const save = async (change: () => unknown): Promise<Bson> => {
    change();
    await list.save();
    t.notOk(list.isModified());
    return stored();
  };
  const wordsAfter = async (change: () => unknown): Promise<unknown> => (await save(change)).words;
  t.strictSame(await wordsAfter(() => words.push('c', 'd')), ['a', 'b', 'c', 'd']);
  t.strictSame(await wordsAfter(() => words.addToSet('a', 'e')), ['a', 'b', 'c', 'd', 'e']);
  t.strictSame(await wordsAfter(() => words.pull('b', 'e')), ['a', 'c', 'd']);
  t.strictSame(await wordsAfter(() => words.splice(1, 1, 'x', 'y')), ['a', 'x', 'y', 'd']);
  t.strictSame(await wordsAfter(() => words.set(1, 'z')), ['a', 'z', 'y', 'd']);
  t.strictSame(await wordsAfter(() => words.unshift('0')), ['0', 'a', 'z', 'y', 'd']);
  t.strictSame(await wordsAfter(() => words.shift()), ['a', 'z', 'y', 'd']);
  t.strictSame(await wordsAfter(() => words.pop()), ['a', 'z', 'y']);
  t.strictSame(await wordsAfter(() => words.$pop()), ['a', 'z']);
  t.strictSame(await wordsAfter(() => words.$shift()), ['z']);
  t.strictSame(await wordsAfter(() => words.push({ $each: ['1', '2'], $position: 0 } as never)), ['1', '2', 'z']);
  t.strictSame(await wordsAfter(() => words.sort().reverse()), ['z', '2', '1']);
  t.strictSame(await wordsAfter(() => words.nonAtomicPush('w')), ['z', '2', '1', 'w']);
  t.strictSame(await wordsAfter(() => list.set('words.0', 'Z')), ['Z', '2', '1', 'w']);
  t.strictSame(await wordsAfter(() => list.set('words', ['all', 'new'])), ['all', 'new']);

  const rowsAfter = async (change: () => unknown): Promise<unknown> =>
    (await save(change)).rows.map(({ name, n, sub }: Bson) => `${name} ${n} [${sub.map(({ x }: Bson) => x)}]`);
  const { rows } = list;
  t.strictSame(await rowsAfter(() => rows.push({ name: 'r2', n: 2, sub: [{ x: 1 }] })), ['r1 1 []', 'r2 2 [1]']);
  t.strictSame(await rowsAfter(() => rows.id(rows[1]?._id ?? '')?.set('n', 5)), ['r1 1 []', 'r2 5 [1]']);
  t.strictSame(await rowsAfter(() => rows[1]?.sub.push({ x: 2 }, { x: 3 })), ['r1 1 []', 'r2 5 [1,2,3]']);
  t.strictSame(await rowsAfter(() => rows[1]?.sub.pull(rows[1].sub[0]?._id)), ['r1 1 []', 'r2 5 [2,3]']);
  t.strictSame(await rowsAfter(() => rows.unshift({ name: 'r0' })), ['r0 undefined []', 'r1 1 []', 'r2 5 [2,3]']);
  t.strictSame(await rowsAfter(() => rows.id(rows[1]?._id ?? '')?.deleteOne()), ['r0 undefined []', 'r2 5 [2,3]']);
  t.strictSame(await rowsAfter(() => rows.splice(0, 1)), ['r2 5 [2,3]']);
  t.strictSame(await rowsAfter(() => rows.set(0, { name: 'r9', n: 9 } as never)), ['r9 9 []']);

  t.strictSame((await save(() => list.set('grid', [[1], [2, 3]]))).grid, [[1], [2, 3]]);
  t.strictSame((await save(() => list.get('grid.1').push(4))).grid, [[1], [2, 3, 4]]);
  t.strictSame((await save(() => list.set('any.list', [1, { two: 2 }]))).any, { list: [1, { two: 2 }] });
  const any = await save(() => {
    list.any.list[1].two = 3;
    list.markModified('any');
  });
  t.strictSame(any.any, { list: [1, { two: 3 }] });
  const one = await List.findById(list._id).orFail();
  const two = await List.findById(list._id).orFail();
  one.words.push('from one');
  two.words.push('from two');
  await Promise.all([one.save(), two.save()]);
  t.strictSame((await stored()).words.sort(), ['all', 'from one', 'from two', 'new'], 'both are appended');
  t.equal(await List.countDocuments({ 'rows.0.name': 'r9', words: { $size: 4 }, 'grid.1.2': 4 }), 1);
});

t.test('discriminators', async (t) => {
  const connection = await connected(t);
  const base = new Schema({ _id: Number, at: Date }, { discriminatorKey: 'kind', collection: 'events' });
  const shape = new Schema({ name: String }, { discriminatorKey: 'type', _id: false });
  base.add({ shapes: [shape] });
  base
    .path<Schema.Types.DocumentArray>('shapes')
    .discriminator('circle', new Schema({ radius: Number }, { _id: false }));
  base.path<Schema.Types.DocumentArray>('shapes').discriminator('square', new Schema({ side: Number }, { _id: false }));
  const Event = connection.model('Event', base);
  const Click = Event.discriminator(
    'Click',
    new Schema({ x: { type: Number, required: true } }).index({ x: 1 }, { unique: true }),
    'click',
  );
  const Login = Event.discriminator('Login', new Schema({ user: String }));
  await Promise.all([Event.init(), Click.init(), Login.init()]);
  await Event.create({ _id: 1 });
  await Click.create([
    { _id: 2, x: 5 },
    { _id: 3, x: 6 },
  ]);
  await Login.create({ _id: 4, user: 'ann', x: 5 } as Bson);
  await Event.insertMany([
    { _id: 5, kind: 'Login', user: 'bob' },
    { _id: 6, kind: 'click', x: 7 },
  ] as Bson[]);

  t.strictSame(
    await connection.collection<Bson>('events').find().sort({ _id: 1 }).project({ kind: 1, x: 1, user: 1 }).toArray(),
    [
      { _id: 1 },
      { kind: 'click', _id: 2, x: 5 },
      { kind: 'click', _id: 3, x: 6 },
      { kind: 'Login', _id: 4, user: 'ann' },
      { kind: 'Login', _id: 5, user: 'bob' },
      { kind: 'click', _id: 6, x: 7 },
    ],
  );
  const ids = (found: readonly { _id?: unknown }[]): unknown[] => found.map(({ _id }) => _id);
  t.strictSame(ids(await Click.find().sort('_id')), [2, 3, 6]);
  t.strictSame(ids(await Login.find({ user: /^b/ })), [5]);
  t.equal(await Click.countDocuments(), 3);
  t.strictSame((await Event.distinct('kind')).sort(), ['Login', 'click']);
  const mixed = await Event.find().sort('_id');
  t.strictSame(
    mixed.map((one) => [one instanceof Click, one instanceof Login]),
    [
      [false, false],
      [true, false],
      [true, false],
      [false, true],
      [false, true],
      [true, false],
    ],
  );
  t.equal(await Click.findById(4), null, 'one of another kind is not found');
  t.match(await Click.updateMany({}, { $inc: { x: 10 } }), { matchedCount: 3, modifiedCount: 3 });
  t.match(await Event.findOneAndUpdate({ _id: 2, kind: 'click' }, { x: '50' } as Bson, { returnDocument: 'after' }), {
    x: 50,
  });
  t.match(await failure(Click.create({ _id: 7, x: 50 })), { code: 11_000, keyValue: { x: 50 } });
  t.match(byPath(await rejection(MongooseError.ValidationError, Click.create({ _id: 8 } as never))), { x: /required/ });
  t.strictSame(
    ids(await Click.aggregate([{ $sort: { x: -1 } }, { $project: { _id: 1 } }])),
    [2, 6, 3],
    'an aggregation begins with the kind',
  );
  t.match(
    await Event.findOneAndUpdate({ _id: 4 }, { kind: 'click', x: 77 } as Bson, {
      overwriteDiscriminatorKey: true,
      returnDocument: 'after',
    }),
    { kind: 'click', x: 77 },
  );
  t.equal((await Login.deleteMany()).deletedCount, 1);
  t.strictSame(ids(await Event.find().sort('_id')), [1, 2, 3, 4, 6]);

  const drawn = [
    { type: 'circle', name: 'c', radius: 1 },
    { type: 'square', name: 's', side: 2, radius: 9 },
  ];
  const event = await Event.create({ _id: 20, shapes: drawn } as Bson);
  event.get('shapes').push({ type: 'circle', radius: 4 });
  await event.save();
  await Event.updateOne({ _id: 20 }, { $set: { 'shapes.$[round].radius': 8 } } as Bson, {
    arrayFilters: [{ 'round.type': 'circle', 'round.radius': { $gt: 3 } }],
  });
  t.strictSame((await connection.collection<{ _id: number } & Bson>('events').findOne({ _id: 20 }))?.shapes, [
    { type: 'circle', name: 'c', radius: 1 },
    { type: 'square', name: 's', side: 2 },
    { type: 'circle', radius: 8 },
  ]);
});

t.test('middleware', async (t) => {
  const connection = await connected(t);
  const calls: string[] = [];
  const schema = new Schema({
    _id: Number,
    name: { type: String, unique: true },
    slug: String,
    gone: Boolean,
    n: Number,
  });
  schema.pre('validate', function () {
    calls.push('validate');
    this.slug = this.name?.toLowerCase() ?? null;
  });
  schema.pre('save', function () {
    calls.push(`save ${this.isNew}`);
    if (this.name === 'Forbidden') throw new Error('not this name');
  });
  schema.post('save', (doc: { _id?: unknown }) => void calls.push(`saved ${doc._id}`));
  schema.post('save', (error: Bson, _doc: unknown, next: (error: Error) => void) => {
    next(error.code === 11_000 ? new Error(`${Object.keys(error.keyPattern)} is taken`) : (error as Error));
  });
  schema.pre(/^find/, function (this: mongoose.Query<unknown, unknown>) {
    this.where({ gone: { $ne: true } });
  });
  schema.pre('findOneAndUpdate', function () {
    this.set({ n: 7 });
  });
  schema.post('findOneAndUpdate', (doc: { n?: number | null }) => void calls.push(`updated ${doc.n}`));
  schema.pre('insertMany', (docs: Bson[]) => {
    for (const doc of docs) doc.n = 1;
  });
  schema.pre('aggregate', function () {
    this.pipeline().unshift({ $match: { gone: { $ne: true } } });
  });
  schema.pre('deleteOne', { document: true, query: false }, function () {
    calls.push(`delete ${this._id}`);
  });
  schema.pre('updateMany', { document: false, query: true }, () => {
    throw new Error('not many');
  });
  schema.post('init', (doc: { _id?: unknown }) => void calls.push(`init ${doc._id}`));
  const Page = connection.model('Page', schema);
  await Page.init();
  const during = async (run: () => Promise<unknown>): Promise<string[]> => {
    calls.length = 0;
    await run();
    return calls.splice(0);
  };

  t.strictSame(await during(() => Page.create({ _id: 1, name: 'Home' })), ['validate', 'save true', 'saved 1']);
  await t.rejects(Page.create({ _id: 2, name: 'Forbidden' }), { message: 'not this name' });
  await t.rejects(Page.create({ _id: 2, name: 'Home' }), { message: 'name is taken' });
  await t.rejects(Page.updateMany({}, { n: 100 }), { message: 'not many' });
  await Page.insertMany([
    { _id: 3, name: 'Old', gone: true },
    { _id: 4, name: 'New' },
  ]);
  const raw = (): Promise<Bson[]> =>
    connection.collection<Bson>('pages').find().sort({ _id: 1 }).project({ _id: 1, n: 1, slug: 1 }).toArray();
  t.strictSame(await raw(), [
    { _id: 1, slug: 'home' },
    { _id: 3, n: 1, slug: 'old' },
    { _id: 4, n: 1, slug: 'new' },
  ]);
  t.strictSame(
    await during(async () => {
      t.strictSame(
        (await Page.find().sort('_id')).map(({ _id }) => _id),
        [1, 4],
      );
    }),
    ['init 1', 'init 4'],
  );
  t.equal(await Page.findOne({ _id: 3 }), null);
  t.strictSame(await Page.aggregate([{ $group: { _id: null, n: { $sum: 1 } } }]), [{ _id: null, n: 2 }]);
  t.strictSame(await during(() => Page.findOneAndUpdate({ _id: 4 }, { name: 'Newer' }, { returnDocument: 'after' })), [
    'init 4',
    'updated 7',
  ]);
  const page = await Page.findById(4).orFail();
  t.strictSame(await during(() => page.deleteOne()), ['delete 4']);
  t.strictSame(
    (await raw()).map(({ _id }) => _id),
    [1, 3],
  );
});
