import { compareValues } from '../bson/compare.js';
import { isNumber } from '../bson/numbers.js';
import { elements, field, fields, type RawValue, Type } from '../bson/raw-value.js';
import { integerOf } from '../bson/values.js';
import { badValue } from '../errors.js';
import { compileFilter, compileValueTest } from '../query/filter.js';
import { isOperators } from '../query/operators.js';
import { compareSortKeys, parseSort, type SortPart, sortKey } from '../query/sort.js';

/** A change of an array's elements; undefined stands for a missing field. Returns undefined when nothing is to be done. */
export type ArrayChange = (list: readonly RawValue[] | undefined) => RawValue[] | undefined;

interface PushModifiers {
  readonly each: readonly RawValue[];
  readonly slice: number | undefined;
  readonly position: number | undefined;
  readonly order: ((a: RawValue, b: RawValue) => number) | undefined;
}

function orderOf(sort: RawValue): (a: RawValue, b: RawValue) => number {
  if (isNumber(sort.type)) {
    const direction = integerOf(sort, '$sort');
    if (direction !== 1 && direction !== -1) throw badValue('The $sort element value must be either 1 or -1');
    return (a, b) => compareValues(a, b) * direction;
  }
  const parts: SortPart[] = parseSort(sort);
  const keyOf = (value: RawValue): RawValue[] => sortKey(value.type === Type.object ? value : EMPTY, parts);
  return (a, b) => compareSortKeys(keyOf(a), keyOf(b), parts);
}

const EMPTY: RawValue = { type: Type.object, bytes: Buffer.from([5, 0, 0, 0, 0]), start: 0, end: 5 };

function listOf(value: RawValue, name: string): RawValue[] {
  if (value.type !== Type.array) throw badValue(`The argument to ${name} must be an array`);
  return elements(value);
}

function pushModifiers(operand: RawValue, allowed: readonly string[], operator: string): PushModifiers {
  const each = operand.type === Type.object ? field(operand, '$each') : undefined;
  if (each === undefined) return { each: [operand], slice: undefined, position: undefined, order: undefined };
  for (const [name] of fields(operand)) {
    if (!allowed.includes(name)) throw badValue(`Unrecognized clause in ${operator}: ${name}`);
  }
  const slice = field(operand, '$slice');
  const position = field(operand, '$position');
  const sort = field(operand, '$sort');
  return {
    each: listOf(each, '$each'),
    slice: slice === undefined ? undefined : integerOf(slice, '$slice'),
    position: position === undefined ? undefined : integerOf(position, '$position'),
    order: sort === undefined ? undefined : orderOf(sort),
  };
}

/** $push with $each, $position, $sort and $slice. Throws BadValue on wrong modifiers. */
export function pushChange(operand: RawValue): ArrayChange {
  const { each, slice, position, order } = pushModifiers(operand, ['$each', '$slice', '$position', '$sort'], '$push');
  return (list) => {
    let next = [...(list ?? [])];
    next.splice(position ?? next.length, 0, ...each);
    if (order !== undefined) next.sort(order);
    if (slice !== undefined) next = slice === 0 ? [] : slice > 0 ? next.slice(0, slice) : next.slice(slice);
    return next;
  };
}

/** $addToSet, also with $each: what no element equals (by value). Throws BadValue on wrong modifiers. */
export function addToSetChange(operand: RawValue): ArrayChange {
  const { each } = pushModifiers(operand, ['$each'], '$addToSet');
  return (list) => {
    const next = [...(list ?? [])];
    for (const value of each) if (!next.some((one) => compareValues(one, value) === 0)) next.push(value);
    return next;
  };
}

/** $pull: elements that equal a value, fulfil operators, or are documents that match. Throws as compileFilter. */
export function pullChange(operand: RawValue): ArrayChange {
  let drop: (value: RawValue) => boolean;
  if (operand.type === Type.object && !isOperators(operand)) {
    const filter = compileFilter(operand);
    drop = (value) => value.type === Type.object && filter.matches(value);
  } else drop = compileValueTest(operand);
  return (list) => list?.filter((value) => !drop(value));
}

/** $pullAll: elements that equal any of these. Throws BadValue when it is no array. */
export function pullAllChange(operand: RawValue): ArrayChange {
  const gone = listOf(operand, '$pullAll');
  return (list) => list?.filter((value) => !gone.some((one) => compareValues(one, value) === 0));
}

/** $pop: the last element (1) or the first (−1). Throws BadValue on other numbers. */
export function popChange(operand: RawValue): ArrayChange {
  const side = integerOf(operand, '$pop');
  if (side !== 1 && side !== -1) throw badValue('$pop expects 1 or -1');
  return (list) => (side === 1 ? list?.slice(0, -1) : list?.slice(1));
}
