import { isNumber, toDouble } from '../bson/numbers.js';
import { elements, field, fields, type RawValue, rawDocument, Type, textOf } from '../bson/raw-value.js';
import { flagOf, integerOf, string, stringOf } from '../bson/values.js';
import { bsonWriter, identical } from '../bson/writer.js';
import { badValue, notImplemented, StoreError, typeMismatch } from '../errors.js';
import { compileFilter } from '../query/filter.js';
import { typeName } from '../query/type-names.js';
import type { Index } from '../storage/catalog.js';
import { checkCollation, documentField } from './context.js';

const MAX_KEYS = 32;
const MAX_KEY_BYTES = 2048;
const MAX_SECONDS = 0x7fffffff;
const PLUGINS = ['text', 'hashed', '2d', '2dsphere', 'geoHaystack', 'columnstore', 'wildcard'];
const DROPPED_OPTIONS = ['background', 'dropDups', 'ns'];
const ID_OPTIONS = ['key', 'name', 'ns', 'v', 'collation'];
const REFUSED_OPTIONS = (
  'storageEngine weights default_language language_override textIndexVersion 2dsphereIndexVersion wildcardProjection ' +
  'columnstoreProjection bits min max bucketSize coarsestIndexedLevel finestIndexedLevel clustered prepareUnique'
).split(' ');

/** What is said of an index that cannot be: code 67. Never throws. */
export function cannotCreate(message: string): StoreError {
  return new StoreError(67, 'CannotCreateIndex', message);
}

function badOption(name: string, where: string): StoreError {
  return new StoreError(
    197,
    'InvalidIndexSpecificationOption',
    `The field '${name}' is not valid for an ${where} specification`,
  );
}

function checkDirection(path: string, value: RawValue): void {
  if (value.type === Type.string) {
    const plugin = textOf(value);
    throw PLUGINS.includes(plugin)
      ? notImplemented(`${plugin} indexes`)
      : cannotCreate(`Unknown index plugin '${plugin}'`);
  }
  if (!isNumber(value.type)) {
    throw cannotCreate(
      `Values in v:2 index key pattern cannot be of type ${typeName(value)}. Only numbers > 0, numbers < 0, and strings are allowed.`,
    );
  }
  const number = toDouble(value);
  if (number === 0) throw cannotCreate(`Values in the index key pattern cannot be 0: ${path}`);
  if (Number.isNaN(number)) throw cannotCreate(`Values in the index key pattern cannot be NaN: ${path}`);
}

function checkKeys(key: RawValue): void {
  const list = fields(key);
  if (list.length === 0) throw cannotCreate('Index keys cannot be an empty object');
  if (key.end - key.start > MAX_KEY_BYTES) throw cannotCreate('Index key pattern too large.');
  if (list.length > MAX_KEYS) throw new StoreError(13103, 'Location13103', 'too many compound keys');
  for (const [path, value] of list) {
    const names = path.split('.');
    if (names.at(-1) === '$**') throw notImplemented('wildcard indexes');
    checkDirection(path, value);
    if (names.includes('')) throw cannotCreate(`Index keys cannot contain an empty field: '${path}'`);
    if (names.some((name) => name.startsWith('$')))
      throw cannotCreate(`Index key contains an illegal field name: field name starts with '$': '${path}'`);
    if (names.some((name) => /^\d+$/.test(name))) throw notImplemented(`positions of arrays in an index: '${path}'`);
    if (list.filter(([other]) => other === path).length > 1) throw badValue(`the index key '${path}' is given twice`);
  }
}

const PARTIAL_OPERATORS = ['$eq', '$exists', '$gt', '$gte', '$lt', '$lte', '$type', '$in'];

/** Refuses what a partial index cannot be limited by (manual, "Partial Indexes"). */
function checkPartial(filter: RawValue): void {
  const refuse = (what: string): StoreError => cannotCreate(`Expression not supported in partial index: ${what}`);
  for (const [name, value] of fields(filter)) {
    if (name === '$and' || name === '$or') {
      for (const part of elements(value)) checkPartial(part);
      continue;
    }
    if (name.startsWith('$') || value.type === Type.regex) throw refuse(name);
    const operators = value.type === Type.object ? fields(value) : [];
    if (operators[0]?.[0].startsWith('$') !== true) continue;
    for (const [operator, operand] of operators) {
      if (!PARTIAL_OPERATORS.includes(operator)) throw refuse(`${name}: ${operator}`);
      if (operator === '$exists' && !flagOf(operand, operator)) throw refuse(`${name}: {$exists: false}`);
      if (operator === '$in' && elements(operand).some(({ type }) => type === Type.regex))
        throw refuse(`${name}: a regex`);
    }
  }
}

/** The seconds of a TTL index. Throws CannotCreateIndex (67) on a number outside of MongoDB's bounds, TypeMismatch on what is none. */
export function expirySeconds(value: RawValue): number {
  const seconds = integerOf(value, 'expireAfterSeconds');
  if (seconds < 0) throw cannotCreate("TTL index 'expireAfterSeconds' option cannot be less than 0");
  if (seconds > MAX_SECONDS)
    throw cannotCreate(
      `TTL index 'expireAfterSeconds' option must be within an acceptable range, up to ${MAX_SECONDS}`,
    );
  return seconds;
}

function isIdKey(list: readonly (readonly [string, RawValue])[]): boolean {
  const [[path, value] = []] = list;
  return (
    list.length === 1 &&
    path === '_id' &&
    value !== undefined &&
    isNumber(value.type) &&
    Math.abs(toDouble(value)) === 1
  );
}

function checkIdIndex(source: RawValue, key: RawValue): void {
  if (fields(key).some(([, direction]) => toDouble(direction) !== 1))
    throw badValue("The field 'key' for an _id index must be {_id: 1}, but got {_id: -1}");
  for (const [option] of fields(source)) if (!ID_OPTIONS.includes(option)) throw badOption(option, '_id index');
}

function nameOf(source: RawValue, key: RawValue, isId: boolean): RawValue {
  const given = field(source, 'name');
  if (isId) return string('_id_');
  if (given === undefined) {
    const parts = fields(key).map(([path, value]) => `${path}_${toDouble(value)}`);
    return string(parts.join('_'));
  }
  const name = stringOf(given, 'name');
  if (name === '' || name.includes('\0')) throw cannotCreate(`the index name '${name}' is not valid`);
  if (name === '*') throw badValue("The index name '*' is not valid.");
  if (name === '_id_') {
    throw badValue("The index name '_id_' is reserved for the _id index, which must have key pattern {_id: 1}");
  }
  return given;
}

/** An index's specification as it is kept and listed: v, key, name, then its options. `lenient`: options that MongoDB does not know are left out. Throws 67, 197, BadValue or
 * NotImplemented on what cannot be one. */
export function indexSpec(source: RawValue, lenient = false): RawValue {
  const key = field(source, 'key');
  if (key?.type !== Type.object) throw typeMismatch("field 'key' of an index must be an object");
  checkKeys(key);
  const isId = isIdKey(fields(key));
  if (isId) checkIdIndex(source, key);
  const writer = bsonWriter();
  writer.int32('v', 2);
  writer.value('key', key);
  writer.value('name', nameOf(source, key, isId));
  for (const [option, value] of fields(source)) {
    if (option === 'key' || option === 'name' || DROPPED_OPTIONS.includes(option)) continue;
    switch (option) {
      case 'v': {
        const version = integerOf(value, option);
        if (version === 1) throw notImplemented('indexes of version 1');
        if (version !== 2) throw cannotCreate(`Invalid index specification: cannot create an index with v=${version}`);
        break;
      }
      case 'collation':
        checkCollation(value);
        break;
      case 'unique':
      case 'sparse':
      case 'hidden':
        if (flagOf(value, option)) writer.bool(option, true);
        break;
      case 'expireAfterSeconds':
        if (fields(key).length !== 1)
          throw cannotCreate('TTL indexes are single-field indexes, compound indexes do not support TTL');
        writer.int32(option, expirySeconds(value));
        break;
      case 'partialFilterExpression':
        compileFilter(documentField(value, option));
        checkPartial(value);
        writer.value(option, value);
        break;
      default:
        if (REFUSED_OPTIONS.includes(option)) throw notImplemented(`the index option '${option}'`);
        if (!lenient) throw badOption(option, 'index');
    }
  }
  const spec = rawDocument(writer.finish());
  if (field(spec, 'sparse') !== undefined && field(spec, 'partialFilterExpression') !== undefined) {
    throw cannotCreate('cannot mix "partialFilterExpression" and "sparse" options');
  }
  return spec;
}

/** Whether an index has exactly these keys in these directions. Never throws. */
export function sameKeys(index: Index, key: RawValue): boolean {
  const other = fields(key);
  return (
    other.length === index.keys.length &&
    index.keys.every(({ path, direction }, i) => {
      const [name, value] = other[i] as [string, RawValue];
      return name === path && isNumber(value.type) && (toDouble(value) < 0 ? -1 : 1) === direction;
    })
  );
}

/** How an index stands to a specification: MongoDB tells indexes apart by their keys and by unique, sparse and the partial filter; other options may differ. Never throws. */
export function relation(index: Index, spec: RawValue): 'different' | 'equivalent' | 'identical' {
  const filter = field(spec, 'partialFilterExpression');
  const own = field(index.spec, 'partialFilterExpression');
  const samePartial = own === undefined ? filter === undefined : filter !== undefined && identical(own, filter);
  const isId = index.name === '_id_';
  if (
    !sameKeys(index, field(spec, 'key') as RawValue) ||
    !samePartial ||
    (!isId && index.unique !== (field(spec, 'unique') !== undefined)) ||
    index.sparse !== (field(spec, 'sparse') !== undefined)
  ) {
    return 'different';
  }
  const expire = field(spec, 'expireAfterSeconds');
  const seconds = expire === undefined ? undefined : integerOf(expire, 'expireAfterSeconds');
  return seconds === index.expireAfterSeconds ? 'identical' : 'equivalent';
}
