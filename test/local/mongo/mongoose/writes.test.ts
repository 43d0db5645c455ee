import type { Document as Bson } from 'mongodb';
import mongoose, { Schema } from 'mongoose';
import t from 'tap';
import { GIVEN_SERVER } from '../../../support/given-server.js';
import { failure } from '../../../support/server-failure.js';
import { connected, says, TRANSACTIONAL } from './connection.js';

t.test('one document is found and changed', async (t) => {
  const connection = await connected(t);
  const schema = new Schema({
    _id: Number,
    state: { type: String, default: 'new' },
    level: { type: Number, default: 1 },
    tries: Number,
    items: [{ _id: false, sku: String, count: Number, tags: [String] }],
  });
  const Job = connection.model('Job', schema);
  const stored = () => connection.collection<Bson>('jobs').find().sort({ _id: 1 }).toArray();
  const items = [
    { sku: 'a', count: 1 },
    { sku: 'b', count: 5, tags: ['x'] },
    { sku: 'a', count: 7 },
  ];
  await Job.create([
    { _id: 1, tries: 0, items },
    { _id: 2, tries: 2 },
    { _id: 3, tries: 1 },
  ]);

  t.match(await Job.findOneAndUpdate({ _id: 1 }, { state: 'run' }, { returnDocument: 'before' }), { state: 'new' });
  t.match(await Job.findOneAndUpdate({ _id: 1 }, { state: 'done' }), { state: 'run' }, 'before by default');
  t.match(await Job.findOneAndUpdate({ _id: 1 }, { $inc: { tries: 1 } }, { returnDocument: 'after' }), { tries: 1 });
  t.match(await Job.findByIdAndUpdate(1, { $inc: { tries: 1 } }, { new: true }), { tries: 2, state: 'done' });
  const next = await Job.findOneAndUpdate(
    { state: 'new' },
    { state: 'run' },
    { sort: { tries: 1 }, projection: 'state' },
  );
  t.strictSame(next?.toObject(), { _id: 3, state: 'new' }, 'the first by the sort, of it what is asked for');
  const raw = await Job.findOneAndUpdate({ _id: 9 }, { tries: 4 }, { upsert: true, includeResultMetadata: true });
  t.match(raw, { value: null, lastErrorObject: { n: 1, updatedExisting: false, upserted: 9 } });
  t.match((await stored())[3], { _id: 9, tries: 4, state: 'new', level: 1, items: [], __v: 0 }, 'with its defaults');
  const upsert = { upsert: true, returnDocument: 'after', setDefaultsOnInsert: false } as const;
  t.strictSame(
    await Job.findOneAndUpdate({ _id: 10, level: 3 }, { $setOnInsert: { tries: 5 } }, upsert).lean({ defaults: false }),
    { _id: 10, level: 3, tries: 5, __v: 0 },
  );
  t.match(await Job.findOneAndUpdate({ _id: 10 }, { $setOnInsert: { tries: 6 }, level: 4 }, upsert), {
    tries: 5,
    level: 4,
  });
  t.equal(await Job.findOneAndUpdate({ _id: 99 }, { level: 4 }, { returnDocument: 'after' }), null);

  const found = await Job.findOneAndUpdate(
    { _id: 1 },
    { $inc: { 'items.$[cheap].count': 10 }, $push: { 'items.$[other].tags': { $each: ['z', 'y'], $sort: 1 } } },
    { arrayFilters: [{ 'cheap.sku': 'a', 'cheap.count': { $lt: 5 } }, { 'other.sku': 'b' }], returnDocument: 'after' },
  ).lean();
  t.match(found?.items, [{ count: 11 }, { count: 5, tags: ['x', 'y', 'z'] }, { count: 7 }]);
  const positional = Job.findOneAndUpdate(
    { _id: 1, 'items.sku': 'b' },
    { $set: { 'items.$.count': 6 } },
    { returnDocument: 'after', projection: 'items.count' },
  );
  says(
    t,
    await positional.lean().catch(({ code }: Bson) => ({ code })),
    { _id: 1, items: [{ count: 11 }, { count: 6 }, { count: 7 }] },
    'the positional operator in findAndModify',
  );
  const matched = { _id: 1, items: { $elemMatch: { sku: 'b', tags: 'x' } } };
  await Job.updateOne(matched, { $unset: { 'items.$.count': 1 }, $pop: { 'items.$.tags': -1 } });
  t.strictSame((await Job.findById(1).lean())?.items[1], { sku: 'b', tags: ['y', 'z'] });
  await Job.updateMany({}, { $pull: { items: { sku: 'a', count: { $gt: 7 } } } });
  t.equal((await Job.updateOne({ _id: 1 }, { $set: { 'items.$[].count': 0 } })).modifiedCount, 1);
  t.strictSame(
    (await Job.findById(1).lean())?.items.map(({ count }) => count),
    [0, 0],
  );
  const piped = [{ $set: { level: { $add: ['$tries', 100] }, state: { $concat: ['$state', '!'] } } }];
  t.match(await Job.findOneAndUpdate({ _id: 1 }, piped, { updatePipeline: true, returnDocument: 'after' }), {
    level: 102,
    state: 'done!',
  });

  const replaced = await Job.findOneAndReplace({ _id: 1 }, { level: 8 }, { returnDocument: 'after' }).lean({
    defaults: false,
  });
  t.strictSame(replaced, { _id: 1, level: 8, state: 'new', items: [] }, 'nothing of the old one is left');
  t.match(await Job.findOneAndDelete({ tries: { $gte: 2 } }, { sort: '-tries' }), { _id: 10, tries: 5 });
  t.match(await Job.findByIdAndDelete(9), { _id: 9 });
  t.equal(await Job.findByIdAndDelete(9), null);
  t.strictSame(
    (await stored()).map(({ _id }) => _id),
    [1, 2, 3],
  );
});

t.test('many documents are changed', async (t) => {
  const connection = await connected(t);
  const schema = new Schema({
    _id: Number,
    name: { type: String, unique: true, sparse: true },
    n: Number,
    tags: [String],
  });
  const Item = connection.model('Item', schema);
  await Item.init();
  const numbers = async (): Promise<unknown> =>
    (await Item.find().sort('_id').lean()).map(({ _id, n }) => [_id, n ?? null]);
  t.equal((await Item.insertMany([1, 2, 3, 4].map((n) => ({ _id: n, n })))).length, 4);
  t.strictSame(await Item.insertMany([]), []);

  t.match(await Item.updateMany({ n: { $gte: 3 } }, { $mul: { n: 10 } }), {
    matchedCount: 2,
    modifiedCount: 2,
    upsertedCount: 0,
  });
  t.match(await Item.updateMany({}, { $max: { n: 30 } }), { matchedCount: 4, modifiedCount: 2 });
  t.match(await Item.updateOne({ _id: 9 }, { n: 1 }), {
    acknowledged: true,
    matchedCount: 0,
    modifiedCount: 0,
    upsertedId: null,
  });
  t.match(await Item.updateOne({ _id: 9 }, { n: 1 }, { upsert: true }), {
    matchedCount: 0,
    upsertedCount: 1,
    upsertedId: 9,
  });
  t.match(await Item.replaceOne({ _id: 9 }, { n: 2 }), { matchedCount: 1, modifiedCount: 1 });
  t.strictSame(await numbers(), [
    [1, 30],
    [2, 30],
    [3, 30],
    [4, 40],
    [9, 2],
  ]);

  const bulk = await Item.bulkWrite([
    { insertOne: { document: { _id: 20, n: 1 } } },
    { updateOne: { filter: { _id: 1 }, update: { n: 100 } } },
    { updateMany: { filter: { n: 30 }, update: { $inc: { n: 1 }, $addToSet: { tags: 'x' } } } },
    { updateOne: { filter: { _id: 21 }, update: { $set: { n: 5 } }, upsert: true } },
    { replaceOne: { filter: { _id: 4 }, replacement: { n: 0 } } },
    { deleteOne: { filter: { _id: 9 } } },
    { deleteMany: { filter: { n: { $gt: 10_000 } } } },
  ]);
  t.match(bulk, {
    insertedCount: 1,
    matchedCount: 4,
    modifiedCount: 4,
    deletedCount: 1,
    upsertedCount: 1,
    upsertedIds: { 3: 21 },
  });
  t.strictSame(await numbers(), [
    [1, 100],
    [2, 31],
    [3, 31],
    [4, 0],
    [20, 1],
    [21, 5],
  ]);
  t.equal(await Item.countDocuments({ tags: 'x' }), 2);
  await Item.updateMany({ n: { $gte: 31 } }, [{ $set: { copy: '$n' } }], { updatePipeline: true, strict: false });
  t.strictSame((await Item.distinct('copy')).sort(), [100, 31]);
  const loose = await failure(
    Item.bulkWrite(
      [1, 50, 2, 51].map((_id) => ({ insertOne: { document: { _id, n: 1 } } })),
      { ordered: false },
    ),
  );
  t.match(loose, { code: 11_000, result: { insertedCount: 2 }, writeErrors: [{ index: 0 }, { index: 2 }] });

  const docs = await Item.find({ _id: { $in: [1, 2, 3] } }).sort('_id');
  const [first, second] = docs as [(typeof docs)[0], (typeof docs)[0]];
  first.n = 1;
  second.tags.push('y');
  const saved = await Item.bulkSave([first, second, new Item({ _id: 60, n: 6 })]);
  t.match(saved, { insertedCount: 1, modifiedCount: 2 });
  t.notOk(first.isModified());
  t.match(
    await Item.find({ _id: { $in: [1, 2, 60] } })
      .sort('_id')
      .lean(),
    [{ n: 1 }, { tags: ['x', 'y'] }, { n: 6 }],
  );
  await Item.updateOne({ _id: 1 }, { name: 'taken' });
  second.name = 'taken';
  t.match(await failure(Item.bulkSave([second])), { code: 11_000 });
  t.ok(second.isModified('name'), 'what was not written is still to be saved');

  t.equal((await Item.deleteOne({ n: { $gt: 0 } })).deletedCount, 1);
  t.equal((await Item.deleteOne({ n: 12_345 })).deletedCount, 0);
  t.equal((await Item.deleteMany({ _id: { $gte: 20, $lt: 60 } })).deletedCount, 4);
  const last = await Item.findById(60).orFail();
  t.equal((await last.deleteOne()).deletedCount, 1);
  const rest = await Item.countDocuments();
  t.equal((await Item.deleteMany()).deletedCount, rest);
  t.ok(rest > 0);
  t.equal(await Item.estimatedDocumentCount(), 0);
});

t.test('a transaction is all or nothing', async (t) => {
  const connection = await connected(t);
  const Account = connection.model('Account', new Schema({ _id: String, money: { type: Number, min: 0 } }));
  const Entry = connection.model('Entry', new Schema({ _id: Number, text: String }));
  await Promise.all([Account.init(), Entry.init()]);
  const state = async (): Promise<unknown> => [
    (await Account.find().sort('_id').lean()).map(({ money }) => money),
    await Entry.countDocuments(),
  ];
  const BEFORE = [[10, 0], 0];
  const AFTER = [[6, 4], 1];
  const reset = async (): Promise<void> => {
    await Promise.all([Account.deleteMany(), Entry.deleteMany()]);
    await Account.create([
      { _id: 'a', money: 10 },
      { _id: 'b', money: 0 },
    ]);
  };
  type Work = (session: mongoose.ClientSession) => Promise<unknown>;
  const ways: Record<string, (work: Work) => Promise<unknown>> = {
    'session.withTransaction': (work) =>
      connection.withSession((session) => session.withTransaction(() => work(session))),
    'connection.transaction': (work) => connection.transaction(work),
    'startTransaction and commitTransaction': (work) =>
      connection.withSession(async (session) => {
        session.startTransaction();
        try {
          await work(session);
        } catch (error) {
          await session.abortTransaction();
          throw error;
        }
        await session.commitTransaction();
      }),
  };
  let entry = new Entry();
  const writes: Record<string, Work> = {
    'updates and a save': async (session) => {
      await Account.updateOne({ _id: 'a' }, { $inc: { money: -4 } }, { session });
      await Account.updateOne({ _id: 'b' }, { $inc: { money: 4 } }, { session });
      await entry.save({ session });
    },
    'a read first': async (session) => {
      const a = await Account.findById('a').session(session).orFail();
      a.money = 6;
      await a.save();
      await Account.findOneAndUpdate({ _id: 'b' }, { money: 4 }, { session });
      await Entry.create([{ _id: 1, text: 'moved' }], { session });
    },
    'many at once': async (session) => {
      await Entry.insertMany([{ _id: 1 }], { session });
      const toSix = { updateOne: { filter: { _id: 'a' }, update: { money: 6 } } };
      const toFour = { updateOne: { filter: { _id: 'b' }, update: { money: 4 } } };
      await Account.bulkWrite([toSix, toFour], { session });
    },
  };
  for (const [way, run] of Object.entries(ways)) {
    for (const [what, write] of Object.entries(writes)) {
      const name = `${way}, ${what}`;
      await reset();
      entry = new Entry({ _id: 1, text: 'moved' });
      if (TRANSACTIONAL) {
        const aborted = run(async (session) => {
          await write(session);
          throw new Error('in the end not');
        });
        await t.rejects(aborted, { message: 'in the end not' }, name);
        t.strictSame(await state(), BEFORE, `${name}: nothing when it fails`);
        entry = new Entry({ _id: 1, text: 'moved' });
        await run(write);
        t.strictSame(await state(), AFTER, `${name}: all`);
        continue;
      }
      let runs = 0;
      const refused = await failure(
        run((session) => {
          runs += 1;
          return write(session);
        }),
      );
      if (GIVEN_SERVER === undefined) {
        t.equal(refused.code, 238, name);
        t.equal(refused.codeName, 'NotImplemented', name);
        t.match(refused.message, /^the embedded store does not implement transactions/, name);
      }
      t.equal(runs, 1, `${name}: not tried again`);
      t.strictSame(await state(), BEFORE, `${name}: nothing`);
      await entry.save();
      t.equal(await Entry.countDocuments(), 1, `${name}: the document can be saved without one`);
    }
  }
  await connection.withSession(async (session) => {
    await Account.updateOne({ _id: 'a' }, { money: 1 }, { session });
    t.equal((await Account.findById('a').session(session))?.money, 1, 'a session without a transaction');
  });
});

t.test('files of GridFS', async (t) => {
  const connection = await connected(t);
  const bucket = new mongoose.mongo.GridFSBucket(connection.db as mongoose.mongo.Db, { chunkSizeBytes: 1000 });
  const content = Buffer.from(Array.from({ length: 4_321 }, (_, n) => n % 251));
  const upload = bucket.openUploadStream('numbers.bin', { metadata: { by: 'ann' } });
  await new Promise((resolve, reject) => upload.once('finish', resolve).once('error', reject).end(content));
  const read = async (options?: Bson): Promise<Buffer> =>
    Buffer.concat(await bucket.openDownloadStreamByName('numbers.bin', options).toArray());
  t.ok((await read()).equals(content));
  t.ok((await read({ start: 999, end: 2_001 })).equals(content.subarray(999, 2_001)), 'a part of it');
  const File = connection.model('File', new Schema({ filename: String, length: Number }, { collection: 'fs.files' }));
  t.match(await File.findOne({ 'metadata.by': 'ann' }).lean(), { filename: 'numbers.bin', length: 4_321 });
  t.equal(await connection.collection('fs.chunks').countDocuments(), 5);
  await bucket.delete(upload.id);
  t.equal(await connection.collection('fs.chunks').countDocuments(), 0);
  await t.rejects(read(), { code: 'ENOENT' });
});
