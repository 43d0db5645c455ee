import { compareValues, searchSorted } from '../bson/compare.js';
import { isNumber, toDouble } from '../bson/numbers.js';
import { elements, field, fields, findField, isContainer, type RawValue, Type } from '../bson/raw-value.js';
import { NULL } from '../bson/values.js';
import { documentOf } from '../bson/writer.js';
import { badValue, failedToParse, StoreError, typeMismatch } from '../errors.js';
import { compileFilter } from '../query/filter.js';
import { isOperators } from '../query/operators.js';
import { typeName } from '../query/type-names.js';

/** A change of an array's elements (of none for a field that is missing). */
export type ArrayChange = (list: readonly RawValue[]) => readonly RawValue[];

type Order = (a: RawValue, b: RawValue) => number;

function wholeOf(value: RawValue): number | undefined {
  const number = isNumber(value.type) ? toDouble(value) : Number.NaN;
  return Number.isInteger(number) ? number : undefined;
}

function directionOf(value: RawValue, path: string): number {
  const direction = wholeOf(value);
  if (direction !== 1 && direction !== -1)
    throw badValue(`The $sort element value must be either 1 or -1, for '${path}' of $push`);
  return direction;
}

/** What $sort compares: the value at a path, arrays as a whole (unlike the sort of a query), null where there is none. */
function sortedBy(element: RawValue, names: readonly Buffer[]): RawValue {
  let value: RawValue | undefined = element.type === Type.object ? element : undefined;
  for (const name of names) value = value !== undefined && isContainer(value) ? findField(value, name) : undefined;
  return value ?? NULL;
}

function orderOf(sort: RawValue, path: string): Order {
  if (isNumber(sort.type)) {
    const direction = directionOf(sort, path);
    return (a, b) => compareValues(a, b) * direction;
  }
  if (sort.type !== Type.object) {
    throw badValue(
      `The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort embedded fields, for '${path}' of $push`,
    );
  }
  const parts = fields(sort).map(([name, value]) => {
    if (name.split('.').includes(''))
      throw badValue(`The $sort field '${name}' is empty or has an empty part, for '${path}' of $push`);
    return { names: name.split('.').map((one) => Buffer.from(one)), direction: directionOf(value, path) };
  });
  if (parts.length === 0)
    throw badValue(`The $sort pattern is empty when it should be a set of fields, for '${path}' of $push`);
  return (a, b) => {
    for (const { names, direction } of parts) {
      const order = compareValues(sortedBy(a, names), sortedBy(b, names));
      if (order !== 0) return order * direction;
    }
    return 0;
  };
}

function listOf(value: RawValue, what: string): RawValue[] {
  if (value.type !== Type.array) throw badValue(`${what} must be an array but it was of type ${typeName(value)}`);
  return elements(value);
}

/** $push: a value, or those of $each, at $position, then sorted and cut by $sort and $slice. Throws BadValue (2) on a modifier that is unknown, given twice or of a wrong type. */
export function pushChange(operand: RawValue, path: string): ArrayChange {
  if (operand.type !== Type.object || field(operand, '$each') === undefined) return (list) => [...list, operand];
  const clauses = new Map<string, RawValue>();
  for (const [name, value] of fields(operand)) {
    if (!['$each', '$slice', '$sort', '$position'].includes(name))
      throw badValue(`Unrecognized clause in $push: ${name}, for '${path}'`);
    if (clauses.has(name)) throw badValue(`Only one ${name} is supported, for '${path}' of $push`);
    clauses.set(name, value);
  }
  const whole = (name: string): number | undefined => {
    const value = clauses.get(name);
    if (value === undefined) return undefined;
    const number = wholeOf(value);
    if (number === undefined) {
      throw badValue(
        `The value for ${name} must be an integer value but was given type ${typeName(value)}, for '${path}' of $push`,
      );
    }
    return number;
  };
  const each = listOf(clauses.get('$each') as RawValue, `The argument to $each in $push for '${path}'`);
  const slice = whole('$slice');
  const position = whole('$position');
  const sort = clauses.get('$sort');
  const order = sort === undefined ? undefined : orderOf(sort, path);
  return (list) => {
    const at = position ?? list.length;
    const next = [...list.slice(0, at), ...each, ...list.slice(at)];
    if (order !== undefined) next.sort(order);
    if (slice === undefined) return next;
    return slice < 0 ? next.slice(slice) : next.slice(0, slice);
  };
}

/** $addToSet: a value, or those of $each, where no element equals it (by value). Throws TypeMismatch (14) on an $each that is no array, BadValue (2) on anything beside it. */
export function addToSetChange(operand: RawValue, path: string): ArrayChange {
  const [first, ...others] = operand.type === Type.object ? fields(operand) : [];
  let each = [operand];
  if (first?.[0] === '$each') {
    if (first[1].type !== Type.array) {
      throw typeMismatch(
        `The argument to $each in $addToSet must be an array but it was of type ${typeName(first[1])}, for '${path}'`,
      );
    }
    if (others.length > 0)
      throw badValue(`Found unexpected fields after $each in $addToSet for '${path}': ${others[0]?.[0]}`);
    each = elements(first[1]);
  }
  // Each value once, so that equal ones have one place.
  const sorted = [...each]
    .sort(compareValues)
    .filter((value, i, all) => i === 0 || compareValues(all[i - 1] as RawValue, value) !== 0);
  return (list) => {
    const known = new Set<number>();
    for (const one of list) known.add(searchSorted(sorted, one));
    const added = each.filter((value) => {
      const place = searchSorted(sorted, value);
      return !known.has(place) && known.add(place);
    });
    return [...list, ...added];
  };
}

// What begins a filter of documents, not a condition on a value.
const TOP_LEVEL = new Set(['$and', '$or', '$nor', '$not', '$comment', '$jsonSchema']);

/** $pull: elements that equal a value (an array or scalar), fulfil operators or a regex, or are documents that match a filter. Throws as compileFilter. */
export function pullChange(operand: RawValue): ArrayChange {
  let drops: (value: RawValue) => boolean;
  const first = operand.type === Type.object ? fields(operand)[0]?.[0] : undefined;
  if (first === '$expr' || first === '$where' || first === '$text')
    throw new StoreError(224, 'QueryFeatureNotAllowed', `${first} is not allowed in $pull`);
  if (operand.type === Type.object && !(isOperators(operand) && !TOP_LEVEL.has(first ?? ''))) {
    const filter = compileFilter(operand);
    drops = (value) => value.type === Type.object && filter.matches(value);
  } else if (operand.type === Type.object || operand.type === Type.regex) {
    // Asked as a field's value is, so that arrays in the array are looked into.
    const filter = compileFilter(documentOf([['', operand]]));
    drops = (value) => filter.matches(documentOf([['', value]]));
  } else drops = (value) => compareValues(value, operand) === 0;
  return (list) => list.filter((value) => !drops(value));
}

/** $pullAll: elements that equal any of these. Throws BadValue (2) when it is no array. */
export function pullAllChange(operand: RawValue, path: string): ArrayChange {
  const gone = listOf(operand, `The argument to $pullAll for '${path}'`).sort(compareValues);
  return (list) => list.filter((value) => searchSorted(gone, value) < 0);
}

/** $pop: the last element (1) or the first (−1). Throws FailedToParse (9) on anything else. */
export function popChange(operand: RawValue, path: string): ArrayChange {
  const side = wholeOf(operand);
  if (side !== 1 && side !== -1)
    throw failedToParse(`$pop expects 1 or -1, found ${side ?? `a value of type ${typeName(operand)}`} for '${path}'`);
  return (list) => (side === 1 ? list.slice(0, -1) : list.slice(1));
}
