import { isNumber, toDouble } from '../../bson/numbers.js';
import { type RawValue, Type, textOf } from '../../bson/raw-value.js';
import { int32, NULL, string } from '../../bson/values.js';
import { arrayOf } from '../../bson/writer.js';
import { notImplemented } from '../../errors.js';
import { typeName } from '../type-names.js';
import { wholeInt32 } from './arrays.js';
import {
  argumentsOf,
  binary,
  type Expression,
  isNullish,
  located,
  namedArguments,
  type Operator,
  type Operators,
  unary,
} from './operator.js';
import { coerceText } from './texts.js';

function textArgument(value: RawValue | undefined, code: number, what: string): string {
  if (value?.type !== Type.string) throw located(code, `${what}, found: ${typeName(value)}`);
  return textOf(value);
}

const concat: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 0, Number.POSITIVE_INFINITY);
  return (document) => {
    let text = '';
    for (const part of parts) {
      const value = part(document);
      if (isNullish(value)) return NULL;
      if (value.type !== Type.string) throw located(16702, `$concat only supports strings, not ${typeName(value)}`);
      text += textOf(value);
    }
    return string(text);
  };
};

// Only the ASCII letters have another case here (MongoDB manual, "$toLower").
const lower = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
const upper = (text: string): string => text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());

function continues(bytes: Buffer, at: number): boolean {
  return at < bytes.length && ((bytes[at] as number) & 0xc0) === 0x80;
}

function truncated(value: RawValue | undefined, code: number, what: string): number {
  if (value === undefined || !isNumber(value.type))
    throw located(code, `${what} must be a numeric type (is BSON type ${typeName(value)})`);
  return Math.trunc(toDouble(value));
}

const substrBytes: Operator = (operand, compiler, name) => {
  const [input, from, count] = argumentsOf(operand, compiler, name, 3) as [Expression, Expression, Expression];
  return (document) => {
    const bytes = Buffer.from(coerceText(input(document), name));
    const start = truncated(from(document), 16034, `${name}:  starting index`);
    const length = truncated(count(document), 16035, `${name}:  length`);
    if (start < 0) throw located(50752, `${name}:  starting index must be non-negative (got: ${start})`);
    const end = length < 0 ? bytes.length : start + length;
    if (continues(bytes, start))
      throw located(28656, `${name}:  Invalid range, starting index is a UTF-8 continuation byte.`);
    if (continues(bytes, end))
      throw located(28657, `${name}:  Invalid range, ending index is in the middle of a UTF-8 character.`);
    return string(bytes.toString('utf8', start, end));
  };
};

const substrPoints: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 3);
  return (document) => {
    const points = [...coerceText(parts[0]?.(document), name)];
    const [start, length] = [1, 2].map((i) => {
      const value = parts[i]?.(document);
      const what = i === 1 ? 'starting index' : 'length';
      if (value === undefined || !isNumber(value.type))
        throw located(34448 + i * 2, `${name}: ${what} must be a numeric type (is BSON type ${typeName(value)})`);
      const number = wholeInt32(value);
      if (number === undefined)
        throw located(34449 + i * 2, `${name}: ${what} cannot be represented as a 32-bit integral value`);
      return number;
    }) as [number, number];
    if (length < 0) throw located(34454, `${name}: length must be a nonnegative integer.`);
    if (start < 0) throw located(34455, `${name}: the starting index must be nonnegative integer.`);
    return string(points.slice(start, start + length).join(''));
  };
};

const split = binary((input, separator) => {
  if (isNullish(input) || isNullish(separator)) return NULL;
  const text = textArgument(input, 40085, '$split requires a string as a first argument');
  const by = textArgument(separator, 40086, '$split requires a string as a second argument');
  if (by === '') throw located(40087, '$split requires a non-empty separator');
  return arrayOf(text.split(by).map(string));
});

// MongoDB manual, "$trim": whitespace characters.
const WHITESPACE = new Set(
  '\0 \t\n\v\f\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a',
);

function trim(left: boolean, right: boolean): Operator {
  return (operand, compiler, name) => {
    const given = namedArguments(operand, name, {
      required: ['input'],
      optional: ['chars'],
      noDocument: 50696,
      unknown: 50694,
      missing: 50695,
    });
    const input = compiler.compile(given.get('input') as RawValue);
    const chars = given.get('chars');
    const charsOf = chars === undefined ? undefined : compiler.compile(chars);
    return (document) => {
      const value = input(document);
      if (isNullish(value)) return NULL;
      const points = [...textArgument(value, 50699, `${name} requires its input to be a string`)];
      let cut: ReadonlySet<string> = WHITESPACE;
      if (charsOf !== undefined) {
        const wanted = charsOf(document);
        if (isNullish(wanted)) return NULL;
        cut = new Set(textArgument(wanted, 50700, `${name} requires 'chars' to be a string`));
      }
      let start = 0;
      let end = points.length;
      if (left) while (start < end && cut.has(points[start] as string)) start++;
      if (right) while (end > start && cut.has(points[end - 1] as string)) end--;
      return string(points.slice(start, end).join(''));
    };
  };
}

function bound(value: RawValue | undefined, name: string, what: string): number {
  const number = wholeInt32(value);
  if (number === undefined) throw located(40096, `${name} requires an integral ${what}, found: ${typeName(value)}`);
  if (number < 0) throw located(40097, `${name} requires a nonnegative ${what}, found: ${number}`);
  return number;
}

/** $indexOfBytes and $indexOfCP: `unitsOf` cuts a text into what is counted. */
function indexOf<Unit>(unitsOf: (text: string) => ArrayLike<Unit>, codes: readonly [number, number]): Operator {
  return (operand, compiler, name) => {
    const parts = argumentsOf(operand, compiler, name, 2, 4);
    return (document) => {
      const input = parts[0]?.(document);
      if (isNullish(input)) return NULL;
      const text = unitsOf(textArgument(input, codes[0], `${name} requires a string as the first argument`));
      const token = unitsOf(
        textArgument(parts[1]?.(document), codes[1], `${name} requires a string as the second argument`),
      );
      const from = parts[2] === undefined ? 0 : bound(parts[2](document), name, 'starting index');
      const to = parts[3] === undefined ? text.length : bound(parts[3](document), name, 'ending index');
      const end = Math.min(to, text.length);
      if (from > text.length || end < from) return int32(-1);
      for (let at = from; at + token.length <= end; at++) {
        let i = 0;
        while (i < token.length && text[at + i] === token[i]) i++;
        if (i === token.length) return int32(at);
      }
      return int32(-1);
    };
  };
}

function replace(every: boolean): Operator {
  return (operand, compiler, name) => {
    const keys = ['input', 'find', 'replacement'] as const;
    const given = namedArguments(operand, name, { required: keys, noDocument: 51751, unknown: 51750, missing: 51749 });
    const parts = keys.map((key) => compiler.compile(given.get(key) as RawValue));
    return (document) => {
      const values = parts.map((part) => part(document));
      for (const [i, value] of values.entries()) {
        if (!isNullish(value) && value.type !== Type.string)
          throw located(51746 - i, `${name} requires that '${keys[i]}' be a string, found: ${typeName(value)}`);
      }
      if (values.some(isNullish)) return NULL;
      const [text, find, replacement] = values.map((value) => textOf(value as RawValue)) as [string, string, string];
      if (!every) return string(text.replace(find, () => replacement));
      if (find === '' && Buffer.byteLength(text) !== text.length)
        throw notImplemented(`${name} of an empty text among other than ASCII`);
      return string(text.split(find).join(replacement));
    };
  };
}

/** String operators but for regular expressions. Case is that of ASCII letters alone. */
export const STRINGS: Operators = {
  $concat: concat,
  $toLower: unary((value, name) => string(lower(coerceText(value, name)))),
  $toUpper: unary((value, name) => string(upper(coerceText(value, name)))),
  $substr: substrBytes,
  $substrBytes: substrBytes,
  $substrCP: substrPoints,
  $strLenBytes: unary((value) =>
    int32(Buffer.byteLength(textArgument(value, 34473, '$strLenBytes requires a string argument'))),
  ),
  $strLenCP: unary((value) => int32([...textArgument(value, 34471, '$strLenCP requires a string argument')].length)),
  $split: split,
  $trim: trim(true, true),
  $ltrim: trim(true, false),
  $rtrim: trim(false, true),
  $indexOfBytes: indexOf((text) => Buffer.from(text), [40091, 40092]),
  $indexOfCP: indexOf((text) => [...text], [40093, 40094]),
  $strcasecmp: binary((a, b, name) =>
    int32(Buffer.compare(Buffer.from(upper(coerceText(a, name))), Buffer.from(upper(coerceText(b, name))))),
  ),
  $replaceOne: replace(false),
  $replaceAll: replace(true),
};
