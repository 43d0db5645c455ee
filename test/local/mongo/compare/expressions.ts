import { type Document, Int32 } from 'bson';
import { type Dice, PLAIN_PATHS } from './values.js';

/** What an expression is meant to give; the documents may make something else of it, an error too. */
type Kind = 'any' | 'number' | 'boolean' | 'string' | 'array';

const KINDS: readonly Kind[] = ['number', 'boolean', 'string', 'array'];

function leaf(random: Dice, kind: Kind): unknown {
  if (random.chance(0.65))
    return `$${random.chance(0.85) ? random.pick(['a', 'b', 'c', 'd']) : random.pick(PLAIN_PATHS)}`;
  switch (kind) {
    case 'number':
      return new Int32(random.whole(-2, 5));
    case 'boolean':
      return random.chance(0.5);
    case 'string':
      return random.pick(['', 'a', 'ab', 'B']);
    case 'array':
      return random.several(0, 3, () => ({ $literal: random.value() }));
    default:
      return { $literal: random.value() };
  }
}

/** An operand that is of a kind for sure: an operator that fails on anything else would hardly ever answer. */
function sure(random: Dice, kind: 'number' | 'string' | 'array', depth: number): Document {
  const input = randomExpression(random, kind, depth);
  if (kind === 'string') return { $cond: [{ $eq: [{ $type: [input] }, 'string'] }, input, 'ab'] };
  if (kind === 'array') return { $cond: [{ $isArray: [input] }, input, [1, 'a', null]] };
  return { $cond: [{ $isNumber: input }, input, 3] };
}

function numberOf(random: Dice, depth: number): unknown {
  const number = (): unknown =>
    random.chance(0.9) ? sure(random, 'number', depth) : randomExpression(random, 'any', depth);
  switch (random.whole(0, 9)) {
    case 0:
    case 1:
      return { [random.pick(['$add', '$multiply'])]: random.several(1, 3, number) };
    case 2:
      return { $subtract: [number(), number()] };
    case 3:
      return { [random.pick(['$divide', '$mod'])]: [number(), random.pick([new Int32(2), new Int32(-3), number()])] };
    case 4:
      return { [random.pick(['$abs', '$ceil', '$floor', '$trunc'])]: number() };
    case 5:
      return { $round: [number(), random.whole(-1, 2)] };
    case 6:
      return { $size: sure(random, 'array', depth) };
    case 7:
      return { $strLenCP: sure(random, 'string', depth) };
    case 8:
      return { [random.pick(['$sum', '$avg', '$min', '$max'])]: randomExpression(random, 'array', depth) };
    default:
      return { $cmp: [randomExpression(random, 'any', depth), randomExpression(random, 'any', depth)] };
  }
}

function booleanOf(random: Dice, depth: number): unknown {
  const any = (): unknown => randomExpression(random, 'any', depth);
  switch (random.whole(0, 5)) {
    case 0:
    case 1:
    case 2:
      return { [random.pick(['$eq', '$ne', '$gt', '$gte', '$lt', '$lte'])]: [any(), any()] };
    case 3:
      return { [random.pick(['$and', '$or'])]: random.several(0, 3, any) };
    case 4:
      return { $not: [any()] };
    default:
      return { $in: [any(), sure(random, 'array', depth)] };
  }
}

function stringOf(random: Dice, depth: number): unknown {
  const string = (): unknown =>
    random.chance(0.9) ? sure(random, 'string', depth) : randomExpression(random, 'any', depth);
  switch (random.whole(0, 3)) {
    case 0:
      return { $concat: random.several(1, 3, string) };
    case 1:
      return { [random.pick(['$toLower', '$toUpper'])]: string() };
    case 2:
      return { $substrCP: [string(), random.whole(0, 2), random.whole(0, 2)] };
    default:
      return { $type: randomExpression(random, 'any', depth) };
  }
}

function arrayOf(random: Dice, depth: number): unknown {
  const array = (): unknown =>
    random.chance(0.9) ? sure(random, 'array', depth) : randomExpression(random, 'any', depth);
  switch (random.whole(0, 7)) {
    case 0:
      return { $concatArrays: random.several(1, 2, array) };
    case 1:
      return {
        $filter: {
          input: array(),
          as: 'x',
          cond: { [random.pick(['$gt', '$ne', '$lte'])]: ['$$x', { $literal: random.value() }] },
        },
      };
    case 2:
      return {
        $map: { input: array(), as: 'x', in: random.pick<unknown>(['$$x', ['$$x'], { $type: '$$x' }, { v: '$$x.b' }]) },
      };
    case 3:
      return { $slice: [array(), random.whole(-2, 3)] };
    case 4:
      return { $reverseArray: array() };
    case 5:
      return { $setUnion: [array(), array()] };
    case 6:
      return { $ifNull: [randomExpression(random, 'any', depth), []] };
    default:
      return random.several(0, 3, () => randomExpression(random, 'any', depth));
  }
}

function anyOf(random: Dice, depth: number): unknown {
  switch (random.whole(0, 5)) {
    case 0:
      return {
        $cond: [
          randomExpression(random, 'boolean', depth),
          randomExpression(random, 'any', depth),
          randomExpression(random, 'any', depth),
        ],
      };
    case 1:
      return { $ifNull: [randomExpression(random, 'any', depth), randomExpression(random, 'any', depth)] };
    case 2:
      return { $arrayElemAt: [sure(random, 'array', depth), random.whole(-2, 2)] };
    case 3:
      return {
        $let: { vars: { x: randomExpression(random, 'any', depth) }, in: random.pick(['$$x', '$$x.b', ['$$x']]) },
      };
    case 4:
      return { x: randomExpression(random, 'any', depth), y: randomExpression(random, 'number', depth) };
    default:
      return randomExpression(random, random.pick(KINDS), depth);
  }
}

/** An expression of the aggregation language, of so many levels at most. */
export function randomExpression(random: Dice, kind: Kind, depth: number): unknown {
  if (depth <= 0 || random.chance(0.25)) return leaf(random, kind);
  switch (kind) {
    case 'number':
      return numberOf(random, depth - 1);
    case 'boolean':
      return booleanOf(random, depth - 1);
    case 'string':
      return stringOf(random, depth - 1);
    case 'array':
      return arrayOf(random, depth - 1);
    default:
      return anyOf(random, depth - 1);
  }
}
