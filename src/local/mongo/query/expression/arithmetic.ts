import { decimalArithmetic, decimalRoot, quantize, type Rounding } from '../../bson/decimals.js';
import {
  arithmetic,
  compareNumbers,
  decimalOf,
  decimalSpecial,
  type Exact,
  exactOf,
  isNumber,
  toDouble,
} from '../../bson/numbers.js';
import { type RawValue, Type } from '../../bson/raw-value.js';
import { double, int32, int64, NULL } from '../../bson/values.js';
import { badValue, notImplemented, StoreError, typeMismatch } from '../../errors.js';
import { typeName } from '../type-names.js';
import { argumentsOf, binary, isNullish, located, type Operator, type Operators, unary } from './operator.js';

const ZERO = int32(0);
const ONE = int32(1);

function overflow(message: string): StoreError {
  return new StoreError(15, 'Overflow', message);
}

function isZero(value: RawValue): boolean {
  return compareNumbers(value, ZERO) === 0;
}

/** A whole number as an int32, or as a long when it was one or does not fit. */
function whole(value: bigint, asLong: boolean): RawValue {
  return asLong || BigInt.asIntN(32, value) !== value ? int64(value) : int32(Number(value));
}

/** The sum of two numbers by MongoDB's types; a 64-bit integer that overflows becomes a double. Never throws on numbers. */
export function sumOf(a: RawValue, b: RawValue): RawValue {
  return arithmetic('add', a, b) ?? double(toDouble(a) + toDouble(b));
}

function milliseconds(value: RawValue): bigint {
  return value.bytes.readBigInt64LE(value.start);
}

/** A number as a whole count of milliseconds: doubles to the nearest, away from zero when there are two; decimals to the nearest even. */
function span(value: RawValue): bigint {
  if (value.type === Type.decimal) {
    const exact = exactOf(value);
    if (exact === undefined) throw overflow('date overflow');
    const { coefficient, exponent } = quantize(exact, 0, 'even');
    if (exponent > 20) throw overflow('date overflow');
    return coefficient * 10n ** BigInt(exponent);
  }
  if (value.type !== Type.double) return (exactOf(value) as Exact).coefficient;
  const number = toDouble(value);
  if (!(Math.abs(number) < 2 ** 63)) throw overflow('date overflow');
  return BigInt(Math.sign(number) * Math.floor(Math.abs(number) + (Math.abs(number) < 2 ** 52 ? 0.5 : 0)));
}

function dateOf(ms: bigint): RawValue {
  if (BigInt.asIntN(64, ms) !== ms) throw overflow('date overflow');
  return { ...int64(ms), type: Type.date };
}

const add: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 0, Number.POSITIVE_INFINITY);
  return (document) => {
    let sum = ZERO;
    for (const part of parts) {
      const value = part(document);
      if (isNullish(value)) return NULL;
      if (value.type === Type.date) {
        if (sum.type === Type.date) throw located(16612, 'only one date allowed in an $add expression');
        sum = dateOf(span(sum) + milliseconds(value));
      } else if (!isNumber(value.type)) {
        throw typeMismatch(`$add only supports numeric or date types, not ${typeName(value)}`);
      } else sum = sum.type === Type.date ? dateOf(milliseconds(sum) + span(value)) : sumOf(sum, value);
    }
    return sum;
  };
};

const subtract = binary((a, b) => {
  if (isNullish(a) || isNullish(b)) return NULL;
  if (isNumber(a.type) && isNumber(b.type)) {
    if (a.type === Type.decimal || b.type === Type.decimal) return decimalArithmetic('subtract', a, b);
    const difference = (): RawValue => double(toDouble(a) - toDouble(b));
    if (a.type === Type.double || b.type === Type.double) return difference();
    const result = (exactOf(a) as Exact).coefficient - (exactOf(b) as Exact).coefficient;
    if (BigInt.asIntN(64, result) !== result) return difference();
    return whole(result, a.type === Type.int64 || b.type === Type.int64);
  }
  if (a.type === Type.date) {
    if (b.type === Type.date) return int64(BigInt.asIntN(64, milliseconds(a) - milliseconds(b)));
    if (isNumber(b.type)) return dateOf(milliseconds(a) - span(b));
    throw typeMismatch(`can't $subtract ${typeName(b)} from Date`);
  }
  throw typeMismatch(`can't $subtract ${typeName(b)} from ${typeName(a)}`);
});

const multiply: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 0, Number.POSITIVE_INFINITY);
  return (document) => {
    let product = ONE;
    for (const part of parts) {
      const value = part(document);
      if (isNullish(value)) return NULL;
      if (!isNumber(value.type)) throw typeMismatch(`$multiply only supports numeric types, not ${typeName(value)}`);
      product = arithmetic('multiply', product, value) ?? double(toDouble(product) * toDouble(value));
    }
    return product;
  };
};

const divide = binary((a, b) => {
  if (isNullish(a) || isNullish(b)) return NULL;
  if (!isNumber(a.type) || !isNumber(b.type))
    throw typeMismatch(`$divide only supports numeric types, not ${typeName(a)} and ${typeName(b)}`);
  if (isZero(b)) throw badValue("can't $divide by zero");
  if (a.type === Type.decimal || b.type === Type.decimal) return decimalArithmetic('divide', a, b);
  return double(toDouble(a) / toDouble(b));
});

const modulo = binary((a, b) => {
  if (isNullish(a) || isNullish(b)) return NULL;
  if (!isNumber(a.type) || !isNumber(b.type))
    throw located(16611, `$mod only supports numeric types, not ${typeName(a)} and ${typeName(b)}`);
  if (a.type === Type.decimal || b.type === Type.decimal) {
    if (isZero(b)) throw located(5733415, "can't $mod by zero");
    return decimalArithmetic('modulo', a, b);
  }
  if (isZero(b)) throw located(16610, "can't $mod by zero");
  if (a.type === Type.double || b.type === Type.double) return double(toDouble(a) % toDouble(b));
  const rest = (exactOf(a) as Exact).coefficient % (exactOf(b) as Exact).coefficient;
  return whole(rest, a.type === Type.int64 || b.type === Type.int64);
});

function numeric(compute: (value: RawValue, name: string) => RawValue): Operator {
  return unary((value, name) => {
    if (isNullish(value)) return NULL;
    if (!isNumber(value.type)) throw located(28765, `${name} only supports numeric types, not ${typeName(value)}`);
    return compute(value, name);
  });
}

const abs = numeric((value) => {
  if (value.type === Type.double) return double(Math.abs(toDouble(value)));
  const exact = exactOf(value);
  if (exact === undefined) return decimalSpecial(Math.abs(toDouble(value)));
  const coefficient = exact.coefficient < 0n ? -exact.coefficient : exact.coefficient;
  if (value.type === Type.decimal) return decimalOf({ ...exact, coefficient });
  if (BigInt.asIntN(64, coefficient) !== coefficient) throw located(28680, "can't take $abs of long long min");
  return whole(coefficient, value.type === Type.int64);
});

/** A value with so many digits behind the point, in its own type. */
function rounded(value: RawValue, places: number, rounding: Rounding, name: string): RawValue {
  const exact = exactOf(value);
  if (exact === undefined) return value;
  const result = quantize(exact, places, rounding);
  if (value.type === Type.decimal) return decimalOf(result);
  if (value.type === Type.double) {
    const number = Number(`${result.coefficient}e${result.exponent}`);
    return double(number === 0 && toDouble(value) < 0 ? -0 : number);
  }
  if (places >= 0) return value;
  const integer = result.coefficient * 10n ** BigInt(result.exponent);
  if (BigInt.asIntN(64, integer) !== integer)
    throw located(51080, `invalid conversion from Decimal128 result in ${name}`);
  return whole(integer, value.type === Type.int64);
}

function toPlaces(rounding: Rounding): Operator {
  return (operand, compiler, name) => {
    const [argument, places] = argumentsOf(operand, compiler, name, 1, 2);
    return (document) => {
      const value = argument?.(document);
      if (isNullish(value)) return NULL;
      if (!isNumber(value.type)) throw located(51081, `${name} only supports numeric types, not ${typeName(value)}`);
      if (places === undefined) return rounded(value, 0, rounding, name);
      const given = places(document);
      if (isNullish(given)) return NULL;
      const digits = isNumber(given.type) ? toDouble(given) : Number.NaN;
      if (!Number.isInteger(digits)) throw located(51082, `precision argument to ${name} must be an integral value`);
      if (digits < -20 || digits > 100)
        throw located(51083, `cannot apply ${name} with precision value ${digits}, value must be in [-20, 100]`);
      return rounded(value, digits, rounding, name);
    };
  };
}

const sqrt = numeric((value) => {
  const number = toDouble(value);
  if (number < 0) throw located(28714, "$sqrt's argument must be greater than or equal to 0");
  if (value.type !== Type.decimal) return double(Math.sqrt(number));
  const exact = exactOf(value);
  return exact === undefined ? value : decimalRoot(exact);
});

function powerOfIntegers(base: bigint, exponent: bigint): bigint | undefined {
  if (base === 1n || base === 0n) return exponent === 0n ? 1n : base;
  if (base === -1n) return exponent % 2n === 0n ? 1n : -1n;
  if (exponent < 0n || exponent > 63n) return undefined;
  const result = base ** exponent;
  return BigInt.asIntN(64, result) === result ? result : undefined;
}

const pow = binary((base, exponent) => {
  if (isNullish(base) || isNullish(exponent)) return NULL;
  if (!isNumber(base.type)) throw located(28762, `$pow's base must be numeric, not ${typeName(base)}`);
  if (!isNumber(exponent.type)) throw located(28763, `$pow's exponent must be numeric, not ${typeName(exponent)}`);
  if (isZero(base) && toDouble(exponent) < 0)
    throw located(28764, '$pow cannot take a base of 0 and a negative exponent');
  if (base.type === Type.decimal || exponent.type === Type.decimal) throw notImplemented('$pow of decimals');
  if (base.type !== Type.double && exponent.type !== Type.double) {
    const result = powerOfIntegers((exactOf(base) as Exact).coefficient, (exactOf(exponent) as Exact).coefficient);
    if (result !== undefined) return whole(result, base.type === Type.int64 || exponent.type === Type.int64);
  }
  const [x, y] = [toDouble(base), toDouble(exponent)];
  // C's pow, other than JavaScript's: 1 to any power, and −1 to an infinite one, is 1.
  return double(x === 1 || (x === -1 && Math.abs(y) === Number.POSITIVE_INFINITY) ? 1 : x ** y);
});

function logarithm(code: number, compute: (value: number) => number): Operator {
  return numeric((value, name) => {
    const number = toDouble(value);
    if (number <= 0) throw located(code, `${name}'s argument must be a positive number, but is ${number}`);
    if (value.type === Type.decimal) throw notImplemented(`${name} of decimals`);
    return double(compute(number));
  });
}

const log = binary((value, base) => {
  if (isNullish(value) || isNullish(base)) return NULL;
  if (!isNumber(value.type)) throw located(28756, `$log's argument must be numeric, not ${typeName(value)}`);
  if (!isNumber(base.type)) throw located(28757, `$log's base must be numeric, not ${typeName(base)}`);
  const [x, y] = [toDouble(value), toDouble(base)];
  if (x <= 0) throw located(28758, `$log's argument must be a positive number, but is ${x}`);
  if (y <= 0 || y === 1) throw located(28759, `$log's base must be a positive number not equal to 1, but is ${y}`);
  if (value.type === Type.decimal || base.type === Type.decimal) throw notImplemented('$log of decimals');
  return double(Math.log(x) / Math.log(y));
});

const random: Operator = (operand, _compiler, name) => {
  const empty = operand.type === Type.object || operand.type === Type.array;
  if (!empty || operand.end - operand.start > 5) throw located(3040501, `${name} does not currently accept arguments`);
  return () => double(Math.random());
};

/** $add, $subtract (of numbers and dates) and the operators of numbers alone. Decimals are exact to 34 digits where they are served at all. */
export const ARITHMETIC: Operators = {
  $add: add,
  $subtract: subtract,
  $multiply: multiply,
  $divide: divide,
  $mod: modulo,
  $abs: abs,
  $ceil: numeric((value, name) => rounded(value, 0, 'up', name)),
  $floor: numeric((value, name) => rounded(value, 0, 'down', name)),
  $round: toPlaces('even'),
  $trunc: toPlaces('zero'),
  $sqrt: sqrt,
  $pow: pow,
  $exp: numeric((value, name) => {
    if (value.type === Type.decimal) throw notImplemented(`${name} of decimals`);
    return double(Math.exp(toDouble(value)));
  }),
  $ln: logarithm(28766, Math.log),
  $log: log,
  $log10: logarithm(28761, Math.log10),
  $rand: random,
};
