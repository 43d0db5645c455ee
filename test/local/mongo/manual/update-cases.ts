import { Decimal128, Double, Int32, Long } from 'bson';
import { UPDATE_CASES as OPERATOR_CASES } from '../update-cases.js';
import { COLLECTION, type ManualCase, plain, update } from './case.js';

const NOT_IMPLEMENTED = 238; // a refusal of the embedded store, which says nothing of MongoDB

/** The operators one by one; what depends on the time is tested where the time is injected. */
const OPERATORS: ManualCase[] = OPERATOR_CASES.filter(
  ([page, , , , , outcome]) => outcome !== NOT_IMPLEMENTED && page !== 'operator/update/currentDate',
).map(([page, title, q, document, u, outcome, arrayFilters]) =>
  update(
    page.startsWith('../') ? page.slice(3) : `reference/${page}`,
    title,
    [document],
    u,
    typeof outcome === 'number' ? outcome : [outcome],
    { q, ...(arrayFilters === undefined ? {} : { arrayFilters }) },
  ),
);

const UPSERT = 'reference/method/db.collection.updateOne';
const UPSERTS: ManualCase[] = [
  update(
    UPSERT,
    'an upsert takes over the equalities of the filter',
    [],
    { $set: { b: 2 } },
    [{ _id: 5, a: 1, b: 2 }],
    { q: { _id: 5, a: 1 }, upsert: true, counts: [1, 0] },
  ),
  update(UPSERT, 'an upsert leaves out what is no equality', [], { $set: { b: 2 } }, [{ _id: 5, b: 2 }], {
    q: { _id: 5, a: { $gt: 1 } },
    upsert: true,
  }),
  update(UPSERT, 'an upsert makes documents of dotted paths', [], { $set: { c: 1 } }, [{ _id: 5, a: { b: 1 }, c: 1 }], {
    q: { _id: 5, 'a.b': 1 },
    upsert: true,
  }),
  update(UPSERT, 'an upsert takes over $eq and the parts of $and', [], { $inc: { n: 1 } }, [{ _id: 5, a: 1, n: 1 }], {
    q: { $and: [{ _id: 5 }, { a: { $eq: 1 } }] },
    upsert: true,
  }),
  update(UPSERT, 'an upsert that matches inserts nothing', [{ a: 1 }], { $set: { b: 2 } }, [{ a: 1, b: 2 }], {
    q: { a: 1 },
    upsert: true,
    counts: [1, 1],
  }),
  update(
    'reference/operator/update/setOnInsert',
    'only for an insert',
    [],
    { $set: { a: 1 }, $setOnInsert: { b: 2 } },
    [{ _id: 5, a: 1, b: 2 }],
    { q: { _id: 5 }, upsert: true },
  ),
  update(
    'reference/operator/update/setOnInsert',
    'not for an update',
    [{ x: 1 }],
    { $set: { a: 1 }, $setOnInsert: { b: 2 } },
    [{ x: 1, a: 1 }],
    { q: { x: 1 }, upsert: true },
  ),
  update('reference/method/db.collection.replaceOne', 'an upsert of a replacement', [], { a: 9 }, [{ _id: 5, a: 9 }], {
    q: { _id: 5, b: 1 },
    upsert: true,
  }),
  update(
    'tutorial/update-documents-with-aggregation-pipeline',
    'an upsert of a pipeline',
    [],
    [{ $set: { n: { $add: [{ $ifNull: ['$n', 0] }, 1] } } }],
    [{ _id: 5, n: 1 }],
    { q: { _id: 5 }, upsert: true },
  ),
  update(UPSERT, 'the filter and the update name different _ids', [], { $set: { _id: 6 } }, 66, {
    q: { _id: 5 },
    upsert: true,
  }),
];

const MANY = [{ a: 1 }, { a: 1 }, { a: 2 }];
const COUNTS: ManualCase[] = [
  update(
    'reference/method/db.collection.updateMany',
    'all that match',
    MANY,
    { $set: { b: 1 } },
    [{ a: 1, b: 1 }, { a: 1, b: 1 }, { a: 2 }],
    { q: { a: 1 }, multi: true, counts: [2, 2] },
  ),
  update(UPSERT, 'one that matches', [{ a: 1 }], { $set: { b: 1 } }, [{ a: 1, b: 1 }], { q: { a: 1 }, counts: [1, 1] }),
  update(
    'reference/command/update',
    'what changes nothing is matched and not modified',
    [{ a: 1 }],
    { $set: { a: 1 } },
    [{ a: 1 }],
    { counts: [1, 0] },
  ),
  update('reference/command/update', 'nothing matches', MANY, { $set: { a: 9 } }, MANY, {
    q: { a: 7 },
    multi: true,
    counts: [0, 0],
  }),
  update(
    'reference/operator/update/set',
    'a number of another kind is a change',
    [{ a: new Int32(1) }],
    { $set: { a: new Double(1) } },
    [{ a: new Double(1) }],
    { counts: [1, 1] },
  ),
  update(
    'reference/operator/update/inc',
    'decimals',
    [{ a: new Int32(1) }],
    { $inc: { a: Decimal128.fromString('0.10') } },
    [{ a: Decimal128.fromString('1.10') }],
  ),
  update(
    'reference/operator/update/inc',
    'an integer that overflows becomes a long one',
    [{ a: new Int32(2147483647) }],
    { $inc: { a: 1 } },
    [{ a: Long.fromString('2147483648') }],
  ),
  update(
    'reference/operator/update/inc',
    'a long integer that overflows is an error',
    [{ a: Long.MAX_VALUE }],
    { $inc: { a: 1 } },
    2,
  ),
  update(
    'reference/operator/update',
    'fields are made in the order of their names',
    [{}],
    { $set: { c: 1, a: 2 }, $inc: { b: 1 } },
    [{ a: 2, b: 1, c: 1 }],
  ),
  update('reference/command/update', 'a replacement of many is refused', [{ a: 1 }], { b: 1 }, 9, { multi: true }),
];

const FIND_AND_MODIFY = 'reference/command/findAndModify';
const FOUND: ManualCase[] = [
  plain(
    'update',
    FIND_AND_MODIFY,
    'the document before it',
    [{ a: 1 }],
    { findAndModify: COLLECTION, query: { a: 1 }, update: { $inc: { a: 1 } } },
    { reply: { value: { _id: 1, a: 1 }, lastErrorObject: { n: 1, updatedExisting: true } }, after: [{ _id: 1, a: 2 }] },
  ),
  plain(
    'update',
    FIND_AND_MODIFY,
    'new: the document after it',
    [{ a: 1 }],
    { findAndModify: COLLECTION, query: { a: 1 }, update: { $inc: { a: 1 } }, new: true },
    { reply: { value: { _id: 1, a: 2 } } },
  ),
  plain(
    'update',
    FIND_AND_MODIFY,
    'the first by a sort',
    [{ a: 1 }, { a: 3 }, { a: 2 }],
    { findAndModify: COLLECTION, query: {}, sort: { a: -1 }, update: { $set: { x: 1 } } },
    { reply: { value: { _id: 2, a: 3 } } },
  ),
  plain(
    'update',
    FIND_AND_MODIFY,
    'remove',
    [{ a: 1 }, { a: 2 }],
    { findAndModify: COLLECTION, query: { a: 2 }, remove: true },
    { reply: { value: { _id: 2, a: 2 }, lastErrorObject: { n: 1 } }, after: [{ _id: 1, a: 1 }] },
  ),
  plain(
    'update',
    FIND_AND_MODIFY,
    'nothing matches',
    [{ a: 1 }],
    { findAndModify: COLLECTION, query: { a: 5 }, update: { $set: { x: 1 } } },
    { reply: { value: null, lastErrorObject: { n: 0, updatedExisting: false } } },
  ),
  plain(
    'update',
    FIND_AND_MODIFY,
    'an upsert',
    [],
    { findAndModify: COLLECTION, query: { _id: 7 }, update: { $set: { x: 1 } }, upsert: true, new: true },
    { reply: { value: { _id: 7, x: 1 }, lastErrorObject: { n: 1, updatedExisting: false, upserted: 7 } } },
  ),
  plain(
    'update',
    FIND_AND_MODIFY,
    'fields',
    [{ a: 1, b: 2 }],
    { findAndModify: COLLECTION, query: {}, update: { $set: { b: 3 } }, fields: { b: 1, _id: 0 }, new: true },
    { reply: { value: { b: 3 } } },
  ),
  plain(
    'update',
    'reference/command/delete',
    'one',
    [{ a: 1 }, { a: 2 }],
    { delete: COLLECTION, deletes: [{ q: { a: 1 }, limit: 1 }] },
    { reply: { n: 1 }, after: [{ _id: 2, a: 2 }] },
  ),
  plain(
    'update',
    'reference/command/delete',
    'all that match',
    MANY,
    { delete: COLLECTION, deletes: [{ q: { a: 1 }, limit: 0 }] },
    { reply: { n: 2 }, after: [{ _id: 3, a: 2 }] },
  ),
];

/** Updates of all kinds. */
export const UPDATE_CASES: readonly ManualCase[] = [...OPERATORS, ...UPSERTS, ...COUNTS, ...FOUND];
