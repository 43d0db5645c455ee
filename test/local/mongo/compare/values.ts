import {
  Binary,
  BSONRegExp,
  Decimal128,
  type Document,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
} from 'bson';
import type { SeededRandom } from '../../../support/seeded-random.js';

/** What the parts of a program are made with. */
export interface Dice extends SeededRandom {
  /** A few of what `make` makes, from `least` to `most`. */
  several<T>(least: number, most: number, make: () => T): T[];
  /** A value of the program's own small pool, most of the time, so that queries meet documents. */
  value(): unknown;
  /** A document's embedded document. */
  object(): Document;
}

const NAMES = ['a', 'b', 'c', 'd'] as const;
/** Paths as they are asked for, changed and sorted by; `_id` apart. */
export const PATHS = [
  'a',
  'a',
  'b',
  'b',
  'c',
  'd',
  'a.b',
  'a.b',
  'a.c',
  'b.c',
  'a.b.c',
  'a.0',
  'a.1',
  'b.0.c',
  'a.b.0',
] as const;
/** Paths without positions. */
export const PLAIN_PATHS = PATHS.filter((path) => !/\d/.test(path));

const WORDS = ['', 'a', 'ab', 'b', 'Ab', 'b\nab', 'é'] as const;
const DECIMALS = ['0', '-0', '1', '1.0', '2.5', '0.1', '-3', 'NaN', 'Infinity', '9007199254740993'] as const;
const DOUBLES = [
  0,
  -0,
  1,
  2,
  2.5,
  -1.5,
  0.1,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  2 ** 53,
] as const;
const LONGS = ['0', '1', '2', '-1', '9007199254740993', '9223372036854775807', '-9223372036854775808'] as const;

function scalar(random: SeededRandom): unknown {
  const { pick } = random;
  const kind = random.whole(0, 99);
  if (kind < 26) return new Int32(random.whole(-2, 5));
  if (kind < 36) return new Double(pick(DOUBLES));
  if (kind < 44) return Long.fromString(pick(LONGS));
  if (kind < 50) return Decimal128.fromString(pick(DECIMALS));
  if (kind < 68) return pick(WORDS);
  if (kind < 76) return null;
  if (kind < 82) return random.next() < 0.5;
  if (kind < 87) return new Date(pick([0, -1, 1000, 1_700_000_000_123]));
  if (kind < 91) return new ObjectId(pick(['000000000000000000000001', '0000000000000000000000ff']));
  if (kind < 94) return new Binary(Buffer.from(pick(['', 'a', 'ab'])), pick([0, 0, 128]));
  if (kind < 96) return new Timestamp({ t: random.whole(1, 2), i: random.whole(1, 2) });
  if (kind < 97) return new BSONRegExp('a', pick(['', 'i']));
  return kind < 98 ? new MinKey() : kind < 99 ? new MaxKey() : new Int32(7);
}

/** The dice of a program: the same for the same generator. */
export function dice(random: SeededRandom): Dice {
  const { chance, pick } = random;
  const several = <T>(least: number, most: number, make: () => T): T[] =>
    Array.from({ length: random.whole(least, most) }, make);
  function fresh(depth: number): unknown {
    const kind = random.next();
    if (depth > 0 && kind < 0.22) return several(0, 3, () => fresh(depth - 1));
    if (depth > 0 && kind < 0.4) return object(depth - 1);
    return scalar(random);
  }
  function object(depth: number): Document {
    const names = NAMES.filter(() => chance(0.5));
    if (chance(0.2)) names.reverse();
    return Object.fromEntries(names.map((name) => [name, fresh(depth)]));
  }
  const pool = Array.from({ length: 10 }, () => fresh(2));
  return {
    ...random,
    several,
    value: () => (chance(0.75) ? pick(pool) : fresh(2)),
    object: () => object(1),
  };
}

/** A document of a collection. */
export function randomDocument(random: Dice, _id: number): Document {
  const names = NAMES.filter(() => random.chance(0.7));
  if (random.chance(0.15)) names.reverse();
  const list = random.chance(0.5);
  return {
    _id,
    ...Object.fromEntries(
      names.map((name) => [
        name,
        list && name !== 'd'
          ? random.several(0, 3, () => (random.chance(0.5) ? random.object() : random.value()))
          : random.value(),
      ]),
    ),
  };
}
