import { type Document, serialize } from 'bson';
import t from 'tap';
import { type RawValue, rawDocument } from '../../../src/local/mongo/bson/raw-value.js';
import { compileFilter } from '../../../src/local/mongo/query/filter.js';
import type { Trail } from '../../../src/local/mongo/query/path.js';

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
