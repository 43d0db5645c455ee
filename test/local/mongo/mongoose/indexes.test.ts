import type { Document as Bson } from 'mongodb';
import { Schema } from 'mongoose';
import t from 'tap';
import { failure } from '../../../support/server-failure.js';
import { connected } from './connection.js';

t.test('a unique index', async (t) => {
  const connection = await connected(t);
  const schema = new Schema({
    email: { type: String, unique: true },
    team: String,
    place: Number,
    profile: { handle: String },
  });
  schema.index({ team: 1, place: -1 }, { unique: true, partialFilterExpression: { team: { $exists: true } } });
  schema.index({ 'profile.handle': 1 }, { unique: true, sparse: true });
  const User = connection.model('User', schema);
  await User.init();
  await User.create([
    { email: 'a@x', team: 'red', place: 1, profile: { handle: 'ann' } },
    { email: 'b@x', team: 'red', place: 2 },
  ]);
  const emails = async (): Promise<string[]> => (await User.find().sort('email').lean()).map(({ email }) => `${email}`);
  const EMAIL = { code: 11_000, keyPattern: { email: 1 }, keyValue: { email: 'a@x' } };

  const saved = await failure(new User({ email: 'a@x' }).save());
  t.match(saved, EMAIL);
  const told = 'E11000 duplicate key error collection';
  t.equal(saved.message, `${told}: ${connection.name}.users index: email_1 dup key: { email: "a@x" }`);
  t.match(await failure(User.create({ email: 'c@x', profile: { handle: 'ann' } })), {
    keyPattern: { 'profile.handle': 1 },
    keyValue: { 'profile.handle': 'ann' },
  });
  const second = await User.findOne({ email: 'b@x' }).orFail();
  second.set({ team: 'red', place: 1 });
  t.match(await failure(second.save()), {
    code: 11_000,
    keyPattern: { team: 1, place: -1 },
    keyValue: { team: 'red', place: 1 },
  });
  second.place = 3;
  await second.save();
  t.equal((await User.findById(second._id).lean())?.place, 3, 'the document can be saved once it is right');

  const upserts = [
    User.findOneAndUpdate({ email: 'z@x' }, { $set: { email: 'a@x' } }, { upsert: true }),
    User.findOneAndUpdate({ email: 'a@x', place: 9 }, { $set: { team: 'blue' } }, { upsert: true }),
    User.findOneAndReplace({ email: 'b@x' }, { email: 'a@x' }),
    User.updateOne({ email: 'b@x' }, { email: 'a@x' }),
    User.updateMany({}, { email: 'a@x' }),
    User.replaceOne({ email: 'q@x' }, { email: 'a@x' }, { upsert: true }),
  ];
  for (const upsert of upserts) t.match(await failure(upsert.exec()), EMAIL);
  t.strictSame(await emails(), ['a@x', 'b@x']);

  const batch = ['c@x', 'a@x', 'd@x', 'b@x', 'e@x'].map((email) => ({ email }));
  const ordered = await failure(User.insertMany(batch));
  t.match(ordered, { code: 11_000, insertedCount: 1, writeErrors: [{ index: 1, code: 11_000 }] });
  t.match(ordered.writeErrors[0].err.op, { email: 'a@x' });
  t.equal(ordered.writeErrors.length, 1);
  t.strictSame(
    ordered.insertedDocs.map(({ email }: Bson) => email),
    ['c@x'],
  );
  t.strictSame(await emails(), ['a@x', 'b@x', 'c@x'], 'in order it ends with the first error');
  await User.deleteOne({ email: 'c@x' });
  const unordered = await failure(User.insertMany(batch, { ordered: false }));
  t.match(unordered, { code: 11_000, insertedCount: 3 });
  t.match(unordered.writeErrors, [
    { index: 1, errmsg: /index: email_1 dup key: \{ email: "a@x" \}$/ },
    { index: 3, errmsg: /index: email_1 dup key: \{ email: "b@x" \}$/ },
  ]);
  t.equal(unordered.writeErrors.length, 2);
  t.strictSame(await emails(), ['a@x', 'b@x', 'c@x', 'd@x', 'e@x'], 'else the others are written');

  const bulk = await failure(
    User.bulkWrite([
      { insertOne: { document: { email: 'f@x' } } },
      { updateOne: { filter: { email: 'c@x' }, update: { email: 'd@x' } } },
      { deleteOne: { filter: { email: 'e@x' } } },
    ]),
  );
  t.match(bulk, { code: 11_000, result: { insertedCount: 1, modifiedCount: 0, deletedCount: 0 } });
  t.strictSame(await emails(), ['a@x', 'b@x', 'c@x', 'd@x', 'e@x', 'f@x']);

  const racing = await Promise.allSettled(
    Array.from({ length: 8 }, (_, place) => User.create({ email: 'race@x', place })),
  );
  t.equal(racing.filter(({ status }) => status === 'fulfilled').length, 1, 'one of many at once is written');
  t.ok(racing.every((one) => one.status === 'fulfilled' || one.reason.code === 11_000));
  t.equal(await User.countDocuments({ email: 'race@x' }), 1);
});

t.test('indexes follow the schema', async (t) => {
  const connection = await connected(t, { autoIndex: false });
  const named = async (): Promise<Record<string, Bson>> =>
    Object.fromEntries(
      (await connection.collection('visits').indexes()).map(({ name, v, ns, background, ...rest }) => [name, rest]),
    );
  const first = new Schema({ who: { type: String, index: true }, code: String, at: Date, open: Boolean, n: Number });
  first.index({ who: 1, at: -1 });
  first.index({ code: 1 }, { unique: true, sparse: true });
  first.index({ n: 1 }, { unique: true, partialFilterExpression: { open: true }, name: 'open_n' });
  first.index({ at: 1 }, { expireAfterSeconds: 3600 });
  const Visit = connection.model('Visit', first);
  await Visit.init();
  t.strictSame(await named(), { _id_: { key: { _id: 1 } } }, 'nothing by itself when autoIndex is off');
  await Visit.ensureIndexes();
  t.strictSame(await named(), {
    _id_: { key: { _id: 1 } },
    who_1: { key: { who: 1 } },
    'who_1_at_-1': { key: { who: 1, at: -1 } },
    code_1: { key: { code: 1 }, unique: true, sparse: true },
    open_n: { key: { n: 1 }, unique: true, partialFilterExpression: { open: true } },
    at_1: { key: { at: 1 }, expireAfterSeconds: 3600 },
  });
  await Visit.ensureIndexes();
  t.strictSame(await Visit.diffIndexes(), { toDrop: [], toCreate: [] }, 'what is there is known again');

  await Visit.create([{ who: 'a' }, { who: 'b' }, { who: 'c', code: 'x' }]);
  t.match(await failure(Visit.create({ code: 'x' })), { code: 11_000, keyPattern: { code: 1 } });
  await Visit.create([
    { n: 1, open: false },
    { n: 1, open: false },
    { n: 1, open: true },
  ]);
  const open = await failure(Visit.updateOne({ n: 1, open: false }, { open: true }).exec());
  t.match(open, { code: 11_000, keyPattern: { n: 1 }, keyValue: { n: 1 } });
  await Visit.updateOne({ n: 1, open: true }, { open: false });
  t.equal((await Visit.updateOne({ n: 1, open: false }, { open: true })).modifiedCount, 1, 'the key is free again');

  connection.deleteModel('Visit');
  const second = new Schema({ who: String, code: String, at: Date, open: Boolean, n: Number });
  second.index({ code: 1 }, { sparse: true });
  second.index({ at: 1 }, { expireAfterSeconds: 60 });
  second.index({ open: 1, n: 1 });
  second.index({ n: 1 }, { unique: true, partialFilterExpression: { open: true }, name: 'open_n' });
  const Changed = connection.model('Visit', second);
  const { toDrop, toCreate } = await Changed.diffIndexes();
  t.strictSame(toDrop.sort(), ['at_1', 'code_1', 'who_1', 'who_1_at_-1']);
  t.strictSame(toCreate, [{ code: 1 }, { at: 1 }, { open: 1, n: 1 }]);
  const conflict = await failure(Changed.ensureIndexes());
  t.match(conflict, { code: 86, codeName: 'IndexKeySpecsConflict' }, 'an index of that name with other options');
  t.strictSame((await Changed.syncIndexes()).sort(), ['at_1', 'code_1', 'who_1', 'who_1_at_-1']);
  t.strictSame(await named(), {
    _id_: { key: { _id: 1 } },
    open_n: { key: { n: 1 }, unique: true, partialFilterExpression: { open: true } },
    code_1: { key: { code: 1 }, sparse: true },
    at_1: { key: { at: 1 }, expireAfterSeconds: 60 },
    open_1_n_1: { key: { open: 1, n: 1 } },
  });
  await Changed.create({ code: 'x' });
  t.equal(await Changed.countDocuments({ code: 'x' }), 2, 'a dropped unique index holds nothing back');
  t.equal(await Changed.countDocuments({ open: true }).hint('open_1_n_1'), 1);
  t.equal((await failure(Changed.find({ open: true }).hint('who_1').exec())).code, 2);

  connection.deleteModel('Visit');
  const Unique = connection.model('Visit', new Schema({ who: { type: String, unique: true } }, { autoIndex: true }));
  const heard = new Promise((resolve) => Unique.once('index', resolve));
  t.match(await failure(Unique.init()), { code: 11_000, keyPattern: { who: 1 }, keyValue: { who: null } });
  t.match(await heard, { code: 11_000 });
  t.notOk('who_1' in (await named()), 'a failed build leaves none');
});
