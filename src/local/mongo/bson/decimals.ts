import { asDecimal, decimalOf, decimalSpecial, digitsOf, type Exact, toDouble } from './numbers.js';
import type { RawValue } from './raw-value.js';

const GUARD_DIGITS = 36; // two more than a decimal has: one to round by, one that tells whether anything follows

/** How digits are cut off: to the nearest and to the even one of two as near, towards zero, down or up. */
export type Rounding = 'even' | 'zero' | 'down' | 'up';

function size(value: bigint): bigint {
  return value < 0n ? -value : value;
}

/** The quotient's digits and one more that is not 0 when they are not all of it; without needless zeros down to the exponent that IEEE 754 prefers. */
function quotient(a: Exact, b: Exact): Exact {
  const preferred = a.exponent - b.exponent;
  const shift = Math.max(0, GUARD_DIGITS + digitsOf(b.coefficient) - digitsOf(a.coefficient));
  const dividend = size(a.coefficient) * 10n ** BigInt(shift);
  const divisor = size(b.coefficient);
  let digits = dividend / divisor;
  let exponent = preferred - shift;
  if (dividend % divisor === 0n) {
    while (exponent < preferred && digits % 10n === 0n) {
      digits /= 10n;
      exponent++;
    }
  } else {
    digits = digits * 10n + 1n;
    exponent--;
  }
  return { coefficient: a.coefficient < 0n === b.coefficient < 0n ? digits : -digits, exponent };
}

function aligned(a: Exact, b: Exact): [bigint, bigint, number] {
  const low = Math.min(a.exponent, b.exponent);
  return [a.coefficient * 10n ** BigInt(a.exponent - low), b.coefficient * 10n ** BigInt(b.exponent - low), low];
}

/** a − b, a ÷ b or the remainder of a ÷ b (with a's sign) as decimals of 34 digits, rounded to the even one of two as near. `b` must not be zero for the
 * latter two. Never throws on numbers. */
export function decimalArithmetic(operation: 'subtract' | 'divide' | 'modulo', a: RawValue, b: RawValue): RawValue {
  const left = asDecimal(a);
  const right = asDecimal(b);
  if (left === undefined || right === undefined) {
    const [x, y] = [left === undefined ? toDouble(a) : 1, right === undefined ? toDouble(b) : 1];
    if (operation === 'subtract') return decimalSpecial(x - y);
    const special = operation === 'divide' ? x / y : x % y;
    if (!Number.isFinite(special)) return decimalSpecial(special);
    // A finite number by an infinite one.
    return operation === 'divide' ? decimalOf({ coefficient: 0n, exponent: -6176 }) : decimalOf(left as Exact);
  }
  if (operation === 'divide') return decimalOf(quotient(left, right));
  const [x, y, exponent] = aligned(left, right);
  return decimalOf({ coefficient: operation === 'subtract' ? x - y : x % y, exponent });
}

/** An exact value with `places` digits behind the point (before it when negative); as it is when it has fewer and 34 digits cannot hold them.
 * Never throws. */
export function quantize(value: Exact, places: number, rounding: Rounding): Exact {
  const surplus = -places - value.exponent;
  if (surplus <= 0) {
    const coefficient = value.coefficient * 10n ** BigInt(Math.min(-surplus, 34));
    return -surplus > 34 || digitsOf(coefficient) > 34 ? value : { coefficient, exponent: -places };
  }
  const divisor = 10n ** BigInt(surplus);
  let digits = value.coefficient / divisor;
  const rest = value.coefficient % divisor;
  const negative = value.coefficient < 0n;
  const twice = size(rest) * 2n;
  const away =
    rest !== 0n &&
    (rounding === 'up'
      ? !negative
      : rounding === 'down'
        ? negative
        : rounding === 'even' && (twice > divisor || (twice === divisor && digits % 2n !== 0n)));
  if (away) digits += negative ? -1n : 1n;
  return { coefficient: digits, exponent: -places };
}

function wholeRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt((value.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** The square root of an exact value of 0 or more, as a decimal. Never throws. */
export function decimalRoot(value: Exact): RawValue {
  const preferred = Math.floor(value.exponent / 2);
  let shift = Math.max(0, 2 * GUARD_DIGITS - digitsOf(value.coefficient));
  if ((value.exponent - shift) % 2 !== 0) shift++;
  const square = value.coefficient * 10n ** BigInt(shift);
  let root = wholeRoot(square);
  let exponent = (value.exponent - shift) / 2;
  if (root * root === square) {
    while (exponent < preferred && root % 10n === 0n) {
      root /= 10n;
      exponent++;
    }
  } else {
    root = root * 10n + 1n;
    exponent--;
  }
  return decimalOf({ coefficient: root, exponent });
}
