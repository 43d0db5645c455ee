import { deepStrictEqual as deepEqual, strictEqual as equal, notStrictEqual as notEqual, ok } from 'node:assert/strict';
import { type Document, deserialize, EJSON, type Int32, serialize, Timestamp } from 'bson';
import fc from 'fast-check';
import { type Collection, MongoClient } from 'mongodb';
import t from 'tap';
import { field, type RawValue, rawDocument } from '../../../src/local/mongo/bson/raw-value.js';
import { StoreError } from '../../../src/local/mongo/errors.js';
import { commandScope } from '../../../src/local/mongo/query/expression.js';
import { compileFilter } from '../../../src/local/mongo/query/filter.js';
import type { Trail } from '../../../src/local/mongo/query/path.js';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { compileUpdate } from '../../../src/local/mongo/update/update.js';
import { failure } from '../../support/server-failure.js';
import { UPDATE_CASES } from './update-cases.js';

const raw = (document: Document): RawValue => rawDocument(Buffer.from(serialize(document, { ignoreUndefined: false })));

// Each: filter, document, the arrays that the match went through as path:position (a position that the filter itself gives in brackets).
const TRAILS: [Document, Document, string][] = [
  [{ a: 2 }, { a: [1, 2, 2] }, 'a:1'],
  [{ a: 2 }, { a: 2 }, ''],
  [{ a: [1, 2] }, { a: [1, 2] }, ''],
  [{ a: { $gt: 1, $lt: 9 } }, { a: [1, 10, 5] }, 'a:1 a:0'],
  [{ a: { $elemMatch: { $gt: 1, $lt: 9 } } }, { a: [1, 10, 5] }, 'a:2'],
  [{ a: { $elemMatch: { x: 1, y: { $ne: 2 } } } }, { a: [{ x: 1, y: 2 }, { x: 1 }] }, 'a:1'],
  [{ 'a.x': 2 }, { a: [{ x: 1 }, { x: 2 }] }, 'a:1'],
  [{ 'a.b': 2 }, { a: { b: [1, 2] } }, 'a.b:1'],
  [{ 'a.b': 2 }, { a: [{ b: 1 }, { b: [1, 2] }] }, 'a.b:1 a:1'],
  [{ 'a.1': 2 }, { a: [1, 2] }, 'a:[1]'],
  [{ 'a.1.x': 2 }, { a: [1, { x: 2 }] }, 'a:[1]'],
  [{ $and: [{ a: 1 }, { b: 2 }] }, { a: [1], b: [1, 2] }, 'a:0 b:1'],
  [{ $or: [{ a: 1 }] }, { a: [0, 1] }, 'a:1'],
  [{ $or: [{ a: 1 }, { a: 2 }] }, { a: [0, 1] }, ''],
  [{ $nor: [{ a: 2 }], b: 1 }, { a: [1], b: 1 }, ''],
  [{ a: { $ne: 2 } }, { a: [1] }, ''],
  [{ a: { $not: { $gt: 2 } } }, { a: [1] }, ''],
  [{ a: { $all: [1, 2] } }, { a: [2, 1] }, 'a:1 a:0'],
  [{ a: { $size: 1 } }, { a: [1] }, ''],
  [{ a: { $in: [7, 2] } }, { a: [1, 2] }, 'a:1'],
];

t.test('a filter tells which elements of arrays fulfilled it', (t) => {
  for (const [filter, document, expected] of TRAILS) {
    const trail: Trail = [];
    const name = `${JSON.stringify(filter)} on ${JSON.stringify(document)}`;
    t.ok(compileFilter(raw(filter)).matches(raw(document), trail), name);
    const told = trail.map(({ array, position, given }) => `${array}:${given ? `[${position}]` : position}`);
    t.equal(told.join(' '), expected, name);
  }
  t.end();
});

const NOW = 5000;
const SCOPE = commandScope(undefined, NOW);

/** The document that an update makes of another, or the code that it is refused with. */
function outcomeOf(
  filter: Document,
  document: Document,
  update: Document,
  arrayFilters?: Document[],
): Document | number {
  try {
    const compiled = compileUpdate(field(raw({ u: update }), 'u') as RawValue, SCOPE, {
      arrayFilters: arrayFilters === undefined ? undefined : field(raw({ arrayFilters }), 'arrayFilters'),
    });
    const trail: Trail = [];
    if (!compileFilter(raw(filter)).matches(raw(document), trail)) throw new Error('the filter does not match');
    const result = compiled.apply(raw(document), { inserting: false, now: NOW }, trail);
    return deserialize(Buffer.from(result.bytes.subarray(result.start, result.end)), { promoteValues: false });
  } catch (error) {
    if (error instanceof StoreError) return error.code;
    throw error;
  }
}

t.test('documented updates', (t) => {
  for (const [page, name, filter, document, update, expected, arrayFilters] of UPDATE_CASES) {
    const outcome = outcomeOf(filter, { _id: 1, ...document }, update, arrayFilters);
    const wanted = typeof expected === 'number' ? expected : { _id: 1, ...expected };
    // As Extended JSON: with the order of the fields and the types of the numbers.
    t.equal(
      EJSON.stringify(outcome, { relaxed: false }),
      EJSON.stringify(wanted, { relaxed: false }),
      `${page}: ${name}`,
    );
  }
  t.end();
});

const store = await startEmbeddedStore({ dataDir: t.testdir() });
const client = await new MongoClient(store.uri).connect();
const db = client.db();
t.teardown(async () => {
  await client.close();
  await store.stop();
});

interface Numbered extends Document {
  _id: number;
}

let names = 0;
const fresh = async (...documents: Numbered[]): Promise<Collection<Numbered>> => {
  const things = db.collection<Numbered>(`u${++names}`);
  if (documents.length > 0) await things.insertMany(documents);
  return things;
};

t.test('positional updates by every command that updates', async (t) => {
  const things = await fresh({ _id: 1, a: [1, 2, 3] }, { _id: 2, a: [2, 2] }, { _id: 3, a: [9] });
  const all = async (): Promise<unknown[]> => (await things.find().sort({ _id: 1 }).toArray()).map(({ a }) => a);
  t.match(await things.updateMany({ a: 2 }, { $inc: { 'a.$': 10 } }), { matchedCount: 2, modifiedCount: 2 });
  t.strictSame(await all(), [[1, 12, 3], [12, 2], [9]], 'each document by its own match');
  await things.updateMany({}, { $set: { 'a.$[x]': 0 } }, { arrayFilters: [{ x: { $gt: 10 } }] });
  t.strictSame(await all(), [[1, 0, 3], [0, 2], [9]]);
  t.match(await things.findOneAndUpdate({ a: 3 }, { $set: { 'a.$': 4 } }, { returnDocument: 'after' }), {
    a: [1, 0, 4],
  });
  t.match(
    await things.findOneAndUpdate(
      { _id: 1 },
      { $set: { 'a.$[x]': 7 } },
      { arrayFilters: [{ x: { $lt: 2 } }], returnDocument: 'after' },
    ),
    { a: [7, 7, 4] },
  );
  await things.bulkWrite([
    { updateOne: { filter: { _id: 2, a: 2 }, update: { $set: { 'a.$': 'x' } } } },
    { updateMany: { filter: {}, update: { $set: { 'a.$[e]': 'y' } }, arrayFilters: [{ e: 'x' }] } },
    { updateOne: { filter: { _id: 3 }, update: { $set: { 'a.$[]': 'z' } } } },
  ]);
  t.strictSame(await all(), [[7, 7, 4], [0, 'y'], ['z']]);
  const error = await failure(things.updateOne({ _id: 1 }, { $set: { 'a.$': 1 } }));
  t.equal(error.code, 2);
  t.match(error.message, 'The positional operator did not find the match needed from the query');
  t.equal((await failure(things.updateOne({ a: 77 }, { $set: { 'a.$': 1 } }, { upsert: true }))).code, 2);
  t.equal((await failure(things.findOneAndUpdate({ a: 77 }, { $set: { 'a.$': 1 } }, { upsert: true }))).code, 2);
  t.equal(await things.countDocuments({}), 3, 'and nothing was inserted');
});

t.test('upserts begin with what the filter demands', async (t) => {
  const cases: [string, Document, Document | Document[], Document | number, Document?][] = [
    ['in the order of the paths', { z: 1, 'b.c': 2, a: 3 }, { $set: { m: 1 } }, { a: 3, b: { c: 2 }, z: 1, m: 1 }],
    [
      '$and, $eq, $in and $all of one, $or of one',
      { $and: [{ a: { $eq: 1 } }, { b: { $in: [2] } }], c: { $all: [3] }, $or: [{ d: 4 }] },
      { $set: { e: 5 } },
      { a: 1, b: 2, c: 3, d: 4, e: 5 },
    ],
    [
      'no ranges, no regexes, no $in of two',
      { a: { $gt: 1 }, b: /x/, c: { $in: [1, 2] }, d: 1 },
      { $set: { e: 5 } },
      { d: 1, e: 5 },
    ],
    ['nothing of an $expr', { $expr: { $eq: ['$a', 1] } }, { $set: { b: 1 } }, { b: 1 }],
    ['null', { a: null }, { $set: { b: 1 } }, { a: null, b: 1 }],
    ['an array that $[] then changes', { a: [5, 8] }, { $set: { 'a.$[]': 10 } }, { a: [10, 10] }],
    [
      'an array that $[x] then changes',
      { a: [0, 1] },
      { $set: { 'a.$[x]': 2 } },
      { a: [2, 1] },
      { arrayFilters: [{ x: 0 }] },
    ],
    ['no array for $[]', { a: 5 }, { $set: { 'a.$[]': 10 } }, 2],
    ['$setOnInsert', { a: 1 }, { $setOnInsert: { b: 1 }, $inc: { c: 1 } }, { a: 1, b: 1, c: 1 }],
    ['one path twice', { $and: [{ a: 1 }, { a: 2 }] }, { $set: { b: 1 } }, 54],
    ['a path and what is below it', { a: { b: 1 }, 'a.c': 1 }, { $set: { b: 1 } }, 54],
    ['two values by $all', { a: { $all: [1, 2] } }, { $set: { b: 1 } }, 54],
    ['a replacement takes over _id alone', { _id: 7, a: 1 }, { b: 1 }, { _id: 7, b: 1 }],
    ['a replacement with another _id', { _id: 7 }, { _id: 8 }, 66],
    ['a replacement and a part of _id', { '_id.a': 7 }, { b: 8 }, 111],
    ['an update with another _id', { _id: 9 }, { $set: { _id: 8 } }, 66],
    ['an _id that is an array', { a: 1 }, { $set: { _id: [1] } }, 53],
    ['an _id with a dollar', { a: 1 }, { $set: { '_id.$x': 1 } }, 52],
    ['a pipeline', { _id: 10, a: 1 }, [{ $set: { b: '$a', c: '$$NOW' } }, { $unset: 'c' }], { _id: 10, a: 1, b: 1 }],
  ];
  for (const [name, filter, update, expected, options] of cases) {
    const things = await fresh();
    const command = { update: things.collectionName, updates: [{ q: filter, u: update, upsert: true, ...options }] };
    const reply = await db.command(command);
    const found = await things.findOne();
    if (typeof expected === 'number') {
      t.match(reply, { n: 0, writeErrors: [{ index: 0, code: expected }] }, name);
      t.equal(found, null, name);
    } else {
      t.match(reply, { n: 1, nModified: 0, upserted: [{ index: 0, _id: found?._id as unknown }] }, name);
      const wanted = { _id: found?._id as unknown, ...expected };
      t.equal(EJSON.stringify(found), EJSON.stringify(wanted), name);
    }
  }
  const things = await fresh();
  const supplied = (more: Document): Promise<Document> =>
    db.command({
      update: things.collectionName,
      updates: [{ q: { _id: 1, n: 1 }, u: [{ $set: { b: 1 } }], c: { new: { x: 1 } }, upsertSupplied: true, ...more }],
    });
  t.match(await supplied({}), { writeErrors: [{ code: 9 }] });
  t.match(await supplied({ upsert: true }), { n: 1, upserted: [{ _id: 1 }] });
  t.strictSame(await things.findOne(), { _id: 1, x: 1 });
});

t.test('pipelines of updates see variables', async (t) => {
  const things = await fresh({ _id: 1, a: 5 }, { _id: 2, a: 7 });
  const name = things.collectionName;
  t.match(
    await db.command({
      update: name,
      let: { least: 6, add: 'both' },
      updates: [
        {
          q: { $expr: { $gte: ['$a', '$$least'] } },
          u: [{ $set: { by: { $concat: ['$$add', '!'] }, c: '$$own' } }],
          c: { own: 3 },
          multi: true,
        },
      ],
    }),
    { n: 1, nModified: 1 },
  );
  t.strictSame(await things.find().sort({ _id: 1 }).toArray(), [
    { _id: 1, a: 5 },
    { _id: 2, a: 7, by: 'both!', c: 3 },
  ]);
  t.match(
    await things.findOneAndUpdate({ a: 5, $expr: '$$v' }, [{ $set: { v: '$$v' } }], {
      let: { v: 5 },
      returnDocument: 'after',
    }),
    { _id: 1, v: 5 },
  );
  t.match(await db.command({ delete: name, let: { no: 0 }, deletes: [{ q: { $expr: '$$no' }, limit: 0 }] }), {
    n: 0,
  });
  t.match(await db.command({ update: name, updates: [{ q: {}, u: { $set: { a: 1 } }, c: { x: 1 } }] }), {
    writeErrors: [{ code: 51198 }],
  });
});

t.test('statements: sort, hint, shapes of answers', async (t) => {
  const things = await fresh({ _id: 1, n: 3 }, { _id: 2, n: 1 }, { _id: 3, n: 2 });
  const name = things.collectionName;
  await things.createIndex({ n: 1 });
  const update = (statement: Document, more: Document = {}): Promise<Document> =>
    db.command({ update: name, updates: [statement], ...more });
  t.match(await update({ q: {}, u: { $set: { first: true } }, sort: { n: 1 } }), { n: 1, nModified: 1 });
  t.match(await update({ q: {}, u: { n: 9 }, sort: { n: -1 } }), { n: 1, nModified: 1 });
  t.match(await update({ q: {}, u: { $set: { x: 1 } }, sort: { z: 1, _id: -1 }, hint: 'n_1' }), { n: 1 });
  t.strictSame(await things.find().sort({ _id: 1 }).toArray(), [
    { _id: 1, n: 9 },
    { _id: 2, n: 1, first: true },
    { _id: 3, n: 2, x: 1 },
  ]);
  t.match(await update({ q: {}, u: { $set: { x: 1 } }, sort: { n: 1 }, multi: true }), { writeErrors: [{ code: 9 }] });
  t.match(await update({ q: {}, u: { x: 1 }, multi: true }), { writeErrors: [{ code: 9 }] });
  t.match(await update({ q: {}, u: { $set: { x: 1 } }, hint: 'no' }), { writeErrors: [{ code: 2 }] });
  t.match(await update({ q: {}, u: 5 }), { writeErrors: [{ code: 9 }] });
  t.match(await update({ q: {}, u: { $set: { x: 1 } }, arrayFilters: 5 }), { writeErrors: [{ code: 14 }] });
  t.equal((await failure(update({ u: { $set: { x: 1 } } }))).code, 40414);
  t.equal((await failure(update({ q: {} }))).code, 40414);
  t.equal((await failure(update({ q: {}, u: {}, nonsense: 1 }))).code, 40415);
  t.equal((await failure(db.command({ delete: name, deletes: [{ q: {} }] }))).code, 40414);
  t.match(await update({ q: { _id: 1 }, u: { $set: { n: 9 } } }), { n: 1, nModified: 0 }, 'nothing to change');
  const modify = (more: Document): Promise<Document> => db.command({ findAndModify: name, ...more });
  const answered = async (more: Document, expected: Document): Promise<void> => {
    const reply = await modify(more);
    t.strictSame({ lastErrorObject: reply.lastErrorObject as unknown, value: reply.value as unknown }, expected);
  };
  await answered(
    { query: { _id: 1 }, update: { $inc: { n: 1 } } },
    {
      lastErrorObject: { n: 1, updatedExisting: true },
      value: { _id: 1, n: 9 },
    },
  );
  await answered(
    { query: { _id: 1 }, update: { $inc: { n: 1 } }, new: true, fields: { n: 1, _id: 0 } },
    {
      lastErrorObject: { n: 1, updatedExisting: true },
      value: { n: 11 },
    },
  );
  await answered(
    { query: { _id: 7 }, update: { $inc: { n: 1 } } },
    {
      lastErrorObject: { n: 0, updatedExisting: false },
      value: null,
    },
  );
  await answered(
    { query: { _id: 7 }, update: { $inc: { n: 1 } }, upsert: true },
    {
      lastErrorObject: { n: 1, updatedExisting: false, upserted: 7 },
      value: null,
    },
  );
  await answered(
    { query: { _id: 8 }, update: [{ $set: { n: 1 } }], upsert: true, new: true },
    {
      lastErrorObject: { n: 1, updatedExisting: false, upserted: 8 },
      value: { _id: 8, n: 1 },
    },
  );
  await answered({ query: {}, sort: { n: -1 }, remove: true }, { lastErrorObject: { n: 1 }, value: { _id: 1, n: 11 } });
  await answered({ query: { _id: 99 }, remove: true }, { lastErrorObject: { n: 0 }, value: null });
  for (const wrong of [
    {},
    { update: { $set: { a: 1 } }, remove: true },
    { remove: true, upsert: true },
    { remove: true, new: true },
    { remove: true, arrayFilters: [] },
    { update: { $foo: { a: 1 } } },
  ]) {
    t.equal((await failure(modify({ query: {}, ...wrong }))).code, 9, JSON.stringify(wrong));
  }
});

t.test('a statement that fails changes nothing of its document; the others stay', async (t) => {
  const things = await fresh({ _id: 1, n: 1, u: 1 }, { _id: 2, n: 'x', u: 2 }, { _id: 3, n: 1, u: 3 });
  await things.createIndex({ u: 1 }, { unique: true });
  const statements = [
    { q: { _id: 1 }, u: { $inc: { n: 1 } } },
    { q: { _id: 2 }, u: { $set: { a: 1 }, $inc: { n: 1 } } },
    { q: { _id: 3 }, u: { $set: { u: 1, a: 1 } } },
    { q: { _id: 3 }, u: { $inc: { n: 1 } } },
  ];
  const run = (ordered: boolean): Promise<Document> =>
    db.command({ update: things.collectionName, updates: statements, ordered });
  const numbers = async (): Promise<unknown[]> => (await things.find().sort({ _id: 1 }).toArray()).map(({ n }) => n);
  const first = await run(true);
  t.match(first, { n: 1, nModified: 1, writeErrors: [{ index: 1, code: 14 }] });
  t.strictSame(await numbers(), [2, 'x', 1]);
  const second = await run(false);
  t.match(second, { n: 2, nModified: 2 });
  const [type, duplicate] = second.writeErrors as Document[];
  t.strictSame(Object.keys(type as Document), ['index', 'code', 'errmsg']);
  t.match(type, { index: 1, code: 14, errmsg: /'n'/ });
  t.strictSame(Object.keys(duplicate as Document), ['index', 'code', 'keyPattern', 'keyValue', 'errmsg']);
  t.match(duplicate, { index: 2, code: 11000, keyPattern: { u: 1 }, keyValue: { u: 1 } });
  t.strictSame(await numbers(), [3, 'x', 2]);
  t.strictSame(await things.countDocuments({ a: { $exists: true } }), 0, 'no half of an update');
  const many = await db.command({
    update: things.collectionName,
    updates: [{ q: {}, u: { $inc: { n: 1 } }, multi: true }],
  });
  t.match(many, { n: 0, nModified: 0, writeErrors: [{ index: 0, code: 14 }] });
  const inserts = await db.command({
    insert: things.collectionName,
    documents: [{ u: 8 }, { u: 2 }, { u: 9 }],
    ordered: false,
  });
  t.match(inserts, { n: 2, writeErrors: [{ index: 1, code: 11000, keyPattern: { u: 1 }, keyValue: { u: 2 } }] });
  const modified = await failure(things.findOneAndUpdate({ u: 8 }, { $set: { u: 9 } }));
  t.match(modified, { code: 11000, keyPattern: { u: 1 }, keyValue: { u: 9 } });
});

t.test('documents that would be too large or too deep', async (t) => {
  const half = 'x'.repeat(9 * 1024 * 1024);
  const things = await fresh({ _id: 1, a: half });
  t.equal((await failure(things.updateOne({ _id: 1 }, { $set: { b: half } }))).code, 17419);
  t.equal(
    (await failure(things.updateOne({ _id: 2 }, [{ $set: { a: half } }, { $set: { b: '$a' } }], { upsert: true })))
      .code,
    17420,
  );
  let deep: Document = {};
  for (let i = 0; i < 90; i++) deep = { a: deep };
  await things.insertOne({ _id: 3, deep });
  const path = `deep${'.a'.repeat(90)}.b`;
  t.equal((await failure(things.updateOne({ _id: 3 }, { $set: { [path]: deep } }))).code, 15);
  let deeper: Document = {};
  for (let i = 1; i < 180; i++) deeper = { a: deeper };
  await things.insertOne({ _id: 4, ...deeper });
  t.equal((await failure(things.insertOne({ _id: 5, deeper }))).code, 15);
});

t.test('empty timestamps on the top level of inserts and replacements become the time', async (t) => {
  const zero = new Timestamp({ t: 0, i: 0 });
  const things = await fresh({ _id: 1, at: zero, b: { at: zero } }, { _id: 2 });
  await things.replaceOne({ _id: 2 }, { at: zero, too: zero });
  await things.insertOne({ _id: 3 });
  await things.updateOne({ _id: 3 }, { $set: { at: zero } });
  const [first, second, third] = (await things.find().sort({ _id: 1 }).toArray()) as Document[] as [
    Document,
    Document,
    Document,
  ];
  t.ok((first.at as Timestamp).t > 0);
  t.equal((first.b as { at: Timestamp }).at.t, 0);
  t.ok((second.at as Timestamp).t > 0);
  t.notOk((second.at as Timestamp).equals(second.too as Timestamp), 'each is another');
  t.equal((third.at as Timestamp).t, 0, 'an operator sets what it is given');
});

t.test('an update that fails leaves its document as it was, one that does not is found by the indexes', async (t) => {
  const things = await fresh();
  await things.createIndexes([{ key: { a: 1 } }, { key: { 'b.c': 1 } }, { key: { u: 1 }, unique: true, sparse: true }]);
  const leaf = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom('x', null, 1.5));
  const value = fc.oneof(leaf, fc.array(leaf, { maxLength: 3 }), fc.array(fc.record({ c: leaf }), { maxLength: 2 }));
  const path = fc.constantFrom('a', 'b', 'u', 'a.0', 'a.1', 'b.c', 'b.0.c', 'a.$[]', 'b.$[].c', 'a.$[x]', 'd.e');
  const operator = fc.constantFrom(
    '$set',
    '$unset',
    '$inc',
    '$mul',
    '$push',
    '$pull',
    '$addToSet',
    '$pop',
    '$max',
    '$bit',
  );
  const operand = fc.oneof(leaf, fc.constantFrom({ c: 1 }, { $gte: 1 }, { and: 1 }, { $each: [1, 2], $slice: -2 }, -1));
  const update = fc.array(fc.tuple(operator, path, operand), { minLength: 1, maxLength: 3 }).map((list) => {
    const built: Record<string, Record<string, unknown>> = {};
    for (const [name, where, what] of list) built[name] = { ...built[name], [where]: what };
    return built;
  });
  const document = fc.record({ a: value, b: value, u: fc.integer({ min: 0, max: 2 }) }, { requiredKeys: [] });
  let failed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(document, { minLength: 2, maxLength: 4 }), update, async (documents, change) => {
      await things.deleteMany({});
      await things
        .insertMany(
          documents.map((one, _id) => ({ _id, ...one })),
          { ordered: false },
        )
        .catch(() => undefined);
      const before = await things.find().sort({ _id: 1 }).toArray();
      const used = JSON.stringify(change).includes('$[x]');
      const reply = await db.command({
        update: things.collectionName,
        updates: before.map(({ _id }) => ({
          q: { _id },
          u: change,
          ...(used ? { arrayFilters: [{ x: { $gte: 1 } }] } : {}),
        })),
        ordered: false,
      });
      const after = await things.find().sort({ _id: 1 }).toArray();
      const errors = (reply.writeErrors ?? []) as { index: number; code: number }[];
      for (const { index, code } of errors) {
        failed++;
        notEqual(code, 1, 'no error of the store itself');
        deepEqual(after[index], before[index]);
      }
      equal(reply.n, before.length - errors.length);
      for (const one of after) {
        const ids = async (filter: Document, hint: Document): Promise<unknown[]> =>
          (await things.find(filter, { hint }).sort({ _id: 1 }).toArray()).map(({ _id }) => _id);
        const [a] = [one.a as unknown].flat();
        deepEqual(await ids({ a: { $eq: a } }, { a: 1 }), await ids({ a: { $eq: a } }, { $natural: 1 }));
        const c = [one.b as unknown].flat().map((b) => (b as { c?: unknown } | null)?.c ?? null)[0] ?? null;
        deepEqual(await ids({ 'b.c': { $eq: c } }, { 'b.c': 1 }), await ids({ 'b.c': { $eq: c } }, { $natural: 1 }));
      }
    }),
    { numRuns: process.env.POSTHORN_TEST_LONG === undefined ? 60 : 2000 },
  );
  t.ok(failed > 0, 'some of them fail');
});

const list = fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 6 });
const runs = { numRuns: process.env.POSTHORN_TEST_LONG === undefined ? 200 : 5000 };

t.test('laws of the array operators', (t) => {
  const after = (a: number[], update: Document): number[] =>
    (outcomeOf({}, { _id: 1, a }, update) as { a: Int32[] }).a.map(Number);
  fc.assert(
    fc.property(
      list,
      list,
      fc.integer({ min: -8, max: 8 }),
      fc.integer({ min: -8, max: 8 }),
      (a, each, slice, position) => {
        const pushed = after(a, { $push: { a: { $each: each, $position: position } } });
        equal(pushed.length, a.length + each.length, 'no value is lost or doubled');
        const at = position < 0 ? Math.max(0, a.length + position) : Math.min(a.length, position);
        deepEqual(pushed.slice(at, at + each.length), each);
        const cut = after(a, { $push: { a: { $each: each, $slice: slice } } });
        equal(cut.length, Math.min(Math.abs(slice), a.length + each.length));
        deepEqual(cut, slice < 0 ? [...a, ...each].slice(slice) : [...a, ...each].slice(0, slice));
        const sorted = after(a, { $push: { a: { $each: each, $sort: -1 } } });
        deepEqual(
          sorted,
          [...a, ...each].sort((x, y) => y - x),
        );
      },
    ),
    runs,
  );
  fc.assert(
    fc.property(list, list, (a, each) => {
      const once = after(a, { $addToSet: { a: { $each: each } } });
      deepEqual(after(once, { $addToSet: { a: { $each: each } } }), once, 'adding again changes nothing');
      ok(each.every((value) => once.includes(value)));
      const pulled = after(once, { $pullAll: { a: each } });
      deepEqual(after(once, { $pull: { a: { $in: each } } }), pulled, '$pull with $in is $pullAll');
      deepEqual(
        pulled,
        a.filter((value) => !each.includes(value)),
      );
    }),
    runs,
  );
  fc.assert(
    fc.property(list, fc.integer({ min: 0, max: 6 }), (a, least) => {
      const filtered = outcomeOf({}, { _id: 1, a }, { $inc: { 'a.$[x]': 10 } }, [{ x: { $gte: least } }]) as Document;
      deepEqual(
        (filtered.a as Int32[]).map(Number),
        a.map((value) => (value >= least ? value + 10 : value)),
      );
      if (a.includes(least)) {
        const first = outcomeOf({ a: least }, { _id: 1, a }, { $set: { 'a.$': 99 } }) as Document;
        deepEqual(
          (first.a as Int32[]).map(Number),
          a.map((value, i) => (i === a.indexOf(least) ? 99 : value)),
        );
      }
    }),
    runs,
  );
  t.end();
});
