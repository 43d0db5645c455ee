import { Binary, BSONRegExp, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp } from 'bson';
import { COMPARISON, type ManualCase, query, sorted } from './case.js';

const long = (text: string): Long => Long.fromString(text);
const decimal = (text: string): Decimal128 => Decimal128.fromString(text);

// One value of every type, in the manual's order from least to greatest.
const TYPES = [
  { v: new MinKey() },
  { v: null },
  { v: 5 },
  { v: 'a' },
  { v: { a: 1 } },
  { v: [{ a: 1 }, { a: 2 }] },
  { v: new Binary(Buffer.from('a')) },
  { v: new ObjectId('000000000000000000000001') },
  { v: false },
  { v: new Date(0) },
  { v: new Timestamp({ t: 0, i: 1 }) },
  { v: new BSONRegExp('a') },
  { v: new MaxKey() },
];
const WHOLE_ARRAYS = TYPES.filter(({ v }) => !Array.isArray(v)).map((one, i) => ({ _id: i + 1, ...one }));
const IDS = WHOLE_ARRAYS.map(({ _id }) => _id);
const LADDER = [
  new Double(Number.NaN),
  new Double(Number.NEGATIVE_INFINITY),
  long('-9223372036854775808'),
  new Double(-2.5),
  0,
  decimal('0.1'),
  new Double(0.1),
  1,
  long('9007199254740993'),
  decimal('9007199254740993.5'),
  long('9007199254740994'),
  new Double(2 ** 63),
  decimal('1E+100'),
  new Double(Number.POSITIVE_INFINITY),
].map((v) => ({ v }));
const NUMBER_IDS = LADDER.map((_, i) => i + 1);
const NANS = [{ v: Number.NaN }, { v: decimal('NaN') }, { v: 1 }, {}];

/** Which values are equal, and which are less than others. */
export const COMPARISON_CASES: readonly ManualCase[] = [
  sorted(COMPARISON, 'all types, ascending', [...WHOLE_ARRAYS].reverse(), { v: 1 }, IDS),
  sorted(COMPARISON, 'all types, descending', WHOLE_ARRAYS, { v: -1 }, [...IDS].reverse()),
  sorted(
    COMPARISON,
    'numbers of all kinds by value',
    [...LADDER].map((one, i) => ({ _id: i + 1, ...one })).reverse(),
    { v: 1 },
    NUMBER_IDS,
  ),
  query(
    COMPARISON,
    'numbers of all kinds are equal by value',
    [{ v: 1 }, { v: new Double(1) }, { v: long('1') }, { v: decimal('1.00') }, { v: true }, { v: '1' }],
    { v: 1 },
    [1, 2, 3, 4],
  ),
  query(
    COMPARISON,
    '-0 is 0',
    [{ v: new Double(-0) }, { v: 0 }, { v: decimal('-0') }, { v: long('0') }],
    { v: 0 },
    [1, 2, 3, 4],
  ),
  query(COMPARISON, 'NaN is equal to NaN', NANS, { v: Number.NaN }, [1, 2]),
  query(COMPARISON, 'NaN is not less than a number in a query', NANS, { v: { $lt: 5 } }, [3]),
  query(COMPARISON, 'NaN is at least NaN', NANS, { v: { $gte: Number.NaN } }, [1, 2]),
  query(
    COMPARISON,
    'long integers beyond the doubles are exact',
    [{ v: long('9007199254740993') }, { v: long('9007199254740992') }],
    { v: { $gt: new Double(2 ** 53) } },
    [1],
  ),
  query(
    COMPARISON,
    'a decimal and a double of the same text are not the same number',
    [{ v: decimal('0.1') }, { v: new Double(0.1) }],
    { v: decimal('0.1') },
    [1],
  ),
  query(
    COMPARISON,
    'infinities of both kinds',
    [{ v: Number.POSITIVE_INFINITY }, { v: decimal('Infinity') }, { v: Number.MAX_VALUE }],
    { v: Number.POSITIVE_INFINITY },
    [1, 2],
  ),
  query(
    COMPARISON,
    'every value is at least MinKey, a missing one too',
    [{ v: 1 }, {}, { v: null }],
    { v: { $gte: new MinKey() } },
    [1, 2, 3],
  ),
  query(
    COMPARISON,
    'every value is below MaxKey',
    [{ v: 1 }, { v: 'x' }, { v: new MaxKey() }],
    { v: { $lt: new MaxKey() } },
    [1, 2],
  ),
  sorted(
    COMPARISON,
    'strings by their bytes',
    [{ v: 'a' }, { v: 'B' }, { v: 'ab' }, { v: '' }, { v: 'é' }, { v: '😀' }],
    { v: 1 },
    [4, 2, 1, 3, 5, 6],
  ),
  sorted(
    COMPARISON,
    'documents field by field: type, name, value, then the shorter one',
    [{ v: { a: 2 } }, { v: { a: 1, b: 1 } }, { v: { a: 1 } }, { v: { b: 0 } }, { v: { a: 'x' } }, { v: {} }],
    { v: 1 },
    [6, 3, 2, 1, 4, 5],
  ),
  query(
    COMPARISON,
    'documents are equal in the order of their fields only',
    [{ v: { a: 1, b: 2 } }, { v: { b: 2, a: 1 } }],
    { v: { a: 1, b: 2 } },
    [1],
  ),
  query(COMPARISON, 'numbers in documents by value', [{ v: { a: long('1') } }, { v: { a: 2 } }], { v: { a: 1 } }, [1]),
  query(
    COMPARISON,
    'a document is less than another',
    [{ v: { a: 1 } }, { v: { a: 3 } }, { v: 'x' }],
    { v: { $lt: { a: 2 } } },
    [1],
  ),
  sorted(
    COMPARISON,
    'arrays by their least element, ascending',
    [{ v: [3, 9] }, { v: 2 }, { v: [1, 10] }],
    { v: 1 },
    [3, 2, 1],
  ),
  sorted(
    COMPARISON,
    'arrays by their greatest element, descending',
    [{ v: [3, 9] }, { v: 2 }, { v: [1, 10] }],
    { v: -1 },
    [3, 1, 2],
  ),
  sorted(COMPARISON, 'an empty array is less than null', [{ v: null }, { v: [] }, { v: 1 }], { v: 1 }, [2, 1, 3]),
  sorted(COMPARISON, 'an array of one is that element', [{ v: [2] }, { v: 1 }, { v: 3 }], { v: 1 }, [2, 1, 3]),
  sorted(
    COMPARISON,
    'dates before 1970 come first',
    [{ v: new Date(5) }, { v: new Date(-5) }, { v: new Date(0) }],
    { v: 1 },
    [2, 3, 1],
  ),
  sorted(
    COMPARISON,
    'timestamps after dates',
    [{ v: new Timestamp({ t: 1, i: 1 }) }, { v: new Date(4e12) }],
    { v: 1 },
    [2, 1],
  ),
  sorted(
    COMPARISON,
    'binaries by length, then subtype, then bytes',
    [
      { v: new Binary(Buffer.from([1, 2]), 0) },
      { v: new Binary(Buffer.from([9]), 0) },
      { v: new Binary(Buffer.from([1, 1]), 128) },
      { v: new Binary(Buffer.from([1, 3]), 0) },
    ],
    { v: 1 },
    [2, 1, 4, 3],
  ),
  sorted(
    COMPARISON,
    'ObjectIds by their bytes',
    [{ v: new ObjectId('0000000000000000000000ff') }, { v: new ObjectId('000000000000000000000002') }],
    { v: 1 },
    [2, 1],
  ),
  query(
    COMPARISON,
    'ranges compare arrays with arrays',
    [{ v: [2, 1] }, { v: [1, 5] }, { v: 3 }],
    { v: { $gt: [1, 9] } },
    [1],
  ),
  sorted(COMPARISON, 'false before true', [{ v: true }, { v: false }], { v: 1 }, [2, 1]),
];

const SORT = 'reference/method/cursor.sort';
const PLACES = [
  { name: 'Central Park Cafe', borough: 'Manhattan' },
  { name: 'Rock A Feller Bar and Grill', borough: 'Queens' },
  { name: 'Empire State Pub', borough: 'Brooklyn' },
  { name: "Stan's Pizzaria", borough: 'Manhattan' },
  { name: "Jane's Deli", borough: 'Brooklyn' },
];

/** Orders of results. */
export const SORT_CASES: readonly ManualCase[] = [
  sorted(SORT, 'by two fields', PLACES, { borough: 1, _id: 1 }, [3, 5, 1, 4, 2]),
  sorted(SORT, 'directions apart', PLACES, { borough: 1, name: -1 }, [5, 3, 4, 1, 2]),
  sorted(SORT, 'a field of an embedded document', [{ a: { n: 2 } }, { a: { n: 1 } }, {}], { 'a.n': 1 }, [3, 2, 1]),
  sorted(SORT, 'missing as null', [{ n: 1 }, {}, { n: null }], { n: 1, _id: 1 }, [2, 3, 1]),
  sorted(SORT, 'missing last when descending', [{ n: 1 }, {}, { n: 2 }], { n: -1 }, [3, 1, 2]),
  sorted(SORT, 'with limit', [{ n: 3 }, { n: 1 }, { n: 2 }], { n: 1 }, [2, 3], { command: { limit: 2 } }),
  sorted(SORT, 'with skip and limit', [{ n: 3 }, { n: 1 }, { n: 2 }, { n: 0 }], { n: 1 }, [2, 3], {
    command: { skip: 1, limit: 2 },
  }),
  sorted(
    SORT,
    'fields of documents in an array: the least',
    [{ a: [{ n: 3 }, { n: 9 }] }, { a: [{ n: 1 }, { n: 20 }] }, { a: [{ n: 2 }] }],
    { 'a.n': 1 },
    [2, 3, 1],
  ),
  sorted(
    SORT,
    'fields of documents in an array: the greatest',
    [{ a: [{ n: 3 }, { n: 9 }] }, { a: [{ n: 1 }, { n: 20 }] }, { a: [{ n: 2 }] }],
    { 'a.n': -1 },
    [2, 1, 3],
  ),
  sorted(
    SORT,
    'a filter does not change which element an array sorts by',
    [{ n: [1, 9] }, { n: [5] }, { n: [3, 4] }],
    { n: 1 },
    [1, 2],
    { command: { filter: { n: { $gte: 5 } } } },
  ),
  sorted(SORT, 'by a position', [{ n: [1, 9] }, { n: [5, 2] }, { n: [3, 4] }], { 'n.1': 1 }, [2, 3, 1]),
  sorted(SORT, 'by an index, ascending', [{ n: 3 }, { n: 1 }, { n: 2 }], { n: 1 }, [2, 3, 1], {
    indexes: [{ key: { n: 1 } }],
  }),
  sorted(SORT, 'by an index backwards', [{ n: 3 }, { n: 1 }, { n: 2 }], { n: -1 }, [1, 3, 2], {
    indexes: [{ key: { n: 1 } }],
  }),
  sorted(
    'tutorial/sort-results-with-indexes',
    'a compound index in its own order',
    [
      { a: 1, b: 1 },
      { a: 1, b: 2 },
      { a: 0, b: 5 },
    ],
    { a: 1, b: -1 },
    [3, 2, 1],
    { indexes: [{ key: { a: 1, b: -1 } }] },
  ),
  sorted(
    'tutorial/sort-results-with-indexes',
    'a compound index against its order',
    [
      { a: 1, b: 1 },
      { a: 1, b: 2 },
      { a: 0, b: 5 },
    ],
    { a: -1, b: 1 },
    [1, 2, 3],
    { indexes: [{ key: { a: 1, b: -1 } }] },
  ),
  sorted(
    'tutorial/sort-results-with-indexes',
    'an order that the index does not have',
    [
      { a: 1, b: 1 },
      { a: 1, b: 2 },
      { a: 0, b: 5 },
    ],
    { a: 1, b: 1 },
    [3, 1, 2],
    { indexes: [{ key: { a: 1, b: -1 } }] },
  ),
  sorted(
    'tutorial/sort-results-with-indexes',
    'equality on the prefix, then the rest',
    [
      { a: 1, b: 3 },
      { a: 1, b: 1 },
      { a: 2, b: 0 },
      { a: 1, b: 2 },
    ],
    { b: 1 },
    [2, 4, 1],
    { indexes: [{ key: { a: 1, b: 1 } }], command: { filter: { a: 1 } } },
  ),
  sorted(
    'tutorial/sort-results-with-indexes',
    'a multikey index',
    [{ n: [3, 9] }, { n: [1, 20] }, { n: 2 }],
    { n: -1 },
    [2, 1, 3],
    { indexes: [{ key: { n: 1 } }] },
  ),
  sorted(SORT, 'mixed types by an index', WHOLE_ARRAYS, { v: -1 }, [...IDS].reverse(), {
    indexes: [{ key: { v: 1 } }],
  }),
  sorted(
    SORT,
    'numbers of all kinds by an index',
    [...LADDER].map((one, i) => ({ _id: i + 1, ...one })).reverse(),
    { v: 1 },
    NUMBER_IDS,
    { indexes: [{ key: { v: 1 } }] },
  ),
  sorted(
    SORT,
    'by _id',
    [{ _id: 3 }, { _id: new Int32(1) }, { _id: 2 }].map(({ _id }) => ({ _id: Number(_id) })),
    { _id: -1 },
    [3, 2, 1],
  ),
];
