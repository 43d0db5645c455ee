import { Decimal128, type Document, Double, deserialize, EJSON, Long, ObjectId, serialize, Timestamp } from 'bson';
import t from 'tap';
import { field, type RawValue, rawDocument } from '../../../src/local/mongo/bson/raw-value.js';
import { documentOf } from '../../../src/local/mongo/bson/writer.js';
import { StoreError } from '../../../src/local/mongo/errors.js';
import { commandScope, compileExpression } from '../../../src/local/mongo/query/expression.js';

const NOW = Date.UTC(2024, 1, 29, 12, 30, 15, 250);
const raw = (document: Document): RawValue => rawDocument(Buffer.from(serialize(document, { ignoreUndefined: false })));
const value = (one: unknown): RawValue => field(raw({ v: one }), 'v') as RawValue;
const long = (text: string | number): Long => Long.fromString(String(text));
const double = (number: number): Double => new Double(number);
const dec = (text: string): Decimal128 => Decimal128.fromString(text);
const date = (text: string): Date => new Date(text);
// A property of this very name would make an object look like a promise.
const THEN = 'then';
const MISSING = Symbol('missing');

function evaluate(expression: unknown, document: Document = {}): string {
  const scope = commandScope(raw({ given: 7, list: [1, 2] }), NOW);
  const result = compileExpression(value(expression), scope)(raw(document));
  return result === undefined ? 'missing' : text(documentOf([['v', result]]));
}

function text(document: RawValue): string {
  const bytes = Buffer.from(document.bytes.subarray(document.start, document.end));
  return EJSON.stringify(deserialize(bytes, { promoteValues: false, bsonRegExp: true }), { relaxed: false });
}

const shown = (expected: unknown): string => (expected === MISSING ? 'missing' : text(raw({ v: expected })));

const D1 = date('2024-02-29T12:34:56.789Z');
type Case = readonly [expression: unknown, document: Document, expected: unknown];

// By page of the manual: https://www.mongodb.com/docs/v8.0/reference/operator/aggregation/PAGE/ and for the first two .../v8.0/reference/aggregation-variables/ and
// .../v8.0/core/aggregation-pipeline/.
const PAGES: readonly (readonly [page: string, cases: readonly Case[]])[] = [
  [
    'aggregation-variables',
    [
      ['$$ROOT', { a: 1 }, { a: 1 }],
      ['$$CURRENT.a', { a: 1 }, 1],
      ['$$NOW', {}, new Date(NOW)],
      [{ a: '$$REMOVE', b: 1 }, {}, { b: 1 }],
      ['$$REMOVE', {}, MISSING],
      ['$$given', {}, 7],
    ],
  ],
  [
    'field-path',
    [
      ['$a.b', { a: { b: 5 } }, 5],
      ['$a.b', { a: [{ b: 1 }, { c: 2 }, { b: 3 }] }, [1, 3]],
      ['$a.b', { a: [[{ b: 1 }]] }, []],
      ['$a.b', { a: 5 }, MISSING],
      ['$a.0', { a: [5] }, []],
      ['$x', {}, MISSING],
      [['$x', 1], {}, [null, 1]],
      [{ x: '$x', y: { z: '$a' } }, { a: 1 }, { y: { z: 1 } }],
      [long(5), {}, long(5)],
    ],
  ],
  ['literal', [[{ $literal: '$a' }, { a: 1 }, '$a']]],
  [
    'add',
    [
      [{ $add: [1, 2] }, {}, 3],
      [{ $add: [1, double(2)] }, {}, double(3)],
      [{ $add: [2147483647, 1] }, {}, long(2147483648)],
      [{ $add: [long('9223372036854775807'), 1] }, {}, double(2 ** 63)],
      [{ $add: ['$x', 1] }, {}, null],
      [{ $add: [] }, {}, 0],
      [{ $add: [dec('0.1'), 1] }, {}, dec('1.1')],
      [{ $add: [D1, 1000] }, {}, date('2024-02-29T12:34:57.789Z')],
      [{ $add: [1.5, D1] }, {}, date('2024-02-29T12:34:56.791Z')],
    ],
  ],
  [
    'subtract',
    [
      [{ $subtract: [5, 7] }, {}, -2],
      [{ $subtract: [-2147483648, 1] }, {}, long(-2147483649)],
      [{ $subtract: [long(5), 1] }, {}, long(4)],
      [{ $subtract: [D1, date('2024-02-29T12:34:55.789Z')] }, {}, long(1000)],
      [{ $subtract: [D1, 789] }, {}, date('2024-02-29T12:34:56Z')],
      [{ $subtract: [dec('1.5'), dec('0.25')] }, {}, dec('1.25')],
      [{ $subtract: [null, 1] }, {}, null],
    ],
  ],
  [
    'multiply',
    [
      [{ $multiply: [3, 4] }, {}, 12],
      [{ $multiply: [65536, 65536] }, {}, long(4294967296)],
      [{ $multiply: [3, 0.5] }, {}, double(1.5)],
      [{ $multiply: [long('9223372036854775807'), 2] }, {}, double(2 ** 64)],
      [{ $multiply: [dec('1.10'), 3] }, {}, dec('3.30')],
      [{ $multiply: [] }, {}, 1],
    ],
  ],
  [
    'divide',
    [
      [{ $divide: [6, 3] }, {}, double(2)],
      [{ $divide: [1, 3] }, {}, double(1 / 3)],
      [{ $divide: [dec('1'), 3] }, {}, dec('0.3333333333333333333333333333333333')],
      [{ $divide: [dec('2'), 3] }, {}, dec('0.6666666666666666666666666666666667')],
      [{ $divide: [dec('6.00'), dec('2')] }, {}, dec('3.00')],
      [{ $divide: [dec('1'), dec('4')] }, {}, dec('0.25')],
      [{ $divide: [null, 3] }, {}, null],
    ],
  ],
  [
    'mod',
    [
      [{ $mod: [-5, 3] }, {}, -2],
      [{ $mod: [5.5, 2] }, {}, double(1.5)],
      [{ $mod: [long(7), 4] }, {}, long(3)],
      [{ $mod: [dec('7.5'), 2] }, {}, dec('1.5')],
    ],
  ],
  [
    'abs',
    [
      [{ $abs: -5 }, {}, 5],
      [{ $abs: -2147483648 }, {}, long(2147483648)],
      [{ $abs: -1.5 }, {}, double(1.5)],
      [{ $abs: [dec('-1.50')] }, {}, dec('1.50')],
      [{ $abs: '$x' }, {}, null],
    ],
  ],
  [
    'ceil',
    [
      [{ $ceil: 7.8 }, {}, double(8)],
      [{ $ceil: -2.8 }, {}, double(-2)],
      [{ $ceil: dec('1.2') }, {}, dec('2')],
      [{ $ceil: 5 }, {}, 5],
    ],
  ],
  [
    'floor',
    [
      [{ $floor: -2.8 }, {}, double(-3)],
      [{ $floor: dec('-1.2') }, {}, dec('-2')],
      [{ $floor: long(5) }, {}, long(5)],
    ],
  ],
  [
    'round',
    [
      [{ $round: [19.25, 1] }, {}, double(19.2)],
      [{ $round: [2.5] }, {}, double(2)],
      [{ $round: 3.5 }, {}, double(4)],
      [{ $round: [1234, -2] }, {}, 1200],
      [{ $round: [1250, -2] }, {}, 1200],
      [{ $round: [dec('1.255'), 2] }, {}, dec('1.26')],
      [{ $round: [2147483647, -1] }, {}, long(2147483650)],
      [{ $round: [-0.4] }, {}, double(-0)],
      [{ $round: [null, 1] }, {}, null],
    ],
  ],
  [
    'trunc',
    [
      [{ $trunc: [19.25, 1] }, {}, double(19.2)],
      [{ $trunc: -2.9 }, {}, double(-2)],
      [{ $trunc: [1299, -2] }, {}, 1200],
    ],
  ],
  [
    'sqrt',
    [
      [{ $sqrt: 25 }, {}, double(5)],
      [{ $sqrt: dec('2') }, {}, dec('1.414213562373095048801688724209698')],
      [{ $sqrt: dec('6.25') }, {}, dec('2.5')],
    ],
  ],
  [
    'pow',
    [
      [{ $pow: [5, 2] }, {}, 25],
      [{ $pow: [2, 31] }, {}, long(2147483648)],
      [{ $pow: [2, 64] }, {}, double(2 ** 64)],
      [{ $pow: [2, -1] }, {}, double(0.5)],
      [{ $pow: [-1, -3] }, {}, -1],
      [{ $pow: [long(2), 3] }, {}, long(8)],
      [{ $pow: [4, 0.5] }, {}, double(2)],
    ],
  ],
  ['exp', [[{ $exp: 0 }, {}, double(1)]]],
  ['ln', [[{ $ln: 1 }, {}, double(0)]]],
  ['log', [[{ $log: [100, 10] }, {}, double(2)]]],
  ['log10', [[{ $log10: 1000 }, {}, double(3)]]],
  [
    'eq',
    [
      [{ $eq: ['$a', 1] }, { a: long(1) }, true],
      [{ $eq: ['$a', 1] }, { a: dec('1.0') }, true],
      [{ $eq: ['$a', null] }, {}, false],
      [{ $eq: ['$a', [1]] }, { a: [1] }, true],
      [{ $eq: ['$a', 1] }, { a: [1] }, false],
      [{ $eq: ['$a', '$b'] }, {}, true],
    ],
  ],
  ['ne', [[{ $ne: ['$a', 1] }, {}, true]]],
  [
    'gt',
    [
      [{ $gt: ['a', 100] }, {}, true],
      [{ $gt: [null, '$x'] }, {}, true],
    ],
  ],
  ['gte', [[{ $gte: [double(1), 1] }, {}, true]]],
  [
    'lt',
    [
      [{ $lt: ['$x', 5] }, {}, true],
      [{ $lt: [long('9007199254740993'), double(9007199254740992)] }, {}, false],
    ],
  ],
  ['lte', [[{ $lte: [5, 4] }, {}, false]]],
  [
    'cmp',
    [
      [{ $cmp: [1, 2] }, {}, -1],
      [{ $cmp: ['b', 'a'] }, {}, 1],
      [{ $cmp: [dec('2'), 2] }, {}, 0],
    ],
  ],
  [
    'and',
    [
      [{ $and: [1, 'x', []] }, {}, true],
      [{ $and: [1, null] }, {}, false],
      [{ $and: [] }, {}, true],
      [{ $and: [0, { $divide: [1, 0] }] }, {}, false],
    ],
  ],
  [
    'or',
    [
      [{ $or: [0, '$x', dec('0')] }, {}, false],
      [{ $or: [1, { $divide: [1, 0] }] }, {}, true],
    ],
  ],
  [
    'not',
    [
      [{ $not: [false] }, {}, true],
      [{ $not: ['$x'] }, {}, true],
      [{ $not: [[false]] }, {}, false],
    ],
  ],
  [
    'cond',
    [
      [{ $cond: [{ $gte: ['$q', 250] }, 30, 20] }, { q: 300 }, 30],
      [{ $cond: { if: '$q', [THEN]: 'y', else: '$$REMOVE' } }, {}, MISSING],
    ],
  ],
  [
    'ifNull',
    [
      [{ $ifNull: ['$x', '$y', 'z'] }, { y: null }, 'z'],
      [{ $ifNull: ['$x', '$y'] }, {}, MISSING],
      [{ $ifNull: ['$x', 1] }, { x: false }, false],
    ],
  ],
  [
    'switch',
    [
      [
        {
          $switch: {
            branches: [
              { case: { $eq: [0, 5] }, [THEN]: 'a' },
              { case: true, [THEN]: 'b' },
            ],
          },
        },
        {},
        'b',
      ],
      [{ $switch: { branches: [{ case: false, [THEN]: 1 }], default: 'd' } }, {}, 'd'],
    ],
  ],
  [
    'let',
    [
      [{ $let: { vars: { a: '$x', b: { $add: ['$x', 1] } }, in: { $multiply: ['$$a', '$$b'] } } }, { x: 3 }, 12],
      [{ $let: { vars: { a: 1 }, in: { $let: { vars: { a: 2, b: '$$a' }, in: ['$$a', '$$b'] } } } }, {}, [2, 1]],
    ],
  ],
  ['size', [[{ $size: '$a' }, { a: [1, 2] }, 2]]],
  [
    'arrayElemAt',
    [
      [{ $arrayElemAt: [[1, 2, 3], -1] }, {}, 3],
      [{ $arrayElemAt: [[1], 5] }, {}, MISSING],
      [{ $arrayElemAt: ['$x', 0] }, {}, null],
    ],
  ],
  [
    'first',
    [
      [{ $first: '$a' }, { a: [[1], 2] }, [1]],
      [{ $first: [[]] }, {}, MISSING],
    ],
  ],
  ['last', [[{ $last: '$a' }, { a: [1, 'z'] }, 'z']]],
  ['firstN', [[{ $firstN: { n: 2, input: [1, null, 3] } }, {}, [1, null]]]],
  ['lastN', [[{ $lastN: { n: 2, input: [1, 2, 3] } }, {}, [2, 3]]]],
  ['minN', [[{ $minN: { n: 2, input: [3, null, 1, 2] } }, {}, [1, 2]]]],
  ['maxN', [[{ $maxN: { n: 2, input: [3, null, 1, 2] } }, {}, [3, 2]]]],
  [
    'in',
    [
      [{ $in: [long(2), [1, 2]] }, {}, true],
      [{ $in: ['x', [1]] }, {}, false],
    ],
  ],
  [
    'concatArrays',
    [
      [{ $concatArrays: [[1], [], ['a']] }, {}, [1, 'a']],
      [{ $concatArrays: [[1], '$x'] }, {}, null],
    ],
  ],
  [
    'slice',
    [
      [{ $slice: [[1, 2, 3], 2] }, {}, [1, 2]],
      [{ $slice: [[1, 2, 3], -2] }, {}, [2, 3]],
      [{ $slice: [[1, 2, 3], 1, 1] }, {}, [2]],
      [{ $slice: [[1, 2, 3], -5, 2] }, {}, [1, 2]],
      [{ $slice: [[1], 5, 2] }, {}, []],
    ],
  ],
  [
    'filter',
    [
      [{ $filter: { input: [1, 5, 9], as: 'n', cond: { $gt: ['$$n', 4] } } }, {}, [5, 9]],
      [{ $filter: { input: [1, 5, 9], cond: { $gt: ['$$this', 0] }, limit: 2 } }, {}, [1, 5]],
      [{ $filter: { input: null, cond: true } }, {}, null],
    ],
  ],
  [
    'map',
    [
      [{ $map: { input: '$a', as: 'n', in: { $add: ['$$n', '$b'] } } }, { a: [1, 2], b: 10 }, [11, 12]],
      [{ $map: { input: [{ q: 1 }, {}], in: '$$this.q' } }, {}, [1, null]],
      [
        { $map: { input: [1, 2], as: 'x', in: { $map: { input: [10, 20], as: 'y', in: { $add: ['$$x', '$$y'] } } } } },
        {},
        [
          [11, 21],
          [12, 22],
        ],
      ],
    ],
  ],
  [
    'reduce',
    [
      [{ $reduce: { input: ['a', 'b', 'c'], initialValue: '', in: { $concat: ['$$value', '$$this'] } } }, {}, 'abc'],
      [{ $reduce: { input: [], initialValue: 5, in: 1 } }, {}, 5],
    ],
  ],
  [
    'isArray',
    [
      [{ $isArray: ['$a'] }, { a: [] }, true],
      [{ $isArray: ['$x'] }, {}, false],
    ],
  ],
  [
    'indexOfArray',
    [
      [{ $indexOfArray: [['a', 'b', 'a'], 'a', 1] }, {}, 2],
      [{ $indexOfArray: [['a', 'b'], 'b', 0, 1] }, {}, -1],
      [{ $indexOfArray: [null, 1] }, {}, null],
    ],
  ],
  [
    'range',
    [
      [{ $range: [0, 10, 3] }, {}, [0, 3, 6, 9]],
      [{ $range: [3, 0, -1] }, {}, [3, 2, 1]],
      [{ $range: [0, 5, -1] }, {}, []],
    ],
  ],
  ['reverseArray', [[{ $reverseArray: [[1, 2, 3]] }, {}, [3, 2, 1]]]],
  [
    'zip',
    [
      [
        { $zip: { inputs: [['a', 'b'], [1]], useLongestLength: true, defaults: ['z', 0] } },
        {},
        [
          ['a', 1],
          ['b', 0],
        ],
      ],
      [{ $zip: { inputs: [['a', 'b'], [1]] } }, {}, [['a', 1]]],
    ],
  ],
  [
    'arrayToObject',
    [
      [
        {
          $arrayToObject: [
            [
              ['a', 1],
              ['b', 2],
            ],
          ],
        },
        {},
        { a: 1, b: 2 },
      ],
      [
        {
          $arrayToObject: [
            [
              { k: 'a', v: 1 },
              { k: 'a', v: 3 },
            ],
          ],
        },
        {},
        { a: 3 },
      ],
    ],
  ],
  [
    'objectToArray',
    [
      [
        { $objectToArray: { a: 1, b: '$x' } },
        { x: 2 },
        [
          { k: 'a', v: 1 },
          { k: 'b', v: 2 },
        ],
      ],
    ],
  ],
  [
    'sortArray',
    [
      [{ $sortArray: { input: [3, 'a', 1, null], sortBy: 1 } }, {}, [null, 1, 3, 'a']],
      [
        { $sortArray: { input: [{ n: 1, m: 2 }, { n: 1, m: 1 }, { n: 0 }], sortBy: { n: 1, m: 1 } } },
        {},
        [{ n: 0 }, { n: 1, m: 1 }, { n: 1, m: 2 }],
      ],
      [{ $sortArray: { input: [dec('2.5'), 2, long(3)], sortBy: -1 } }, {}, [long(3), dec('2.5'), 2]],
    ],
  ],
  [
    'setUnion',
    [
      [
        {
          $setUnion: [
            [3, 1],
            [2, double(1)],
          ],
        },
        {},
        [1, 2, 3],
      ],
    ],
  ],
  [
    'setIntersection',
    [
      [
        {
          $setIntersection: [
            ['b', 'a'],
            ['c', 'a', 'b'],
          ],
        },
        {},
        ['a', 'b'],
      ],
    ],
  ],
  ['setDifference', [[{ $setDifference: [['c', 'a', 'c', 'b'], ['a']] }, {}, ['c', 'b']]]],
  [
    'setEquals',
    [
      [
        {
          $setEquals: [
            [1, 2, 2],
            [2, 1],
            [2, 1, 1],
          ],
        },
        {},
        true,
      ],
    ],
  ],
  ['setIsSubset', [[{ $setIsSubset: [[1], [2, 1]] }, {}, true]]],
  ['anyElementTrue', [[{ $anyElementTrue: [[0, null, 'x']] }, {}, true]]],
  ['allElementsTrue', [[{ $allElementsTrue: [[1, 0]] }, {}, false]]],
  [
    'concat',
    [
      [{ $concat: ['a', ' - ', 'b'] }, {}, 'a - b'],
      [{ $concat: ['a', '$x'] }, {}, null],
    ],
  ],
  [
    'substrCP',
    [
      [{ $substrCP: ['héllo😀x', 1, 5] }, {}, 'éllo😀'],
      [{ $substrCP: [null, 0, 1] }, {}, ''],
    ],
  ],
  [
    'substrBytes',
    [
      [{ $substrBytes: ['cafétéria', 0, 5] }, {}, 'café'],
      [{ $substrBytes: ['hello', 1, -1] }, {}, 'ello'],
      [{ $substr: [123, 0, 2] }, {}, '12'],
      [{ $substrBytes: ['abc', 9, 1] }, {}, ''],
    ],
  ],
  ['toLower', [[{ $toLower: 'ABCÉ' }, {}, 'abcÉ']]],
  [
    'toUpper',
    [
      [{ $toUpper: 'abcé' }, {}, 'ABCé'],
      [{ $toUpper: null }, {}, ''],
      [{ $toUpper: D1 }, {}, '2024-02-29T12:34:56.789Z'],
    ],
  ],
  ['strLenCP', [[{ $strLenCP: 'é😀' }, {}, 2]]],
  ['strLenBytes', [[{ $strLenBytes: 'é😀' }, {}, 6]]],
  [
    'split',
    [
      [{ $split: ['a-b-', '-'] }, {}, ['a', 'b', '']],
      [{ $split: [null, '-'] }, {}, null],
    ],
  ],
  [
    'trim',
    [
      [{ $trim: { input: ' \n good \t' } }, {}, 'good'],
      [{ $trim: { input: 'xxgoodyx', chars: 'xy' } }, {}, 'good'],
    ],
  ],
  ['ltrim', [[{ $ltrim: { input: '  a ' } }, {}, 'a ']]],
  ['rtrim', [[{ $rtrim: { input: ' a  ' } }, {}, ' a']]],
  [
    'indexOfCP',
    [
      [{ $indexOfCP: ['cafétéria', 'é', 4] }, {}, 5],
      [{ $indexOfCP: ['foo', 'o', 0, 1] }, {}, -1],
      [{ $indexOfCP: ['$x', 'o'] }, {}, null],
    ],
  ],
  ['indexOfBytes', [[{ $indexOfBytes: ['cafétéria', 't'] }, {}, 5]]],
  [
    'strcasecmp',
    [
      [{ $strcasecmp: ['abc', 'ABD'] }, {}, -1],
      [{ $strcasecmp: ['$x', 'a'] }, {}, -1],
    ],
  ],
  ['replaceOne', [[{ $replaceOne: { input: 'aba', find: 'a', replacement: { $literal: '$&' } } }, {}, '$&ba']]],
  [
    'replaceAll',
    [
      [{ $replaceAll: { input: 'aba', find: 'a', replacement: 'x' } }, {}, 'xbx'],
      [{ $replaceAll: { input: null, find: 'a', replacement: 'x' } }, {}, null],
    ],
  ],
  [
    'regexMatch',
    [
      [{ $regexMatch: { input: 'Abc', regex: '^ab', options: 'i' } }, {}, true],
      [{ $regexMatch: { input: null, regex: 'a' } }, {}, false],
    ],
  ],
  [
    'regexFind',
    [
      [{ $regexFind: { input: 'é–hello', regex: /(h)(x)?/ } }, {}, { match: 'h', idx: 2, captures: ['h', null] }],
      [{ $regexFind: { input: 'a', regex: 'b' } }, {}, null],
    ],
  ],
  [
    'regexFindAll',
    [
      [
        { $regexFindAll: { input: 'café ab', regex: /[a-c]/ } },
        {},
        [
          { match: 'c', idx: 0, captures: [] },
          { match: 'a', idx: 1, captures: [] },
          { match: 'a', idx: 5, captures: [] },
          { match: 'b', idx: 6, captures: [] },
        ],
      ],
      [{ $regexFindAll: { input: '$x', regex: 'a' } }, {}, []],
      [
        { $regexFindAll: { input: 'ab', regex: 'b*' } },
        {},
        [
          { match: '', idx: 0, captures: [] },
          { match: 'b', idx: 1, captures: [] },
        ],
      ],
    ],
  ],
  [
    'type',
    [
      [{ $type: '$a' }, { a: 1 }, 'int'],
      [{ $type: { $divide: [4, 2] } }, {}, 'double'],
      [{ $type: '$x' }, {}, 'missing'],
      [{ $type: '$a' }, { a: long(1) }, 'long'],
      [{ $type: '$a' }, { a: dec('1') }, 'decimal'],
    ],
  ],
  [
    'isNumber',
    [
      [{ $isNumber: dec('1') }, {}, true],
      [{ $isNumber: '1' }, {}, false],
    ],
  ],
  [
    'toString',
    [
      [{ $toString: true }, {}, 'true'],
      [{ $toString: 2.5 }, {}, '2.5'],
      [{ $toString: double(1e20) }, {}, '1e+20'],
      [{ $toString: double(0.1) }, {}, '0.1'],
      [{ $toString: long('9007199254740993') }, {}, '9007199254740993'],
      [{ $toString: dec('1.10') }, {}, '1.10'],
      [{ $toString: D1 }, {}, '2024-02-29T12:34:56.789Z'],
      [{ $toString: new ObjectId('5ab9c3da31c2ab715d421285') }, {}, '5ab9c3da31c2ab715d421285'],
      [{ $toString: null }, {}, null],
    ],
  ],
  [
    'toInt',
    [
      [{ $toInt: '-5' }, {}, -5],
      [{ $toInt: 5.9 }, {}, 5],
      [{ $toInt: true }, {}, 1],
      [{ $toInt: dec('5.5') }, {}, 5],
    ],
  ],
  [
    'toLong',
    [
      [{ $toLong: '9007199254740993' }, {}, long('9007199254740993')],
      [{ $toLong: D1 }, {}, long(D1.getTime())],
    ],
  ],
  [
    'toDouble',
    [
      [{ $toDouble: '-5.5' }, {}, double(-5.5)],
      [{ $toDouble: 5 }, {}, double(5)],
    ],
  ],
  [
    'toDecimal',
    [
      [{ $toDecimal: '1.10' }, {}, dec('1.10')],
      [{ $toDecimal: 5 }, {}, dec('5')],
      [{ $toDecimal: true }, {}, dec('1')],
    ],
  ],
  [
    'toBool',
    [
      [{ $toBool: 'false' }, {}, true],
      [{ $toBool: 0 }, {}, false],
      [{ $toBool: D1 }, {}, true],
    ],
  ],
  [
    'toDate',
    [
      [{ $toDate: '2018-03-20' }, {}, date('2018-03-20')],
      [{ $toDate: '2018-03-20T11:00:06Z' }, {}, date('2018-03-20T11:00:06Z')],
      [{ $toDate: '2018-03-20 11:00:06 +0500' }, {}, date('2018-03-20T06:00:06Z')],
      [{ $toDate: long(1000) }, {}, new Date(1000)],
      [{ $toDate: new ObjectId('5ab9c3da31c2ab715d421285') }, {}, date('2018-03-27T04:08:58Z')],
      [{ $toDate: new Timestamp({ t: 10, i: 1 }) }, {}, new Date(10_000)],
    ],
  ],
  ['toObjectId', [[{ $toObjectId: '5ab9c3da31c2ab715d421285' }, {}, new ObjectId('5ab9c3da31c2ab715d421285')]]],
  [
    'convert',
    [
      [{ $convert: { input: 'x', to: 'int', onError: 'bad' } }, {}, 'bad'],
      [{ $convert: { input: null, to: 'int', onNull: 0 } }, {}, 0],
      [{ $convert: { input: 1, to: 16 } }, {}, 1],
      [{ $convert: { input: '1', to: null } }, {}, null],
    ],
  ],
  [
    'mergeObjects',
    [
      [{ $mergeObjects: [{ a: 1, b: 1 }, null, { b: 2, c: 3 }] }, {}, { a: 1, b: 2, c: 3 }],
      [{ $mergeObjects: '$a' }, { a: { x: 1 } }, { x: 1 }],
    ],
  ],
  [
    'getField',
    [
      [{ $getField: 'a.b' }, { 'a.b': 1 }, 1],
      [{ $getField: { field: { $literal: '$p' }, input: { $literal: { $p: 2 } } } }, {}, 2],
      [{ $getField: { field: 'x', input: '$none' } }, {}, MISSING],
    ],
  ],
  [
    'setField',
    [
      [{ $setField: { field: 'a.b', input: '$$ROOT', value: 2 } }, { c: 1 }, { c: 1, 'a.b': 2 }],
      [{ $setField: { field: 'c', input: '$$ROOT', value: '$$REMOVE' } }, { c: 1, d: 2 }, { d: 2 }],
    ],
  ],
  ['unsetField', [[{ $unsetField: { field: 'a', input: '$$ROOT' } }, { a: 1, b: 2 }, { b: 2 }]]],
  [
    'year',
    [
      [{ $year: D1 }, {}, 2024],
      [{ $year: { date: date('2023-12-31T23:30:00Z'), timezone: 'Europe/Berlin' } }, {}, 2024],
      [{ $year: null }, {}, null],
    ],
  ],
  ['month', [[{ $month: [D1] }, {}, 2]]],
  ['dayOfMonth', [[{ $dayOfMonth: D1 }, {}, 29]]],
  ['dayOfWeek', [[{ $dayOfWeek: D1 }, {}, 5]]],
  ['dayOfYear', [[{ $dayOfYear: D1 }, {}, 60]]],
  [
    'hour',
    [
      [{ $hour: D1 }, {}, 12],
      [{ $hour: { date: D1, timezone: '+05:30' } }, {}, 18],
      [{ $hour: { date: D1, timezone: 'America/New_York' } }, {}, 7],
    ],
  ],
  ['minute', [[{ $minute: D1 }, {}, 34]]],
  ['second', [[{ $second: D1 }, {}, 56]]],
  ['millisecond', [[{ $millisecond: D1 }, {}, 789]]],
  [
    'week',
    [
      [{ $week: date('2016-01-01') }, {}, 0],
      [{ $week: date('2016-01-04') }, {}, 1],
      [{ $week: date('2011-08-14') }, {}, 33],
    ],
  ],
  [
    'isoWeek',
    [
      [{ $isoWeek: date('2016-01-01') }, {}, 53],
      [{ $isoWeek: date('2016-01-04') }, {}, 1],
    ],
  ],
  ['isoWeekYear', [[{ $isoWeekYear: date('2016-01-01') }, {}, long(2015)]]],
  ['isoDayOfWeek', [[{ $isoDayOfWeek: date('2016-01-03') }, {}, 7]]],
  [
    'dateToString',
    [
      [{ $dateToString: { date: D1 } }, {}, '2024-02-29T12:34:56.789Z'],
      [{ $dateToString: { date: D1, timezone: '-0430' } }, {}, '2024-02-29T08:04:56.789'],
      [
        {
          $dateToString: {
            date: D1,
            format: '%Y/%m/%d %H:%M:%S.%L %j %w %u %U %V %G %% %b %B %z %Z',
            timezone: '+0200',
          },
        },
        {},
        '2024/02/29 14:34:56.789 060 5 4 08 09 2024 % Feb February +0200 +120',
      ],
      [{ $dateToString: { date: '$x', onNull: 'none' } }, {}, 'none'],
    ],
  ],
  [
    'dateToParts',
    [
      [
        { $dateToParts: { date: D1 } },
        {},
        { year: 2024, month: 2, day: 29, hour: 12, minute: 34, second: 56, millisecond: 789 },
      ],
      [
        { $dateToParts: { date: D1, iso8601: true } },
        {},
        { isoWeekYear: 2024, isoWeek: 9, isoDayOfWeek: 4, hour: 12, minute: 34, second: 56, millisecond: 789 },
      ],
    ],
  ],
  [
    'dateFromParts',
    [
      [{ $dateFromParts: { year: 2017, month: 2, day: 8, hour: 12 } }, {}, date('2017-02-08T12:00:00Z')],
      [{ $dateFromParts: { year: 2016, month: 14, day: 1 } }, {}, date('2017-02-01')],
      [
        { $dateFromParts: { isoWeekYear: 2017, isoWeek: 6, isoDayOfWeek: 3, hour: 12 } },
        {},
        date('2017-02-08T12:00:00Z'),
      ],
      [
        {
          $dateFromParts: {
            year: 2016,
            month: 12,
            day: 31,
            hour: 23,
            minute: 46,
            second: 12,
            timezone: 'America/New_York',
          },
        },
        {},
        date('2017-01-01T04:46:12Z'),
      ],
      [{ $dateFromParts: { year: 2024, month: null } }, {}, null],
    ],
  ],
  [
    'dateFromString',
    [
      [{ $dateFromString: { dateString: '2017-02-08T12:10:40.787' } }, {}, date('2017-02-08T12:10:40.787Z')],
      [
        { $dateFromString: { dateString: '2017-02-08T12:10:40.787', timezone: 'America/New_York' } },
        {},
        date('2017-02-08T17:10:40.787Z'),
      ],
      [{ $dateFromString: { dateString: '2017-02-08', timezone: '+02:00' } }, {}, date('2017-02-07T22:00:00Z')],
      [{ $dateFromString: { dateString: 'nonsense', onError: 'bad' } }, {}, 'bad'],
      [{ $dateFromString: { dateString: null, onNull: 0 } }, {}, 0],
    ],
  ],
  [
    'dateAdd',
    [
      [
        { $dateAdd: { startDate: date('2020-10-31T12:10:05Z'), unit: 'month', amount: 1 } },
        {},
        date('2020-11-30T12:10:05Z'),
      ],
      [
        { $dateAdd: { startDate: date('2020-10-24T18:10:00Z'), unit: 'day', amount: 1, timezone: 'Europe/Paris' } },
        {},
        date('2020-10-25T19:10:00Z'),
      ],
      [
        { $dateAdd: { startDate: date('2020-10-24T18:10:00Z'), unit: 'hour', amount: 24, timezone: 'Europe/Paris' } },
        {},
        date('2020-10-25T18:10:00Z'),
      ],
      [{ $dateAdd: { startDate: D1, unit: 'year', amount: 1 } }, {}, date('2025-02-28T12:34:56.789Z')],
    ],
  ],
  [
    'dateSubtract',
    [
      [{ $dateSubtract: { startDate: date('2021-03-31'), unit: 'month', amount: 1 } }, {}, date('2021-02-28')],
      [{ $dateSubtract: { startDate: D1, unit: 'quarter', amount: long(2) } }, {}, date('2023-08-29T12:34:56.789Z')],
    ],
  ],
  [
    'dateDiff',
    [
      [
        { $dateDiff: { startDate: date('2020-12-31T23:59:59Z'), endDate: date('2021-01-01'), unit: 'year' } },
        {},
        long(1),
      ],
      [
        { $dateDiff: { startDate: date('2021-01-01'), endDate: date('2021-02-01'), unit: 'week', startOfWeek: 'mon' } },
        {},
        long(5),
      ],
      [{ $dateDiff: { startDate: date('2021-01-31'), endDate: date('2021-03-01'), unit: 'month' } }, {}, long(2)],
      [
        {
          $dateDiff: {
            startDate: date('2021-03-28T00:30:00Z'),
            endDate: date('2021-03-28T03:30:00Z'),
            unit: 'hour',
            timezone: 'Europe/Berlin',
          },
        },
        {},
        long(3),
      ],
      [{ $dateDiff: { startDate: D1, endDate: new Date(0), unit: 'day' } }, {}, long(-19782)],
    ],
  ],
  [
    'dateTrunc',
    [
      [
        { $dateTrunc: { date: date('2021-03-20T11:30:05Z'), unit: 'month', timezone: 'America/New_York' } },
        {},
        date('2021-03-01T05:00:00Z'),
      ],
      [
        { $dateTrunc: { date: date('2021-03-20T03:30:00Z'), unit: 'day', timezone: 'America/New_York' } },
        {},
        date('2021-03-19T04:00:00Z'),
      ],
      [
        { $dateTrunc: { date: date('2021-03-20T11:30:05Z'), unit: 'hour', binSize: 2 } },
        {},
        date('2021-03-20T10:00:00Z'),
      ],
      [
        { $dateTrunc: { date: date('2021-03-20T11:30:05Z'), unit: 'week', startOfWeek: 'monday' } },
        {},
        date('2021-03-15'),
      ],
      [{ $dateTrunc: { date: date('1999-12-31T23:00:00Z'), unit: 'year', binSize: 5 } }, {}, date('1995-01-01')],
    ],
  ],
  [
    'rand',
    [
      [{ $lt: [{ $rand: {} }, 1] }, {}, true],
      [{ $type: { $rand: {} } }, {}, 'double'],
    ],
  ],
  [
    'sum',
    [
      [{ $sum: ['$a', '$b', 'x'] }, { a: 1, b: long(2) }, long(3)],
      [{ $sum: '$a' }, { a: [1, 2.5, 'x'] }, double(3.5)],
      [{ $sum: '$a' }, { a: [0.1, 0.2, 0.3] }, double(0.6)],
      [{ $sum: '$x' }, {}, 0],
    ],
  ],
  [
    'avg',
    [
      [{ $avg: '$a' }, { a: [1, 2] }, double(1.5)],
      [{ $avg: ['$a', dec('2')] }, { a: 1 }, dec('1.5')],
      [{ $avg: '$x' }, {}, null],
    ],
  ],
  ['min', [[{ $min: ['$a', '$x', 3] }, { a: 5 }, 3]]],
  ['max', [[{ $max: '$a' }, { a: [1, 'x', null] }, 'x']]],
  ['stdDevPop', [[{ $stdDevPop: '$a' }, { a: [2, 4, 4, 4, 5, 5, 7, 9] }, double(2)]]],
  ['stdDevSamp', [[{ $stdDevSamp: [5] }, {}, null]]],
];

t.test('what expressions come to, with the type of the result', (t) => {
  let cases = 0;
  for (const [page, list] of PAGES) {
    for (const [expression, document, expected] of list) {
      cases++;
      t.equal(evaluate(expression, document), shown(expected), `${page}: ${EJSON.stringify(expression)}`);
    }
  }
  t.ok(cases > 200, `${cases} cases`);
  t.end();
});

// Each: expression, document, the error's code.
const REFUSALS: readonly [unknown, Document, number][] = [
  ['$', {}, 16872],
  ['$a.', {}, 40353],
  ['$a..b', {}, 15998],
  ['$a.$b', {}, 16410],
  ['$$nobody', {}, 17276],
  ['$$CLUSTER_TIME', {}, 238],
  [{ $add: [1], $subtract: [1] }, {}, 15983],
  [{ $nonsense: 1 }, {}, 168],
  [{ $rand: { a: 1 } }, {}, 3040501],
  [{ $sin: 1 }, {}, 238],
  [{ $function: {} }, {}, 238],
  [{ $subtract: [1] }, {}, 16020],
  [{ $round: [1, 2, 3] }, {}, 28667],
  [{ $add: ['a', 1] }, {}, 14],
  [{ $add: [D1, D1] }, {}, 16612],
  [{ $subtract: [1, D1] }, {}, 14],
  [{ $divide: [1, 0] }, {}, 2],
  [{ $divide: ['a', 1] }, {}, 14],
  [{ $mod: [1, 0] }, {}, 16610],
  [{ $abs: 'x' }, {}, 28765],
  [{ $abs: long('-9223372036854775808') }, {}, 28680],
  [{ $sqrt: -1 }, {}, 28714],
  [{ $ln: 0 }, {}, 28766],
  [{ $log10: -1 }, {}, 28761],
  [{ $log: [1, 1] }, {}, 28759],
  [{ $pow: [0, -1] }, {}, 28764],
  [{ $pow: [dec('2'), 2] }, {}, 238],
  [{ $exp: dec('2') }, {}, 238],
  [{ $round: ['x', 1] }, {}, 51081],
  [{ $round: [1, 1.5] }, {}, 51082],
  [{ $round: [1, 101] }, {}, 51083],
  [{ $cond: { if: 1, [THEN]: 2 } }, {}, 17082],
  [{ $cond: { if: 1, [THEN]: 2, else: 3, x: 4 } }, {}, 17083],
  [{ $ifNull: [1] }, {}, 1257300],
  [{ $switch: { branches: [] } }, {}, 40068],
  [{ $switch: { branches: [{ case: false, [THEN]: 1 }] } }, {}, 40066],
  [{ $let: { vars: { A: 1 }, in: 1 } }, {}, 9],
  [{ $let: { in: 1 } }, {}, 16876],
  [{ $size: 1 }, {}, 17124],
  [{ $arrayElemAt: [1, 1] }, {}, 28689],
  [{ $arrayElemAt: [[1], 1.5] }, {}, 28691],
  [{ $firstN: { n: 0, input: [1] } }, {}, 5787908],
  [{ $in: [1, 2] }, {}, 40081],
  [{ $concatArrays: [1] }, {}, 28664],
  [{ $slice: [1, 1] }, {}, 28724],
  [{ $slice: [[1], 0, 0] }, {}, 28729],
  [{ $filter: { input: 1, cond: true } }, {}, 28651],
  [{ $filter: { input: [1], cond: true, limit: 0 } }, {}, 327392],
  [{ $map: { input: 1, in: 1 } }, {}, 16883],
  [{ $reduce: { input: 1, initialValue: 0, in: 1 } }, {}, 40080],
  [{ $range: [0, 1, 0] }, {}, 34449],
  [{ $range: [0, 2000000000] }, {}, 146],
  [{ $arrayToObject: [[1]] }, {}, 40398],
  [{ $objectToArray: [[1]] }, {}, 40390],
  [{ $setUnion: [[1], 2] }, {}, 17043],
  [{ $setEquals: [[1], null] }, {}, 17044],
  [{ $concat: ['a', 1] }, {}, 16702],
  [{ $substrBytes: ['é', 1, 1] }, {}, 28656],
  [{ $substrBytes: ['é', 0, 1] }, {}, 28657],
  [{ $substrCP: ['a', -1, 1] }, {}, 34455],
  [{ $toLower: [[1]] }, {}, 16007],
  [{ $strLenCP: null }, {}, 34471],
  [{ $split: ['a', ''] }, {}, 40087],
  [{ $trim: { input: 1 } }, {}, 50699],
  [{ $regexMatch: { input: 'a', regex: '(' } }, {}, 51091],
  [{ $regexMatch: { input: 1, regex: 'a' } }, {}, 51104],
  [{ $toInt: 'x' }, {}, 241],
  [{ $toInt: '5.0' }, {}, 241],
  [{ $toInt: 3000000000 }, {}, 241],
  [{ $toInt: [[1]] }, {}, 241],
  [{ $toInt: Number.NaN }, {}, 241],
  [{ $toDate: 'hello' }, {}, 241],
  [{ $toDate: '2018-02-30' }, {}, 241],
  [{ $toDate: 'Feb 5 2018' }, {}, 238],
  [{ $toDate: 5 }, {}, 241],
  [{ $toObjectId: 'abc' }, {}, 241],
  [{ $convert: { input: 1, to: 'nonsense' } }, {}, 2],
  [{ $convert: { input: 1, to: 'binData' } }, {}, 238],
  [{ $mergeObjects: [1] }, {}, 40400],
  [{ $year: 'x' }, {}, 16006],
  [{ $year: { date: D1, timezone: 'Nowhere/City' } }, {}, 40485],
  [{ $dateToString: { date: D1, format: '%q' } }, {}, 18536],
  [{ $dateToString: { date: D1, format: 'x%' } }, {}, 18535],
  [{ $dateFromParts: { year: 0 } }, {}, 40523],
  [{ $dateFromParts: { year: 2000, month: 1.5 } }, {}, 40515],
  [{ $dateFromParts: { year: 2000, isoWeek: 1 } }, {}, 40489],
  [{ $dateFromString: { dateString: '2017-01-01', format: '%Y' } }, {}, 238],
  [{ $dateAdd: { startDate: D1, unit: 'eon', amount: 1 } }, {}, 9],
  [{ $dateAdd: { startDate: D1, unit: 'day', amount: 1.5 } }, {}, 5166405],
  [{ $dateDiff: { startDate: 1, endDate: D1, unit: 'day' } }, {}, 5166307],
  [{ $dateTrunc: { date: D1, unit: 'day', binSize: 0 } }, {}, 5439018],
];

t.test('what expressions refuse', (t) => {
  for (const [expression, document, code] of REFUSALS)
    t.throws(() => evaluate(expression, document), { code }, `${code}: ${EJSON.stringify(expression)}`);
  t.end();
});

t.test('the let of a command holds constants only', (t) => {
  const { variables } = commandScope(raw({ a: { $add: [1, 2] } }), 0);
  t.equal(variables.get('a')?.constant, true);
  t.equal(text(documentOf([['v', variables.get('a')?.value as RawValue]])), shown(3));
  for (const [given, code] of [
    [{ a: '$x' }, 4890500],
    [{ a: '$$ROOT' }, 4890500],
    [{ A: 1 }, 9],
    [{ '': 1 }, 9],
  ] as const)
    t.throws(() => commandScope(raw(given), 0), { code });
  t.throws(() => commandScope(value(5), 0), StoreError);
  t.end();
});
