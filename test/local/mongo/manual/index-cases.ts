import { type Document, Double, Long } from 'bson';
import { COLLECTION, type ManualCase, plain, query, refused } from './case.js';

const UNIQUE = 'core/index-unique';
const SPARSE = 'core/index-sparse';
const PARTIAL = 'core/index-partial';
const MULTIKEY = 'core/indexes/index-types/index-multikey';
const insert = (...documents: Document[]): Document => ({ insert: COLLECTION, documents });
const unique = (key: Document, options: Document = {}): Document => ({ key, unique: true, ...options });

function accepted(
  page: string,
  title: string,
  indexes: readonly Document[],
  documents: readonly Document[],
  document: Document,
): ManualCase {
  return plain('index', page, title, documents, insert(document), { reply: { n: 1 } }, { indexes });
}

function duplicate(
  page: string,
  title: string,
  indexes: readonly Document[],
  documents: readonly Document[],
  document: Document,
  keyPattern: Document,
  keyValue: Document,
): ManualCase {
  return {
    ...refused(page, title, insert(document), 11000, { indexes, documents, keyPattern, keyValue }),
    kind: 'index',
  };
}

const create = (...indexes: Document[]): Document => ({ createIndexes: COLLECTION, indexes });

/** What indexes demand of documents, and that queries answer the same with them. */
export const INDEX_CASES: readonly ManualCase[] = [
  duplicate(UNIQUE, 'a value twice', [unique({ a: 1 })], [{ a: 1 }], { _id: 9, a: 1 }, { a: 1 }, { a: 1 }),
  duplicate(
    UNIQUE,
    'a number of another kind is the same value',
    [unique({ a: 1 })],
    [{ a: 1 }],
    { _id: 9, a: Long.fromString('1') },
    { a: 1 },
    { a: Long.fromString('1') },
  ),
  duplicate(
    UNIQUE,
    'a missing field is null, once',
    [unique({ a: 1 })],
    [{ b: 1 }],
    { _id: 9, b: 2 },
    { a: 1 },
    { a: null },
  ),
  duplicate(
    UNIQUE,
    'several fields together',
    [unique({ a: 1, b: -1 })],
    [{ a: 1, b: 2 }],
    { _id: 9, a: 1, b: 2 },
    { a: 1, b: -1 },
    { a: 1, b: 2 },
  ),
  accepted(UNIQUE, 'one of several fields differs', [unique({ a: 1, b: 1 })], [{ a: 1, b: 2 }], { _id: 9, a: 1, b: 3 }),
  duplicate(
    UNIQUE,
    'an element of an array in another document',
    [unique({ a: 1 })],
    [{ a: [1, 2] }],
    { _id: 9, a: 2 },
    { a: 1 },
    { a: 2 },
  ),
  accepted(UNIQUE, 'an element twice in one document', [unique({ a: 1 })], [{ a: 1 }], { _id: 9, a: [5, 5] }),
  duplicate(
    UNIQUE,
    'a field of an embedded document',
    [unique({ 'a.b': 1 })],
    [{ a: { b: 1 } }],
    { _id: 9, a: { b: 1 } },
    { 'a.b': 1 },
    { 'a.b': 1 },
  ),
  duplicate(
    'core/document',
    "_id is unique without an index of one's own",
    [],
    [{ _id: 5 }],
    { _id: new Double(5) },
    { _id: 1 },
    { _id: new Double(5) },
  ),
  {
    ...refused(
      UNIQUE,
      'not while values are there twice',
      create({ key: { a: 1 }, name: 'a_1', unique: true }),
      11000,
      { documents: [{ a: 1 }, { a: 1 }] },
    ),
    kind: 'index',
  },
  {
    ...refused(
      UNIQUE,
      'an update to a value that is there',
      { update: COLLECTION, updates: [{ q: { _id: 2 }, u: { $set: { a: 1 } } }] },
      11000,
      { indexes: [unique({ a: 1 })], documents: [{ a: 1 }, { a: 2 }], keyPattern: { a: 1 }, keyValue: { a: 1 } },
    ),
    kind: 'index',
  },
  accepted(
    SPARSE,
    'unique and sparse: missing fields any number of times',
    [unique({ a: 1 }, { sparse: true })],
    [{ b: 1 }],
    { _id: 9, b: 2 },
  ),
  duplicate(
    SPARSE,
    'unique and sparse: null is a value',
    [unique({ a: 1 }, { sparse: true })],
    [{ a: null }],
    { _id: 9, a: null },
    { a: 1 },
    { a: null },
  ),
  query(
    SPARSE,
    'queries find documents without the field all the same',
    [{ a: 1 }, {}, { a: null }],
    { a: null },
    [2, 3],
    { indexes: [{ key: { a: 1 }, sparse: true }] },
  ),
  query(SPARSE, 'not existing', [{ a: 1 }, {}, { a: null }], { a: { $exists: false } }, [2], {
    indexes: [{ key: { a: 1 }, sparse: true }],
  }),
  plain(
    'index',
    SPARSE,
    'a sort by it is complete',
    [{ a: 1 }, {}],
    { find: COLLECTION, sort: { a: 1 } },
    { documents: [{ _id: 2 }, { _id: 1, a: 1 }] },
    { indexes: [{ key: { a: 1 }, sparse: true }] },
  ),
  plain(
    'index',
    SPARSE,
    'a hint takes it, and leaves documents out',
    [{ a: 1 }, {}],
    { find: COLLECTION, hint: { a: 1 } },
    { documents: [{ _id: 1, a: 1 }] },
    { indexes: [{ key: { a: 1 }, sparse: true }] },
  ),
  accepted(
    PARTIAL,
    'unique among those that fulfil the expression',
    [unique({ u: 1 }, { partialFilterExpression: { age: { $gte: 21 } } })],
    [{ u: 'x', age: 30 }],
    { _id: 9, u: 'x', age: 20 },
  ),
  accepted(
    PARTIAL,
    'where the field of the expression is missing',
    [unique({ u: 1 }, { partialFilterExpression: { age: { $gte: 21 } } })],
    [{ u: 'x', age: 30 }],
    { _id: 9, u: 'x' },
  ),
  duplicate(
    PARTIAL,
    'two that fulfil the expression',
    [unique({ u: 1 }, { partialFilterExpression: { age: { $gte: 21 } } })],
    [{ u: 'x', age: 30 }],
    { _id: 9, u: 'x', age: 25 },
    { u: 1 },
    { u: 'x' },
  ),
  query(
    PARTIAL,
    'a query that asks for more than it holds',
    [
      { c: 'x', r: 3 },
      { c: 'x', r: 9 },
    ],
    { c: 'x' },
    [1, 2],
    { indexes: [{ key: { c: 1 }, partialFilterExpression: { r: { $gt: 5 } } }] },
  ),
  query(
    PARTIAL,
    'a query that implies the expression',
    [
      { c: 'x', r: 3 },
      { c: 'x', r: 9 },
    ],
    { c: 'x', r: { $gte: 8 } },
    [2],
    { indexes: [{ key: { c: 1 }, partialFilterExpression: { r: { $gt: 5 } } }] },
  ),
  query(MULTIKEY, 'an element', [{ r: [2, 9] }, { r: [4] }, { r: 9 }], { r: 9 }, [1, 3], {
    indexes: [{ key: { r: 1 } }],
  }),
  query(MULTIKEY, 'a whole array', [{ r: [2, 9] }, { r: [9, 2] }, { r: [[2, 9]] }], { r: [2, 9] }, [1, 3], {
    indexes: [{ key: { r: 1 } }],
  }),
  query(
    MULTIKEY,
    'a range by different elements',
    [{ r: [1, 20] }, { r: [6] }, { r: [1] }],
    { r: { $gt: 5, $lt: 10 } },
    [1, 2],
    { indexes: [{ key: { r: 1 } }] },
  ),
  query(
    MULTIKEY,
    'fields of documents in an array',
    [{ s: [{ q: 1 }, { q: 5 }] }, { s: [{ q: 3 }] }],
    { 's.q': 5 },
    [1],
    { indexes: [{ key: { 's.q': 1 } }] },
  ),
  query(MULTIKEY, 'an empty array', [{ r: [] }, { r: [[]] }, { r: null }, {}], { r: [] }, [1, 2], {
    indexes: [{ key: { r: 1 } }],
  }),
  {
    ...refused(
      'core/indexes/index-types/index-multikey/create-multikey-index-compound',
      'two arrays in one document',
      insert({ _id: 9, a: [1, 2], b: [1, 2] }),
      171,
      { indexes: [{ key: { a: 1, b: 1 } }] },
    ),
    kind: 'index',
  },
  accepted(
    'core/indexes/index-types/index-multikey/create-multikey-index-compound',
    'one array at a time',
    [{ key: { a: 1, b: 1 } }],
    [{ a: [1, 2], b: 1 }],
    { _id: 9, a: 1, b: [1, 2] },
  ),
  query(
    'core/indexes/index-types/index-compound',
    'a prefix',
    [
      { a: 1, b: 1 },
      { a: 1, b: 2 },
      { a: 2, b: 1 },
    ],
    { a: 1 },
    [1, 2],
    { indexes: [{ key: { a: 1, b: -1 } }] },
  ),
  query(
    'core/indexes/index-types/index-compound',
    'equality and a range',
    [
      { a: 1, b: 1 },
      { a: 1, b: 2 },
      { a: 2, b: 2 },
    ],
    { a: 1, b: { $gt: 1 } },
    [2],
    { indexes: [{ key: { a: 1, b: -1 } }] },
  ),
  query(
    'core/indexes/index-types/index-compound',
    'a field that is no prefix',
    [
      { a: 1, b: 1 },
      { a: 2, b: 2 },
    ],
    { b: 2 },
    [2],
    { indexes: [{ key: { a: 1, b: 1 } }] },
  ),
  query('core/indexes/index-types/index-single', 'null and missing', [{ a: null }, {}, { a: 1 }], { a: null }, [1, 2], {
    indexes: [{ key: { a: -1 } }],
  }),
  query(
    'core/indexes/index-types/index-single',
    'an embedded document as a whole',
    [{ l: { s: 'NY', c: 'x' } }, { l: { c: 'x', s: 'NY' } }],
    { l: { s: 'NY', c: 'x' } },
    [1],
    { indexes: [{ key: { l: 1 } }] },
  ),
  plain(
    'index',
    'reference/command/createIndexes',
    'the numbers before and after',
    [{ a: 1 }],
    create({ key: { a: 1 }, name: 'a_1' }),
    { reply: { numIndexesBefore: 1, numIndexesAfter: 2 } },
  ),
  plain(
    'index',
    'reference/command/createIndexes',
    'the same index again',
    [{ a: 1 }],
    create({ key: { a: 1 }, name: 'a_1' }),
    { reply: { numIndexesBefore: 2, numIndexesAfter: 2 } },
    { indexes: [{ key: { a: 1 }, name: 'a_1' }] },
  ),
  plain(
    'index',
    'core/index-ttl',
    'expireAfterSeconds is listed',
    [{ d: new Date(4e12) }],
    { listIndexes: COLLECTION },
    {
      documents: [
        { v: 2, key: { _id: 1 }, name: '_id_' },
        { v: 2, key: { d: 1 }, name: 'd_1', expireAfterSeconds: 60 },
      ],
    },
    { indexes: [{ key: { d: 1 }, name: 'd_1', expireAfterSeconds: 60 }] },
  ),
  plain(
    'index',
    'reference/command/dropIndexes',
    'all but that of _id',
    [{ a: 1 }],
    { dropIndexes: COLLECTION, index: '*' },
    { reply: { nIndexesWas: 2 } },
    { indexes: [{ key: { a: 1 } }] },
  ),
];
