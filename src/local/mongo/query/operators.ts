import { compareValues, searchSorted, typeOrder } from '../bson/compare.js';
import { digitsOf, exactOf, isNumber, toDouble } from '../bson/numbers.js';
import { eachElement, elements, field, fields, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { integerOf } from '../bson/values.js';
import { badValue } from '../errors.js';
import { regexOf } from './regex.js';
import { TYPE_NAMES } from './type-names.js';

const INT64_DIGITS = 19;

/** A test of one value that a path leads to; undefined is a missing one. */
export type ValueTest = (value: RawValue | undefined) => boolean;

function isNullish(value: RawValue | undefined): boolean {
  return value === undefined || value.type === Type.null || value.type === Type.undefined;
}

/** Equality as in a query: null is also what is missing; numbers of all kinds by value. Never throws. */
export function equals(operand: RawValue): ValueTest {
  if (isNullish(operand)) return isNullish;
  return (value) => value !== undefined && compareValues(value, operand) === 0;
}

/** $gt, $gte, $lt and $lte: only values of the operand's type compare; with MinKey and MaxKey all do, and what is missing is above the one and below the other, too.
 * Throws BadValue on a regex. */
export function range(name: string, operand: RawValue): ValueTest {
  if (operand.type === Type.regex) throw badValue(`Can't have RegEx as arg to predicate over field with ${name}`);
  const orEqual = name.endsWith('e');
  const sign = name.startsWith('$gt') ? 1 : -1;
  if (isNullish(operand)) return orEqual ? isNullish : () => false;
  if (operand.type === Type.minKey || operand.type === Type.maxKey) {
    return (value) => {
      if (value === undefined) return (operand.type === Type.minKey) === (sign === 1);
      const order = compareValues(value, operand);
      return order === sign || (orEqual && order === 0);
    };
  }
  const place = typeOrder(operand.type);
  const operandIsNaN = isNumber(operand.type) && Number.isNaN(toDouble(operand));
  return (value) => {
    if (value === undefined || typeOrder(value.type) !== place) return false;
    if (isNumber(value.type)) {
      const valueIsNaN = Number.isNaN(toDouble(value));
      if (operandIsNaN || valueIsNaN) return orEqual && operandIsNaN && valueIsNaN;
    }
    const order = compareValues(value, operand);
    return order === sign || (orEqual && order === 0);
  };
}

/** $in: any of these values or regexes. Throws BadValue when it is no array. */
export function isIn(name: string, operand: RawValue): ValueTest {
  if (operand.type !== Type.array) throw badValue(`${name} needs an array`);
  const list = elements(operand);
  const regexes = list.filter(({ type }) => type === Type.regex).map((one) => regexOf(one));
  const plain = list.filter(({ type }) => type !== Type.regex).sort(compareValues);
  for (const one of plain) {
    if (one.type !== Type.object) continue;
    const first = fields(one)[0]?.[0];
    if (first?.startsWith('$') && !isReference(first)) throw badValue(`cannot nest $ under ${name}`);
  }
  const withNull = plain.some(isNullish);
  return (value) => {
    if (isNullish(value)) return withNull;
    const known = value as RawValue;
    if (searchSorted(plain, known) >= 0) return true;
    return regexes.some((matches) => matches(known));
  };
}

/** Whether a name belongs to a DBRef, which is a plain value for all its dollars. Never throws. */
export function isReference(name: string): boolean {
  return name === '$ref' || name === '$id' || name === '$db';
}

/** $type by name, number or a list of them. Throws BadValue on an unknown one. */
export function isType(operand: RawValue): ValueTest {
  const wanted = new Set<number>();
  for (const one of operand.type === Type.array ? elements(operand) : [operand]) {
    if (one.type === Type.string) {
      const types = TYPE_NAMES[textOf(one)];
      if (types === undefined) throw badValue(`Unknown type name alias: ${textOf(one)}`);
      for (const type of types) wanted.add(type);
    } else {
      const code = integerOf(one, '$type');
      if (code !== -1 && code !== 127 && !(code >= 1 && code <= 19))
        throw badValue(`Invalid numerical type code: ${code}`);
      wanted.add(code === -1 ? 255 : code);
    }
  }
  if (wanted.size === 0) throw badValue('$type must match at least one type');
  return (value) => value !== undefined && wanted.has(value.type);
}

/** A number cut to a 64-bit integer; undefined for NaN, the infinities and what is too large. */
function wholePart(value: RawValue): bigint | undefined {
  const exact = exactOf(value);
  if (exact === undefined) return undefined;
  const { coefficient, exponent } = exact;
  const size = digitsOf(coefficient) + exponent;
  if (size <= 0 || coefficient === 0n) return 0n;
  if (size > INT64_DIGITS) return undefined;
  const whole = exponent < 0 ? coefficient / 10n ** BigInt(-exponent) : coefficient * 10n ** BigInt(exponent);
  return BigInt.asIntN(64, whole) === whole ? whole : undefined;
}

/** $mod: [divisor, remainder], both cut to whole numbers. Throws BadValue on other shapes. */
export function modulo(operand: RawValue): ValueTest {
  const list = operand.type === Type.array ? elements(operand) : [];
  if (list.length !== 2) throw badValue('malformed mod, needs to be an array of two elements');
  const [divisor, remainder] = list.map((one) => BigInt(integerOf(one, '$mod'))) as [bigint, bigint];
  if (divisor === 0n) throw badValue('divisor cannot be 0');
  return (value) => {
    const dividend = value === undefined || !isNumber(value.type) ? undefined : wholePart(value);
    return dividend !== undefined && dividend % divisor === remainder;
  };
}

/** $size: an array of exactly so many elements. Throws BadValue on a negative or broken number. */
export function hasSize(operand: RawValue): ValueTest {
  if (!isNumber(operand.type)) throw badValue('$size needs a number');
  const size = toDouble(operand);
  if (!Number.isInteger(size) || size < 0) throw badValue('$size must be a whole number of 0 or more');
  return (value) => {
    if (value?.type !== Type.array) return false;
    let count = 0;
    eachElement(value, () => {
      count++;
      return false;
    });
    return count === size;
  };
}

/** Whether a document's first field is an operator (and it is no DBRef). Never throws. */
export function isOperators(value: RawValue): boolean {
  if (value.type !== Type.object) return false;
  const first = fields(value)[0]?.[0];
  return first?.startsWith('$') === true && !isReference(first);
}

/** A regex operand of $regex: the pattern with the flags of $options beside it. Throws BadValue on other types. */
export function regexOperand(operators: RawValue, operand: RawValue): (value: RawValue) => boolean {
  const options = field(operators, '$options');
  if (options !== undefined && options.type !== Type.string) throw badValue('$options has to be a string');
  if (operand.type === Type.regex) return regexOf(operand, options === undefined ? undefined : textOf(options));
  if (operand.type !== Type.string) throw badValue('$regex has to be a string');
  return regexOf(operand, options === undefined ? '' : textOf(options));
}
