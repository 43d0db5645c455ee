import { Decimal128 } from 'bson';
import { type RawValue, Type } from './raw-value.js';
import { double, int32, int64 } from './values.js';

/** An exact decimal: coefficient × 10^exponent. */
export interface Exact {
  readonly coefficient: bigint;
  readonly exponent: number;
}

const DECIMAL_DIGITS = 34;

/** Whether a type byte is one of the four kinds of number. Never throws. */
export function isNumber(type: number): boolean {
  return type === Type.int32 || type === Type.double || type === Type.int64 || type === Type.decimal;
}

/** The nearest double of any number. Never throws on a number. */
export function toDouble(value: RawValue): number {
  switch (value.type) {
    case Type.int32:
      return value.bytes.readInt32LE(value.start);
    case Type.double:
      return value.bytes.readDoubleLE(value.start);
    case Type.int64:
      return Number(value.bytes.readBigInt64LE(value.start));
    default:
      return Number(decimalText(value));
  }
}

/** The text of a decimal, as Decimal128 writes it. Never throws on one. */
export function decimalText(value: RawValue): string {
  return new Decimal128(value.bytes.subarray(value.start, value.end)).toString();
}

/** The exact value of a finite double: a dyadic fraction always has a finite decimal expansion. Never throws on a finite one. */
export function exactDouble(value: number): Exact {
  if (Number.isInteger(value)) return { coefficient: BigInt(value), exponent: 0 };
  let scaled = value;
  let twos = 0;
  while (!Number.isInteger(scaled)) {
    scaled *= 2;
    twos++;
  }
  return { coefficient: BigInt(scaled) * 5n ** BigInt(twos), exponent: -twos };
}

function parseDecimal(text: string): Exact {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:E([+-]?\d+))?$/i.exec(text);
  if (match === null) throw new Error(`not a decimal: ${text}`);
  const fraction = match[3] ?? '';
  const digits = BigInt(`${match[2] ?? ''}${fraction}` || '0');
  return {
    coefficient: match[1] === '-' ? -digits : digits,
    exponent: Number(match[4] ?? '0') - fraction.length,
  };
}

/** The exact value of a finite number of any kind, or undefined for NaN and the infinities. Never throws on a number. */
export function exactOf(value: RawValue): Exact | undefined {
  switch (value.type) {
    case Type.int32:
      return { coefficient: BigInt(value.bytes.readInt32LE(value.start)), exponent: 0 };
    case Type.int64:
      return { coefficient: value.bytes.readBigInt64LE(value.start), exponent: 0 };
    case Type.double: {
      const number = value.bytes.readDoubleLE(value.start);
      return Number.isFinite(number) ? exactDouble(number) : undefined;
    }
    default: {
      const text = decimalText(value);
      return /nan|inf/i.test(text) ? undefined : parseDecimal(text);
    }
  }
}

/** How many decimal digits a whole number has. Never throws. */
export function digitsOf(coefficient: bigint): number {
  return (coefficient < 0n ? -coefficient : coefficient).toString().length;
}

function compareExact(a: Exact, b: Exact): number {
  const signA = a.coefficient === 0n ? 0 : a.coefficient < 0n ? -1 : 1;
  const signB = b.coefficient === 0n ? 0 : b.coefficient < 0n ? -1 : 1;
  if (signA !== signB) return signA < signB ? -1 : 1;
  if (signA === 0) return 0;
  // Magnitudes first: aligning 1E+6000 with 1E-6000 would make a number of twelve thousand digits.
  const sizeA = digitsOf(a.coefficient) + a.exponent;
  const sizeB = digitsOf(b.coefficient) + b.exponent;
  if (sizeA !== sizeB) return sizeA < sizeB === signA > 0 ? -1 : 1;
  const low = Math.min(a.exponent, b.exponent);
  const left = a.coefficient * 10n ** BigInt(a.exponent - low);
  const right = b.coefficient * 10n ** BigInt(b.exponent - low);
  return left < right ? -1 : left > right ? 1 : 0;
}

function compareDoubles(a: number, b: number): number {
  if (a < b) return -1;
  if (a > b) return 1;
  if (a === b) return 0;
  return Number.isNaN(a) ? (Number.isNaN(b) ? 0 : -1) : 1;
}

/** Compares numbers of any kinds by value, exactly; NaN is below all others and equal to itself (BSON order). Never throws on numbers. */
export function compareNumbers(a: RawValue, b: RawValue): number {
  const simpleA = a.type === Type.int32 || a.type === Type.double;
  const simpleB = b.type === Type.int32 || b.type === Type.double;
  if (simpleA && simpleB) return compareDoubles(toDouble(a), toDouble(b));
  if (a.type === Type.int64 && b.type === Type.int64) {
    const left = a.bytes.readBigInt64LE(a.start);
    const right = b.bytes.readBigInt64LE(b.start);
    return left < right ? -1 : left > right ? 1 : 0;
  }
  const exactA = exactOf(a);
  const exactB = exactOf(b);
  if (exactA !== undefined && exactB !== undefined) return compareExact(exactA, exactB);
  // One of them is NaN or infinite. A finite decimal beyond the doubles must not become an infinity of its own here.
  return compareDoubles(exactA === undefined ? toDouble(a) : 0, exactB === undefined ? toDouble(b) : 0);
}

function isZero(value: Exact): boolean {
  return value.coefficient === 0n;
}

/** The exact difference of a number and its nearest double, as a whole number of 10^(exponent of that double − 40), rounded down:
 * enough to tell all decimals of 34 digits and all 64-bit integers apart. Undefined when a decimal lies outside of the doubles' normal range. */
export function residualOf(value: RawValue): bigint | undefined {
  if (value.type === Type.int32 || value.type === Type.double) return 0n;
  const exact = exactOf(value);
  if (exact === undefined || isZero(exact)) return 0n;
  const near = toDouble(value);
  const size = Math.abs(near);
  if (!(size > 1e-290 && size < 1e308)) return undefined;
  const nearExact = exactDouble(near);
  if (compareExact(exact, nearExact) === 0) return 0n;
  const unit = Number(near.toExponential().split('e')[1]) - 40;
  const low = Math.min(exact.exponent, nearExact.exponent, unit);
  const difference =
    exact.coefficient * 10n ** BigInt(exact.exponent - low) -
    nearExact.coefficient * 10n ** BigInt(nearExact.exponent - low);
  const divisor = 10n ** BigInt(unit - low);
  const quotient = difference / divisor;
  return difference < 0n && quotient * divisor !== difference ? quotient - 1n : quotient;
}

/** The decimal nearest to an exact value, of 34 digits at most. Never throws within the decimals' range. */
export function decimalOf(exact: Exact): RawValue {
  let { coefficient, exponent } = exact;
  const surplus = digitsOf(coefficient) - DECIMAL_DIGITS;
  if (surplus > 0) {
    // Round half to even, IEEE 754-2008's default.
    const divisor = 10n ** BigInt(surplus);
    const negative = coefficient < 0n;
    const size = negative ? -coefficient : coefficient;
    let quotient = size / divisor;
    const twice = (size % divisor) * 2n;
    if (twice > divisor || (twice === divisor && quotient % 2n === 1n)) quotient += 1n;
    coefficient = negative ? -quotient : quotient;
    exponent += surplus;
  }
  return decimalFromText(`${coefficient}E${exponent}`);
}

/** A decimal from its text, rounded to 34 digits. Throws what Decimal128 throws on a text that is none. */
export function decimalFromText(text: string): RawValue {
  const bytes = Buffer.from(Decimal128.fromStringWithRounding(text).bytes);
  return { type: Type.decimal, bytes, start: 0, end: bytes.length };
}

/** Zero as a decimal; it keeps its sign and its exponent, as IEEE 754 has it. */
function decimalZero(negative: boolean, exponent: number): RawValue {
  return decimalFromText(`${negative ? '-' : ''}0E${exponent}`);
}

/** NaN or an infinity as a decimal. Never throws. */
export function decimalSpecial(value: number): RawValue {
  const text = Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
  return decimalFromText(text);
}

/** A number as MongoDB turns it into a decimal; undefined for NaN and the infinities. Never throws on numbers. */
export function asDecimal(value: RawValue): Exact | undefined {
  if (value.type !== Type.double) return exactOf(value);
  const number = toDouble(value);
  if (number === 0) return { coefficient: 0n, exponent: 0 };
  // MongoDB turns any other double into a decimal of 15 significant digits.
  return Number.isFinite(number) ? parseDecimal(number.toPrecision(15)) : undefined;
}

function isNegative(value: RawValue): boolean {
  if (value.type === Type.decimal) return ((value.bytes[value.end - 1] as number) & 0x80) !== 0;
  const number = toDouble(value);
  return number < 0 || Object.is(number, -0);
}

type Operation = 'add' | 'multiply';

/** a + b or a × b with MongoDB's types: the widest of both; a 32-bit integer that overflows becomes a 64-bit one.
 * Returns undefined when a 64-bit integer overflows. Never throws on numbers. */
export function arithmetic(operation: Operation, a: RawValue, b: RawValue): RawValue | undefined {
  if (a.type === Type.decimal || b.type === Type.decimal) {
    const left = asDecimal(a);
    const right = asDecimal(b);
    if (left === undefined || right === undefined) {
      return decimalSpecial(operation === 'add' ? toDouble(a) + toDouble(b) : toDouble(a) * toDouble(b));
    }
    const [x, y] = [isNegative(a), isNegative(b)];
    if (operation === 'multiply') {
      const product = {
        coefficient: left.coefficient * right.coefficient,
        exponent: left.exponent + right.exponent,
      };
      return isZero(product) ? decimalZero(x !== y, product.exponent) : decimalOf(product);
    }
    const low = Math.min(left.exponent, right.exponent);
    const sum = {
      coefficient:
        left.coefficient * 10n ** BigInt(left.exponent - low) + right.coefficient * 10n ** BigInt(right.exponent - low),
      exponent: low,
    };
    return isZero(sum) ? decimalZero(x && y, low) : decimalOf(sum);
  }
  if (a.type === Type.double || b.type === Type.double) {
    return double(operation === 'add' ? toDouble(a) + toDouble(b) : toDouble(a) * toDouble(b));
  }
  if (a.type === Type.int32 && b.type === Type.int32 && operation === 'add') {
    const sum = toDouble(a) + toDouble(b);
    return sum >= -0x80000000 && sum <= 0x7fffffff ? int32(sum) : int64(BigInt(sum));
  }
  const left = exactOf(a)?.coefficient ?? 0n;
  const right = exactOf(b)?.coefficient ?? 0n;
  const result = operation === 'add' ? left + right : left * right;
  if (BigInt.asIntN(64, result) !== result) return undefined;
  const narrow = a.type === Type.int32 && b.type === Type.int32 && BigInt.asIntN(32, result) === result;
  return narrow ? int32(Number(result)) : int64(result);
}
