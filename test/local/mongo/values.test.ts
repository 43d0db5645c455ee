import {
  Binary,
  BSONRegExp,
  Code,
  Decimal128,
  type Document,
  Double,
  deserialize,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  serialize,
  Timestamp,
  UUID,
} from 'bson';
import fc from 'fast-check';
import t from 'tap';
import { compareValues } from '../../../src/local/mongo/bson/compare.js';
import { messageText } from '../../../src/local/mongo/bson/message-text.js';
import { arithmetic } from '../../../src/local/mongo/bson/numbers.js';
import { field, type RawValue, rawDocument, Type, validateDocument } from '../../../src/local/mongo/bson/raw-value.js';
import { StoreError } from '../../../src/local/mongo/errors.js';
import { compileFilter } from '../../../src/local/mongo/query/filter.js';
import { encodeKey } from '../../../src/local/mongo/storage/index-key.js';

const raw = (document: Document): RawValue => rawDocument(Buffer.from(serialize(document, { ignoreUndefined: false })));
const value = (one: unknown): RawValue => field(raw({ v: one }), 'v') as RawValue;
const long = (text: string): Long => Long.fromString(text);
const decimal = (text: string): Decimal128 => Decimal128.fromString(text);

t.test('values in the order of the manual, ascending; equal ones in one list', (t) => {
  const ladder: unknown[][] = [
    [new MinKey()],
    [null],
    [new Double(Number.NaN), decimal('NaN')],
    [new Double(Number.NEGATIVE_INFINITY), decimal('-Infinity')],
    [long('-9223372036854775808')],
    [new Double(-2.5), decimal('-2.5')],
    [new Int32(0), new Double(0), new Double(-0), long('0'), decimal('0E+3')],
    [decimal('0.1')],
    [new Double(0.1)],
    [new Int32(1), new Double(1), long('1'), decimal('1.000')],
    [long('9007199254740992'), new Double(9007199254740992)],
    [long('9007199254740993'), decimal('9007199254740993')],
    [decimal('9007199254740993.5')],
    [long('9007199254740994')],
    [long('9223372036854775807'), decimal('9223372036854775807')],
    [new Double(2 ** 63)],
    [new Double(Number.POSITIVE_INFINITY), decimal('Infinity')],
    [''],
    ['\0'],
    ['a'],
    ['a\0b'],
    ['ab'],
    ['b'],
    ['é'],
    ['😀'],
    [{}],
    [{ a: 1 }],
    [{ a: 1, b: 1 }],
    [{ b: 0 }],
    [{ a: 'x' }],
    [[]],
    [[1]],
    [[1, 2]],
    [[2]],
    [['a']],
    [new Binary(Buffer.from([9]))],
    [new Binary(Buffer.from([1, 2]), 0)],
    [new Binary(Buffer.from([1, 2]), 4)],
    [new ObjectId('000000000000000000000001')],
    [new ObjectId('ffffffffffffffffffffffff')],
    [false],
    [true],
    [new Date(-1)],
    [new Date(0)],
    [new Date(1e12)],
    [new Timestamp({ t: 1, i: 2 })],
    [new Timestamp({ t: 2, i: 1 })],
    [new BSONRegExp('a', 'i')],
    [new BSONRegExp('b', '')],
    [new MaxKey()],
  ];
  for (let i = 0; i < ladder.length; i++) {
    for (const a of ladder[i] as unknown[]) {
      for (const b of ladder[i] as unknown[]) t.equal(compareValues(value(a), value(b)), 0, `step ${i}`);
      const above = ladder[i + 1]?.[0];
      if (above === undefined) continue;
      t.equal(compareValues(value(a), value(above)), -1, `step ${i} is below ${i + 1}`);
      t.equal(compareValues(value(above), value(a)), 1, `step ${i + 1} is above ${i}`);
      const [keyA, keyB] = [a, above].map((one) => encodeKey(1, [value(one)], [1])) as [Buffer, Buffer];
      t.equal(keyA.compare(keyB), -1, `key of step ${i} is below that of ${i + 1}`);
      const [downA, downB] = [a, above].map((one) => encodeKey(1, [value(one)], [-1])) as [Buffer, Buffer];
      t.equal(downA.compare(downB), 1, `descending key of step ${i} is above that of ${i + 1}`);
    }
  }
  t.end();
});

const number = fc.oneof(
  fc.integer().map((n) => new Int32(n)),
  fc.double().map((n) => new Double(n)),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((n) => Long.fromBigInt(n)),
  fc.integer({ min: -4, max: 4 }).map((n) => Long.fromBigInt(2n ** 53n + BigInt(n))),
  fc.integer({ min: -4, max: 4 }).map((n) => new Double(2 ** 53 + n)),
  fc
    .tuple(fc.bigInt({ min: -(10n ** 33n), max: 10n ** 33n }), fc.integer({ min: -60, max: 40 }))
    .map(([digits, exponent]) => decimal(`${digits}E${exponent}`)),
  fc.integer({ min: -40, max: 40 }).map((n) => decimal(`${n / 8}`)),
);
const scalar = fc.oneof(
  number,
  fc.string({ unit: fc.constantFrom('a', 'b', '\0', '\u00ff', 'é', '😀'), maxLength: 4 }),
  fc.constant(null),
  fc.boolean(),
  fc.integer().map((n) => new Date(n)),
  fc.uint8Array({ maxLength: 3 }).map((bytes) => new Binary(bytes)),
);
const anything = fc.letrec((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'ab', 'c'), tie('node'), { maxKeys: 3 }),
  ),
})).node;

t.test('keys are ordered as the values they stand for, in both directions and side by side', (t) => {
  fc.assert(
    fc.property(anything, anything, anything, anything, (a, b, c, d) => {
      const [one, two] = [
        [value(a), value(b)],
        [value(c), value(d)],
      ] as [[RawValue, RawValue], [RawValue, RawValue]];
      for (const [up, down] of [
        [1, -1],
        [-1, 1],
        [1, 1],
      ] as const) {
        const expected = compareValues(one[0], two[0]) * up || compareValues(one[1], two[1]) * down;
        const found = encodeKey(7, one, [up, down]).compare(encodeKey(7, two, [up, down]));
        if (found !== Math.sign(expected)) return false;
      }
      return compareValues(one[0], two[0]) === -compareValues(two[0], one[0]);
    }),
    { numRuns: process.env.POSTHORN_TEST_LONG === undefined ? 3000 : 100_000 },
  );
  t.end();
});

t.test('sums and products keep the types of the manual', (t) => {
  const type = (a: unknown, b: unknown, operation: 'add' | 'multiply'): [number, unknown] | undefined => {
    const result = arithmetic(operation, value(a), value(b));
    if (result === undefined) return undefined;
    const bytes = Buffer.alloc(result.end - result.start + 8);
    bytes.writeInt32LE(bytes.length);
    bytes[4] = result.type;
    bytes[5] = 0x76;
    result.bytes.copy(bytes, 7, result.start, result.end);
    return [result.type, String(deserialize(bytes, { promoteValues: false }).v)];
  };
  t.strictSame(type(new Int32(2), new Int32(3), 'add'), [Type.int32, '5']);
  t.strictSame(type(new Int32(2147483647), new Int32(1), 'add'), [Type.int64, '2147483648']);
  t.strictSame(type(new Int32(65536), new Int32(65536), 'multiply'), [Type.int64, '4294967296']);
  t.strictSame(type(long('9007199254740993'), new Int32(1), 'add'), [Type.int64, '9007199254740994']);
  t.equal(type(long('9223372036854775807'), new Int32(1), 'add'), undefined, 'an overflow is refused');
  t.strictSame(type(new Int32(1), new Double(0.5), 'add'), [Type.double, '1.5']);
  t.strictSame(type(decimal('0.1'), new Double(0.2), 'add'), [Type.decimal, '0.300000000000000']);
  t.strictSame(type(decimal('1.5'), long('2'), 'multiply'), [Type.decimal, '3.0']);
  t.strictSame(type(new Double(0), decimal('2.50'), 'add'), [Type.decimal, '2.50'], 'a zero has no digits of its own');
  t.strictSame(type(decimal('-1'), new Int32(0), 'multiply'), [Type.decimal, '-0'], 'a zero keeps its sign');
  t.end();
});

const A = { a: 1 };
// Each: filter, documents that match, documents that do not.
const MATCHES: [string, Document, Document[], Document[]][] = [
  [
    'equality by value',
    A,
    [{ a: 1 }, { a: new Double(1) }, { a: long('1') }, { a: decimal('1.0') }, { a: [0, 1] }],
    [{ a: 2 }, {}, { a: '1' }, { a: [[1]] }],
  ],
  ['null is missing too', { a: null }, [{}, { a: null }, { a: [null] }], [{ a: 0 }, { a: [] }, { a: false }]],
  [
    'null on a path',
    { 'a.b': null },
    [{}, { a: {} }, { a: 5 }, { a: [{}] }, { a: { b: null } }],
    [{ a: { b: 1 } }, { a: [] }, { a: [1] }, { a: [{ b: 1 }] }],
  ],
  [
    'dots go through arrays',
    { 'a.b': 1 },
    [{ a: { b: 1 } }, { a: [{ b: 2 }, { b: [1] }] }],
    [{ a: [[{ b: 1 }]] }, { a: { b: 2 } }],
  ],
  ['positions', { 'a.1': 5 }, [{ a: [0, 5] }, { a: { 1: 5 } }, { a: [0, { 1: 5 }] }], [{ a: [5, 0] }, { a: [0, [5]] }]],
  ['whole arrays and elements', { a: [1, 2] }, [{ a: [1, 2] }, { a: [[1, 2]] }], [{ a: [2, 1] }, { a: [1, 2, 3] }]],
  ['documents by order', { a: { x: 1, y: 2 } }, [{ a: { x: 1, y: 2 } }], [{ a: { y: 2, x: 1 } }, { a: { x: 1 } }]],
  [
    '$gt by type',
    { a: { $gt: 5 } },
    [{ a: 6 }, { a: decimal('5.01') }, { a: [1, 9] }],
    [{ a: 5 }, { a: '6' }, {}, { a: null }, { a: Number.NaN }],
  ],
  ['$gte null', { a: { $gte: null } }, [{}, { a: null }], [{ a: 1 }]],
  ['$lt and NaN', { a: { $lt: 5 } }, [{ a: 4 }, { a: Number.NEGATIVE_INFINITY }], [{ a: Number.NaN }, { a: 5 }]],
  ['$lte MaxKey', { a: { $lte: new MaxKey() } }, [{ a: 1 }, { a: 'x' }, {}], []],
  ['$lt MinKey', { a: { $lt: new MinKey() } }, [], [{ a: 1 }, {}, { a: new MinKey() }]],
  ['two sides on an array', { a: { $gt: 4, $lt: 2 } }, [{ a: [1, 5] }], [{ a: 3 }, { a: [3] }]],
  ['$ne', { a: { $ne: 1 } }, [{}, { a: 2 }, { a: [2, 3] }], [{ a: 1 }, { a: [1, 2] }]],
  ['$in', { a: { $in: [1, /^x/, null] } }, [{ a: 1 }, { a: 'xy' }, {}, { a: [5, 1] }], [{ a: 'yx' }, { a: 2 }]],
  ['$nin', { a: { $nin: [1, null] } }, [{ a: 2 }], [{}, { a: 1 }, { a: [1] }]],
  ['$exists', { a: { $exists: true } }, [{ a: null }, { a: [] }], [{}]],
  ['$exists false', { 'a.b': { $exists: false } }, [{}, { a: [] }, { a: [1] }], [{ a: [{ b: 1 }, {}] }]],
  ['$type', { a: { $type: ['string', 18] } }, [{ a: 'x' }, { a: long('5') }, { a: [1, 'x'] }], [{ a: 1 }, {}]],
  ['$type array', { a: { $type: 'array' } }, [{ a: [] }, { a: [1] }], [{ a: 1 }]],
  ['$size', { a: { $size: 2 } }, [{ a: [1, 2] }], [{ a: [1] }, { a: [[1, 2]] }, {}]],
  ['$all', { a: { $all: [1, 2] } }, [{ a: [2, 1, 3] }], [{ a: [1] }, { a: 1 }]],
  ['$all of one', { a: { $all: [1] } }, [{ a: 1 }, { a: [1] }], [{}]],
  [
    '$elemMatch on documents',
    { a: { $elemMatch: { b: 1, c: 2 } } },
    [{ a: [{ b: 1, c: 2 }] }],
    [{ a: [{ b: 1 }, { c: 2 }] }, { a: { b: 1, c: 2 } }],
  ],
  ['$elemMatch on values', { a: { $elemMatch: { $gt: 1, $lt: 3 } } }, [{ a: [2] }], [{ a: [1, 3] }, { a: 2 }]],
  ['$not', { a: { $not: { $gt: 5 } } }, [{}, { a: 5 }, { a: 'x' }], [{ a: 6 }, { a: [1, 6] }]],
  [
    '$and $or $nor',
    { $or: [{ a: 1 }, { $and: [{ b: 1 }, { c: 1 }] }], $nor: [{ d: 1 }] },
    [{ a: 1 }, { b: 1, c: 1 }],
    [{ b: 1 }, { a: 1, d: 1 }],
  ],
  [
    '$mod',
    { a: { $mod: [4, 1] } },
    [{ a: 5 }, { a: 5.9 }, { a: long('9') }, { a: decimal('5.99') }, { a: decimal('1E+0') }],
    [{ a: 4 }, { a: 'x' }, { a: decimal('NaN') }, { a: 1e300 }, { a: decimal('1E+6000') }, { a: decimal('1E-6000') }],
  ],
  [
    '$regex and $options',
    { a: { $regex: '^ab', $options: 'i' } },
    [{ a: 'ABc' }, { a: ['x', 'ab'] }],
    [{ a: 'cab' }, { a: 1 }],
  ],
  ['a regex', { a: /b$/m }, [{ a: 'ab\nc' }], [{ a: 'bc' }]],
];

// PCRE2's reading where JavaScript's own is another one: pattern, flags, texts that match, texts that do not.
const PATTERNS: readonly [string, string, readonly string[], readonly string[]][] = [
  ['a$', '', ['a', 'a\n', 'ba'], ['a\nb', 'a\n\n']],
  ['a$', 'm', ['a\nb', 'a'], ['ab']],
  ['a\\z', '', ['a'], ['a\n']],
  ['^b', 'm', ['a\nb', 'b'], ['ab', 'a\rb']],
  ['\\Ab', 'm', ['b'], ['a\nb']],
  ['^$', 'm', ['', '\n', 'a\n\nb'], ['a', 'a\n']],
  ['a.b', '', ['a\rb', 'a\u2028b', 'a\u{1F600}b'], ['a\nb', 'ab']],
  ['a.b', 's', ['a\nb'], ['ab']],
  ['a\\sb', '', ['a b', 'a\tb'], ['a\u00a0b', 'a\u2028b']],
  ['[\\S]', '', ['\u00a0', 'x'], [' ', '\n']],
  ['[]a]', '', [']', 'a'], ['b', '[']],
  ['[^]a]', '', ['b'], [']', 'a']],
  ['[a-]', '', ['-', 'a'], ['b']],
  ['[[:digit:]_]', '', ['7', '_'], ['d', ':']],
  ['a b # c', 'x', ['ab'], ['a b']],
  ['(?i)straße', '', ['STRAßE'], ['strasse']],
  ['(?i)(?s)a.b', '', ['A\nB'], ['ab']],
  ['\\Qa.b\\E', '', ['a.b'], ['axb']],
  ['a{,x}', '', ['a{,x}'], ['a']],
  ['\\-\\_\\@', '', ['-_@'], ['\\-']],
  ['(?P<n>a)(?#note)b', '', ['ab'], ['a']],
  ['(?!b)*a', '', ['a'], ['b']],
];

t.test('documents as messages show them', (t) => {
  const table: [unknown, string][] = [
    ['a@x', '"a@x"'],
    [null, 'null'],
    [true, 'true'],
    [new Int32(5), '5'],
    [new Double(5), '5.0'],
    [new Double(-2.5), '-2.5'],
    [long('9007199254740993'), '9007199254740993'],
    [decimal('1.10'), '1.10'],
    [new Date(1_700_000_000_123), 'new Date(1700000000123)'],
    [new ObjectId('65a000000000000000000001'), "ObjectId('65a000000000000000000001')"],
    [new Binary(Buffer.from([0, 171]), 0), 'BinData(0, 00AB)'],
    [new UUID('6f1c5c8e-3f3f-4f0e-9a52-0c4c7f6f8d11'), 'UUID("6f1c5c8e-3f3f-4f0e-9a52-0c4c7f6f8d11")'],
    [new BSONRegExp('^a', 'i'), '/^a/i'],
    [new Timestamp({ t: 3, i: 4 }), 'Timestamp(3, 4)'],
    [new MinKey(), 'MinKey'],
    [[], '[]'],
    [[1, ['x']], '[ 1, [ "x" ] ]'],
    [{}, '{}'],
    [{ a: { b: 1 }, c: null }, '{ a: { b: 1 }, c: null }'],
    [new Code('f'), '{"$code":"f"}'],
  ];
  for (const [one, text] of table) t.equal(messageText(raw({ 'x.y': one, z: 1 })), `{ x.y: ${text}, z: 1 }`);
  t.end();
});

t.test('regular expressions as PCRE2 reads them', (t) => {
  for (const [pattern, options, yes, no] of PATTERNS) {
    const { matches } = compileFilter(raw({ a: { $regex: pattern, $options: options } }));
    for (const text of yes) t.ok(matches(raw({ a: text })), `/${pattern}/${options} matches ${encodeURI(text)}`);
    for (const text of no) t.notOk(matches(raw({ a: text })), `/${pattern}/${options} not ${encodeURI(text)}`);
  }
  t.end();
});

t.test('queries', (t) => {
  for (const [name, filter, yes, no] of MATCHES) {
    const { matches } = compileFilter(raw(filter));
    for (const one of yes) t.ok(matches(raw(one)), `${name}: matches ${JSON.stringify(one)}`);
    for (const one of no) t.notOk(matches(raw(one)), `${name}: does not match ${JSON.stringify(one)}`);
  }
  t.end();
});

t.test('filters that are refused', (t) => {
  const cases: [Document, number][] = [
    [{ $expr: { $eq: [1, 1] } }, 2],
    [{ $where: 'true' }, 238],
    [{ $text: { $search: 'x' } }, 238],
    [{ a: { $bitsAllSet: 1 } }, 238],
    [{ a: { $geoWithin: {} } }, 238],
    [{ a: { $regex: 'a(?>b)' } }, 238],
    [{ a: { $regex: 'a', $options: 'q' } }, 238],
    [{ a: { $regex: '(a)\\1' } }, 238],
    [{ a: { $regex: 'a++' } }, 238],
    [{ a: { $regex: '[\\d-z]' } }, 51091],
    [{ a: { $regex: 'a)' } }, 51091],
    [{ a: { $foo: 1 } }, 2],
    [{ $foo: 1 }, 2],
    [{ $and: [] }, 2],
    [{ a: { $in: 1 } }, 2],
    [{ a: { $gt: 1, b: 1 } }, 2],
    [{ a: { $type: 'nonsense' } }, 2],
    [{ a: { $size: -1 } }, 2],
    [{ a: { $mod: [0, 1] } }, 2],
    [{ a: { $elemMatch: 1 } }, 2],
  ];
  for (const [filter, code] of cases) t.throws(() => compileFilter(raw(filter)), { code }, JSON.stringify(filter));
  t.end();
});

t.test('bytes that are not BSON are refused, whatever they are', (t) => {
  const good = Buffer.from(
    serialize({
      a: 1,
      s: 'text',
      d: { x: [1, 2, { y: null }] },
      b: new Binary(Buffer.alloc(9)),
      r: /x/i,
      dec: decimal('1.5'),
    }),
  );
  t.equal(validateDocument(good, 0, good.length), good.length);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), (changes) => {
      const bytes = Buffer.from(good);
      for (const [at, byte] of changes) bytes[at] = byte;
      let end: number;
      try {
        end = validateDocument(bytes, 0, bytes.length);
      } catch (error) {
        return error instanceof StoreError && error.code === 22;
      }
      // What passes can be walked to its end.
      compileFilter(raw({ zz: 1 })).matches(rawDocument(bytes));
      return end <= bytes.length;
    }),
    { numRuns: 3000 },
  );
  t.end();
});
