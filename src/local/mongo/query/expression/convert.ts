import { ObjectId } from 'bson';
import { quantize } from '../../bson/decimals.js';
import {
  asDecimal,
  decimalFromText,
  decimalOf,
  decimalSpecial,
  exactOf,
  isNumber,
  toDouble,
} from '../../bson/numbers.js';
import { type RawValue, Type, textOf } from '../../bson/raw-value.js';
import { date, double, int32, int64, NULL, string, TRUE } from '../../bson/values.js';
import { badValue, failedToParse, notImplemented, StoreError } from '../../errors.js';
import { TYPE_NAMES, typeName } from '../type-names.js';
import { wholeInt32 } from './arrays.js';
import { parseDate } from './date-texts.js';
import { instant } from './dates.js';
import { boolean } from './logic.js';
import { isNullish, isTruthy, namedArguments, type Operator, type Operators, unary } from './operator.js';
import { isoText, numberText } from './texts.js';
import { timeZone } from './time-zone.js';

function failure(message: string): StoreError {
  return new StoreError(241, 'ConversionFailure', `${message} in $convert with no onError value`);
}

function unsupported(value: RawValue, to: string): StoreError {
  return failure(`Unsupported conversion from ${typeName(value)} to ${to}`);
}

function unparsed(text: string, what = 'number'): StoreError {
  return failure(`Failed to parse ${what} '${text}'`);
}

const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)$/i;

/** A text of a number as JavaScript reads it. */
function spelled(text: string): string {
  const sign = text.startsWith('-') ? '-' : '';
  if (/nan$/i.test(text)) return 'NaN';
  return /inf/i.test(text) ? `${sign}Infinity` : text;
}

function integer(value: RawValue, bits: 32 | 64, to: string): bigint {
  let number: bigint;
  if (value.type === Type.bool) number = isTruthy(value) ? 1n : 0n;
  else if (value.type === Type.string) {
    const text = textOf(value);
    if (!INTEGER.test(text)) throw unparsed(text);
    number = BigInt(text.replace('+', ''));
  } else if (isNumber(value.type)) {
    const exact = exactOf(value);
    if (exact === undefined)
      throw failure(`Attempt to convert ${Number.isNaN(toDouble(value)) ? 'NaN' : 'infinity'} value to integer type`);
    const cut = quantize(exact, 0, 'zero');
    number = cut.coefficient * 10n ** BigInt(Math.min(cut.exponent, 40));
  } else if (value.type === Type.date && bits === 64) number = value.bytes.readBigInt64LE(value.start);
  else throw unsupported(value, to);
  if (BigInt.asIntN(bits, number) !== number) throw failure('Conversion would overflow target type');
  return number;
}

function toDoubleValue(value: RawValue): RawValue {
  if (value.type === Type.bool) return double(isTruthy(value) ? 1 : 0);
  if (value.type === Type.date) return double(Number(value.bytes.readBigInt64LE(value.start)));
  if (value.type === Type.string) {
    const text = textOf(value);
    if (!NUMBER.test(text)) throw unparsed(text);
    const number = Number(spelled(text));
    const tiny = Math.abs(number) < 2 ** -1022 && /[1-9]/.test(text.split(/e/i)[0] as string);
    if (tiny || (!Number.isFinite(number) && /\d/.test(text))) throw unparsed(text);
    return double(number);
  }
  if (!isNumber(value.type)) throw unsupported(value, 'double');
  const number = toDouble(value);
  const exact = value.type === Type.decimal ? exactOf(value) : undefined;
  if (exact !== undefined && (!Number.isFinite(number) || (exact.coefficient !== 0n && Math.abs(number) < 2 ** -1022)))
    throw failure('Conversion would overflow target type');
  return double(number);
}

function toDecimal(value: RawValue): RawValue {
  if (value.type === Type.decimal) return value;
  if (value.type === Type.bool) return decimalOf({ coefficient: isTruthy(value) ? 1n : 0n, exponent: 0 });
  if (value.type === Type.date) return decimalOf({ coefficient: value.bytes.readBigInt64LE(value.start), exponent: 0 });
  if (value.type === Type.string) {
    const text = textOf(value);
    if (!NUMBER.test(text)) throw unparsed(text);
    return decimalFromText(spelled(text));
  }
  if (!isNumber(value.type)) throw unsupported(value, 'decimal');
  const exact = asDecimal(value);
  return exact === undefined ? decimalSpecial(toDouble(value)) : decimalOf(exact);
}

function toText(value: RawValue): RawValue {
  if (value.type === Type.string) return value;
  if (isNumber(value.type)) return string(numberText(value, 'shortest'));
  if (value.type === Type.bool) return string(String(isTruthy(value)));
  if (value.type === Type.date) return string(isoText(Number(value.bytes.readBigInt64LE(value.start))));
  if (value.type === Type.objectId) return string(value.bytes.toString('hex', value.start, value.end));
  if (value.type === Type.binary) throw notImplemented('the conversion of binary data');
  throw unsupported(value, 'string');
}

function toDate(value: RawValue): RawValue {
  if (value.type === Type.string) return date(parseDate(textOf(value), timeZone('UTC')));
  if (value.type === Type.int64 || value.type === Type.double || value.type === Type.decimal)
    return { ...int64(integer(value, 64, 'date')), type: Type.date };
  if (value.type === Type.date) return value;
  const ms = instant(value);
  if (ms === undefined) throw unsupported(value, 'date');
  return date(ms);
}

function toObjectId(value: RawValue): RawValue {
  if (value.type === Type.objectId) return value;
  if (value.type !== Type.string) throw unsupported(value, 'objectId');
  const text = textOf(value);
  if (!/^[0-9a-f]{24}$/i.test(text)) throw unparsed(text, 'objectId');
  const bytes = Buffer.from(new ObjectId(text).id);
  return { type: Type.objectId, bytes, start: 0, end: bytes.length };
}

/** Converts a value that is there to a type. Throws ConversionFailure (241) where MongoDB has no such conversion or the value does not fit. */
function convertTo(value: RawValue, type: number): RawValue {
  switch (type) {
    case Type.double:
      return toDoubleValue(value);
    case Type.string:
      return toText(value);
    case Type.objectId:
      return toObjectId(value);
    case Type.bool:
      return isNumber(value.type) || value.type === Type.bool ? boolean(isTruthy(value)) : TRUE;
    case Type.date:
      return toDate(value);
    case Type.int32:
      return int32(Number(integer(value, 32, 'int')));
    case Type.int64:
      return int64(integer(value, 64, 'long'));
    case Type.decimal:
      return toDecimal(value);
    case Type.binary:
      throw notImplemented('the conversion to binary data');
    default:
      throw unsupported(value, 'that type');
  }
}

function targetOf(value: RawValue): number {
  if (value.type === Type.string) {
    const types = TYPE_NAMES[textOf(value)];
    if (types?.length !== 1) throw badValue(`Unknown type name: ${textOf(value)}`);
    return types[0] as number;
  }
  if (value.type === Type.object) throw notImplemented('subtypes in $convert');
  if (!isNumber(value.type))
    throw failedToParse(`$convert's 'to' argument must be a string or number, but is ${typeName(value)}`);
  const code = wholeInt32(value);
  if (code === undefined) throw failedToParse("In $convert, numeric 'to' argument is not an integer");
  if (code !== -1 && code !== 127 && !(code >= 1 && code <= 19))
    throw failedToParse(`In $convert, numeric value for 'to' does not correspond to a BSON type: ${code}`);
  return code === -1 ? Type.minKey : code;
}

const convert: Operator = (operand, compiler, name) => {
  const given = namedArguments(operand, name, {
    required: ['input', 'to'],
    optional: ['onError', 'onNull', 'format', 'byteOrder'],
  });
  for (const option of ['format', 'byteOrder'])
    if (given.has(option)) throw notImplemented(`the '${option}' of $convert`);
  const parts = new Map([...given].map(([key, source]) => [key, compiler.compile(source)]));
  return (document) => {
    const to = parts.get('to')?.(document);
    const value = parts.get('input')?.(document);
    const target = isNullish(to) ? undefined : targetOf(to);
    if (isNullish(value)) return parts.has('onNull') ? parts.get('onNull')?.(document) : NULL;
    if (target === undefined) return NULL;
    try {
      return convertTo(value, target);
    } catch (error) {
      if (error instanceof StoreError && error.code === 241 && parts.has('onError'))
        return parts.get('onError')?.(document);
      throw error;
    }
  };
};

function to(type: number): Operator {
  return unary((value) => (isNullish(value) ? NULL : convertTo(value, type)));
}

/** $type, $isNumber and the conversions. Binary data is refused by name. */
export const CONVERSIONS: Operators = {
  $type: unary((value) => string(typeName(value))),
  $isNumber: unary((value) => boolean(value !== undefined && isNumber(value.type))),
  $convert: convert,
  $toString: to(Type.string),
  $toInt: to(Type.int32),
  $toLong: to(Type.int64),
  $toDouble: to(Type.double),
  $toDecimal: to(Type.decimal),
  $toBool: to(Type.bool),
  $toDate: to(Type.date),
  $toObjectId: to(Type.objectId),
};
