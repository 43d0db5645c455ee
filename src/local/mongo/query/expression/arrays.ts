import { exactOf, isNumber, toDouble } from '../../bson/numbers.js';
import { elements, fields, type RawValue, Type, textOf } from '../../bson/raw-value.js';
import { int32, NULL, string } from '../../bson/values.js';
import { arrayOf, documentOf } from '../../bson/writer.js';
import { StoreError } from '../../errors.js';
import { compareSortKeys, parseSort, sortKey } from '../sort.js';
import { typeName } from '../type-names.js';
import { boolean, compareMaybe } from './logic.js';
import {
  argumentsOf,
  type Expression,
  isNullish,
  isTruthy,
  located,
  namedArguments,
  type Operator,
  type Operators,
  unary,
} from './operator.js';

const MAX_RANGE = 6_000_000; // elements: about the 100 MB that MongoDB allows a $range

/** A number that is a whole one of 32 bits, whatever its type; undefined when it is none. Never throws. */
export function wholeInt32(value: RawValue | undefined): number | undefined {
  if (value === undefined || !isNumber(value.type)) return undefined;
  const number = toDouble(value);
  if ((number | 0) !== number) return undefined;
  // A decimal may be a fraction that no double can tell.
  return value.type !== Type.decimal || isWholeDecimal(value) ? number | 0 : undefined;
}

function isWholeDecimal(value: RawValue): boolean {
  const exact = exactOf(value);
  return exact !== undefined && (exact.exponent >= 0 || exact.coefficient % 10n ** BigInt(-exact.exponent) === 0n);
}

/** The elements of an array. Throws the code with what is wrong when it is none. */
export function arrayElements(value: RawValue, code: number, what: string): RawValue[] {
  if (value.type !== Type.array) throw located(code, `${what} must be an array, but was of type: ${typeName(value)}`);
  return elements(value);
}

function onArray(code: number, compute: (list: RawValue[]) => RawValue | undefined): Operator {
  return unary((value, name) =>
    isNullish(value) ? NULL : compute(arrayElements(value, code, `The argument to ${name}`)),
  );
}

function positionOf(value: RawValue, codes: readonly [number, number], what: string): number {
  if (!isNumber(value.type)) throw located(codes[0], `${what} must be a numeric value, but is ${typeName(value)}`);
  const position = wholeInt32(value);
  if (position === undefined) throw located(codes[1], `${what} must be representable as a 32-bit integer`);
  return position;
}

const elementAt: Operator = (operand, compiler, name) => {
  const [array, index] = argumentsOf(operand, compiler, name, 2) as [Expression, Expression];
  return (document) => {
    const list = array(document);
    const at = index(document);
    if (isNullish(list) || isNullish(at)) return NULL;
    if (list.type !== Type.array)
      throw located(28689, `${name}'s first argument must be an array, but is ${typeName(list)}`);
    return elements(list).at(positionOf(at, [28690, 28691], `${name}'s second argument`));
  };
};

const size = unary((value, name) => {
  if (value?.type !== Type.array)
    throw located(17124, `The argument to ${name} must be an array, but was of type: ${typeName(value)}`);
  return int32(elements(value).length);
});

const isIn: Operator = (operand, compiler, name) => {
  const [wanted, array] = argumentsOf(operand, compiler, name, 2) as [Expression, Expression];
  return (document) => {
    const value = wanted(document);
    const list = array(document);
    if (list?.type !== Type.array)
      throw located(40081, `$in requires an array as a second argument, found: ${typeName(list)}`);
    return boolean(elements(list).some((one) => compareMaybe(one, value) === 0));
  };
};

const concat: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 0, Number.POSITIVE_INFINITY);
  return (document) => {
    const out: RawValue[] = [];
    for (const part of parts) {
      const value = part(document);
      if (isNullish(value)) return NULL;
      if (value.type !== Type.array) throw located(28664, `$concatArrays only supports arrays, not ${typeName(value)}`);
      for (const one of elements(value)) out.push(one);
    }
    return arrayOf(out);
  };
};

const slice: Operator = (operand, compiler, name) => {
  const [array, second, third] = argumentsOf(operand, compiler, name, 2, 3) as [Expression, Expression, Expression?];
  return (document) => {
    const list = array(document);
    const a = second(document);
    if (isNullish(list) || isNullish(a)) return NULL;
    if (list.type !== Type.array)
      throw located(28724, `First argument to $slice must be an array, but is of type: ${typeName(list)}`);
    const first = positionOf(a, [28725, 28726], 'Second argument to $slice');
    const all = elements(list);
    if (third === undefined) return arrayOf(first >= 0 ? all.slice(0, first) : all.slice(first));
    const b = third(document);
    if (isNullish(b)) return NULL;
    const count = positionOf(b, [28727, 28728], 'Third argument to $slice');
    if (count <= 0) throw located(28729, `Third argument to $slice must be positive: ${count}`);
    const start = first >= 0 ? first : Math.max(0, all.length + first);
    return arrayOf(all.slice(start, start + count));
  };
};

function searchBound(value: RawValue | undefined, what: string): number {
  const bound = wholeInt32(value);
  if (bound === undefined)
    throw located(40096, `$indexOfArray requires an integral ${what}, found: ${typeName(value)}`);
  if (bound < 0) throw located(40097, `$indexOfArray requires a nonnegative ${what}, found: ${bound}`);
  return bound;
}

const indexOf: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 2, 4);
  return (document) => {
    const [list, wanted] = [parts[0]?.(document), parts[1]?.(document)];
    if (isNullish(list)) return NULL;
    if (list.type !== Type.array)
      throw located(40090, `$indexOfArray requires an array as a first argument, found: ${typeName(list)}`);
    const all = elements(list);
    const from = parts[2] === undefined ? 0 : searchBound(parts[2](document), 'starting index');
    const to = parts[3] === undefined ? all.length : searchBound(parts[3](document), 'ending index');
    for (let i = from; i < Math.min(to, all.length); i++) if (compareMaybe(all[i], wanted) === 0) return int32(i);
    return int32(-1);
  };
};

const range: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 2, 3);
  const texts = ['starting', 'ending', 'step'];
  return (document) => {
    const [start, end, step = 1] = parts.map((part, i) => {
      const value = part(document);
      if (value === undefined || !isNumber(value.type))
        throw located(34443 + i * 2, `$range requires a numeric ${texts[i]} value, found: ${typeName(value)}`);
      const number = wholeInt32(value);
      if (number === undefined)
        throw located(34444 + i * 2, `$range requires a ${texts[i]} value that is a 32-bit integer`);
      return number;
    }) as [number, number, number?];
    if (step === 0) throw located(34449, '$range requires a non-zero step value');
    if ((end - start) / step > MAX_RANGE)
      throw new StoreError(146, 'ExceededMemoryLimit', `$range would make more than ${MAX_RANGE} elements`);
    const out: RawValue[] = [];
    for (let at = start; step > 0 ? at < end : at > end; at += step) out.push(int32(at));
    return arrayOf(out);
  };
};

const zip: Operator = (operand, compiler, name) => {
  if (operand.type !== Type.object) throw located(34460, '$zip only supports an object as an argument');
  const named = namedArguments(operand, name, {
    required: ['inputs'],
    optional: ['useLongestLength', 'defaults'],
    unknown: 34464,
    missing: 34465,
  });
  const inputs = named.get('inputs') as RawValue;
  if (inputs.type !== Type.array) throw located(34461, 'inputs must be an array of expressions');
  const parts = elements(inputs).map((one) => compiler.compile(one));
  if (parts.length === 0) throw located(34465, '$zip requires at least one input array');
  const longest = named.get('useLongestLength');
  if (longest !== undefined && longest.type !== Type.bool) throw located(34463, 'useLongestLength must be a bool');
  const fill = named.get('defaults');
  if (fill !== undefined && fill.type !== Type.array) throw located(34462, 'defaults must be an array of expressions');
  const useLongest = longest !== undefined && isTruthy(longest);
  const defaults = fill === undefined ? undefined : elements(fill).map((one) => compiler.compile(one));
  if (defaults !== undefined && !useLongest)
    throw located(34466, 'cannot specify defaults unless useLongestLength is true');
  if (defaults !== undefined && defaults.length !== parts.length)
    throw located(34467, 'defaults and inputs must have the same length');
  return (document) => {
    const lists: RawValue[][] = [];
    for (const part of parts) {
      const value = part(document);
      if (isNullish(value)) return NULL;
      if (value.type !== Type.array)
        throw located(34468, `$zip found a non-array expression in input: ${typeName(value)}`);
      lists.push(elements(value));
    }
    const fillers = parts.map((_, i) => defaults?.[i]?.(document) ?? NULL);
    const lengths = lists.map(({ length }) => length);
    const rows = useLongest ? Math.max(...lengths) : Math.min(...lengths);
    return arrayOf(
      Array.from({ length: rows }, (_, row) => arrayOf(lists.map((list, i) => list[row] ?? (fillers[i] as RawValue)))),
    );
  };
};

const sortArray: Operator = (operand, compiler, name) => {
  const named = namedArguments(operand, name, {
    required: ['input', 'sortBy'],
    noDocument: 2942500,
    unknown: 2942501,
    missing: 2942502,
  });
  const input = compiler.compile(named.get('input') as RawValue);
  const by = named.get('sortBy') as RawValue;
  let order: (list: RawValue[]) => RawValue[];
  if (by.type === Type.object) {
    const parts = parseSort(by);
    if (parts.length === 0) throw located(2942505, '$sortArray must have at least one sort key');
    order = (list) =>
      list
        .map((value) => ({
          value,
          key: value.type === Type.object ? sortKey(value, parts) : parts.map(() => NULL),
        }))
        .sort((a, b) => compareSortKeys(a.key, b.key, parts))
        .map(({ value }) => value);
  } else {
    const direction = wholeInt32(by);
    if (direction !== 1 && direction !== -1)
      throw located(2942507, '$sortArray needs 1, -1 or a document of these in sortBy');
    order = (list) => [...list].sort((a, b) => compareMaybe(a, b) * direction);
  }
  return (document) => {
    const value = input(document);
    if (isNullish(value)) return NULL;
    return arrayOf(order(arrayElements(value, 2942504, 'The input argument to $sortArray')));
  };
};

/** The number of elements that an operator or accumulator of n wants. Throws 5787902, 5787903 or 5787908. */
export function countOf(value: RawValue | undefined, name: string): number {
  if (value === undefined || !isNumber(value.type))
    throw located(5787902, `Value for 'n' of ${name} must be of integral type, but found ${typeName(value)}`);
  const number = toDouble(value);
  if (!Number.isInteger(number) || Math.abs(number) >= 2 ** 63)
    throw located(5787903, `Value for 'n' of ${name} must be of integral type`);
  if (number <= 0) throw located(5787908, `'n' of ${name} must be greater than 0, found ${number}`);
  return number;
}

/** The `n` least or greatest values, in that order; null and missing ones do not count. Never throws. */
export function extremes(list: readonly RawValue[], n: number, sign: 1 | -1): RawValue[] {
  return list
    .filter((one) => !isNullish(one))
    .sort((a, b) => compareMaybe(a, b) * sign)
    .slice(0, n);
}

function several(pick: (list: RawValue[], n: number) => RawValue[]): Operator {
  return (operand, compiler, name) => {
    const named = namedArguments(operand, name, {
      required: ['n', 'input'],
      noDocument: 5787801,
      unknown: 5787901,
      missing: 5787906,
    });
    const n = compiler.compile(named.get('n') as RawValue);
    const input = compiler.compile(named.get('input') as RawValue);
    return (document) => {
      const count = countOf(n(document), name);
      const value = input(document);
      if (value?.type !== Type.array)
        throw located(5788200, `Input must be an array for ${name}, but found ${typeName(value)}`);
      return arrayOf(pick(elements(value), count));
    };
  };
}

function pairOf(one: RawValue, asArrays: boolean): [string, RawValue] {
  let key: RawValue | undefined;
  let value: RawValue | undefined;
  if (asArrays) {
    if (one.type !== Type.array)
      throw located(40396, `$arrayToObject requires a consistent input format, now found: ${typeName(one)}`);
    const pair = elements(one);
    if (pair.length !== 2)
      throw located(40397, `$arrayToObject requires an array of size 2 arrays, found array of size: ${pair.length}`);
    [key, value] = pair;
  } else {
    if (one.type !== Type.object)
      throw located(40391, `$arrayToObject requires a consistent input format, now found: ${typeName(one)}`);
    const named = new Map(fields(one));
    if (named.size !== 2)
      throw located(40392, `$arrayToObject requires an object with keys 'k' and 'v', found ${named.size} keys`);
    [key, value] = [named.get('k'), named.get('v')];
    if (key === undefined || value === undefined)
      throw located(40393, "$arrayToObject requires an object with keys 'k' and 'v'");
  }
  if (key?.type !== Type.string)
    throw located(asArrays ? 40395 : 40394, `$arrayToObject requires keys of type string, found: ${typeName(key)}`);
  const text = textOf(key);
  if (text.includes('\0')) throw located(4940400, 'Key field cannot contain an embedded null byte');
  return [text, value as RawValue];
}

const arrayToObject = onArray(40386, (list) => {
  const [first] = list;
  if (first === undefined) return documentOf([]);
  if (first.type !== Type.array && first.type !== Type.object)
    throw located(40398, `Unrecognised input type format for $arrayToObject: ${typeName(first)}`);
  const out = new Map<string, RawValue>();
  for (const one of list) out.set(...pairOf(one, first.type === Type.array));
  return documentOf([...out]);
});

const objectToArray = unary((value) => {
  if (isNullish(value)) return NULL;
  if (value.type !== Type.object)
    throw located(40390, `$objectToArray requires a document input, found: ${typeName(value)}`);
  return arrayOf(
    fields(value).map(([key, one]) =>
      documentOf([
        ['k', string(key)],
        ['v', one],
      ]),
    ),
  );
});

function end(position: 0 | -1): Operator {
  return unary((value, name) => {
    if (isNullish(value)) return NULL;
    if (value.type !== Type.array)
      throw located(28689, `${name}'s argument must be an array, but is ${typeName(value)}`);
    return elements(value).at(position);
  });
}

/** Operators on arrays but for those that bind variables and the sets. */
export const ARRAYS: Operators = {
  $size: size,
  $arrayElemAt: elementAt,
  $first: end(0),
  $last: end(-1),
  $firstN: several((list, n) => list.slice(0, n)),
  $lastN: several((list, n) => list.slice(-n)),
  $minN: several((list, n) => extremes(list, n, 1)),
  $maxN: several((list, n) => extremes(list, n, -1)),
  $in: isIn,
  $concatArrays: concat,
  $slice: slice,
  $isArray: unary((value) => boolean(value?.type === Type.array)),
  $indexOfArray: indexOf,
  $range: range,
  $reverseArray: onArray(34435, (list) => arrayOf(list.reverse())),
  $zip: zip,
  $sortArray: sortArray,
  $arrayToObject: arrayToObject,
  $objectToArray: objectToArray,
};
