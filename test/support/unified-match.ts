import { type Document, Long } from 'mongodb';

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: (value) => isDocument(value),
  array: (value) => Array.isArray(value),
  string: (value) => typeof value === 'string',
  bool: (value) => typeof value === 'boolean',
  null: (value) => value === null,
  int: (value) => Number.isInteger(value),
  long: (value) => Number.isInteger(value) || Long.isLong(value),
  double: (value) => typeof value === 'number',
  date: (value) => value instanceof Date,
  objectId: (value) => bsonType(value) === 'ObjectId',
};

function bsonType(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null && '_bsontype' in value ? String(value._bsontype) : undefined;
}

function isDocument(value: unknown): value is Document {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof Map) &&
    bsonType(value) === undefined
  );
}

function fail(path: string, expected: unknown, actual: unknown): never {
  throw new Error(`${path}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

/** The one operator of a special document such as `{$$exists: true}`. */
function operatorOf(expected: unknown): [string, unknown] | undefined {
  if (!isDocument(expected)) return undefined;
  const [only, ...others] = Object.entries(expected);
  return only?.[0].startsWith('$$') === true && others.length === 0 ? only : undefined;
}

function matchOperator(path: string, name: string, operand: unknown, actual: unknown, isRoot: boolean): void {
  switch (name) {
    case '$$exists':
      if ((actual !== undefined) !== operand) fail(path, { [name]: operand }, actual);
      return;
    case '$$type':
      for (const type of [operand].flat()) if (TYPES[String(type)] === undefined) fail(path, 'a known $$type', type);
      if (![operand].flat().some((type) => TYPES[String(type)]?.(actual))) fail(path, { [name]: operand }, actual);
      return;
    case '$$unsetOrMatches':
      if (actual !== undefined) matchValue(path, operand, actual, isRoot);
      return;
    default:
      throw new Error(`${path}: the runner does not know '${name}'`);
  }
}

/** Compares by the rules of the unified test format: numbers by value, fields in any order, and fields that are not expected only in a document at the root.
 * Throws an error that names the path which differs. */
export function matchValue(path: string, expected: unknown, actual: unknown, isRoot: boolean): void {
  const operator = operatorOf(expected);
  if (operator !== undefined) {
    matchOperator(path, operator[0], operator[1], actual, isRoot);
    return;
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) fail(path, expected, actual);
    expected.forEach((one, i) => {
      matchValue(`${path}[${i}]`, one, (actual as unknown[])[i], isRoot);
    });
    return;
  }
  if (isDocument(expected)) {
    const given = actual instanceof Map ? (Object.fromEntries(actual) as Document) : actual;
    if (!isDocument(given)) fail(path, expected, actual);
    for (const [name, value] of Object.entries(expected)) matchValue(`${path}.${name}`, value, given[name], false);
    const extra = isRoot ? undefined : Object.keys(given).find((name) => !(name in expected));
    if (extra !== undefined) fail(`${path}.${extra}`, undefined, given[extra]);
    return;
  }
  if (Long.isLong(actual) && typeof expected === 'number') {
    if (actual.toNumber() !== expected) fail(path, expected, actual);
    return;
  }
  if (expected instanceof Date && actual instanceof Date) {
    if (expected.getTime() !== actual.getTime()) fail(path, expected, actual);
    return;
  }
  if (bsonType(expected) !== undefined) {
    if (bsonType(actual) !== bsonType(expected) || JSON.stringify(actual) !== JSON.stringify(expected)) {
      fail(path, expected, actual);
    }
    return;
  }
  if (expected !== actual) fail(path, expected, actual);
}
