import { compareValues } from '../bson/compare.js';
import { arithmetic, isNumber } from '../bson/numbers.js';
import { elements, fields, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { date, int32, int64, timestamp } from '../bson/values.js';
import { arrayOf } from '../bson/writer.js';
import { badValue, failedToParse, typeMismatch } from '../errors.js';
import { typeName } from '../query/type-names.js';
import {
  type ArrayChange,
  addToSetChange,
  popChange,
  pullAllChange,
  pullChange,
  pushChange,
} from './array-operators.js';
import type { Moment } from './change.js';
import { isPositional, type Names, namesOf } from './paths.js';
import { madeSlot, type Node, put, rawOf, slotOf, unset, type Way } from './tree.js';

/** One change of a document at a path without positional parts. */
export type Change = (root: Node, names: Names, moment: Moment) => void;

/** One path of an update and what is done there. */
export interface Step {
  readonly names: Names;
  readonly change: Change;
}

/** Puts a value at a path. Throws PathNotViable (28) and CannotBackfillArray (34). */
export function setTo(root: Node, names: Names, value: RawValue): void {
  put(madeSlot(root, names), value);
}

function compute(root: Node, names: Names, next: (value: RawValue | undefined) => RawValue): void {
  const slot = madeSlot(root, names);
  put(slot, next(slot.entry === undefined ? undefined : rawOf(slot.entry.value)));
}

function arithmeticChange(operator: '$inc' | '$mul', path: string, operand: RawValue): Change {
  const operation = operator === '$inc' ? 'add' : 'multiply';
  if (!isNumber(operand.type)) {
    const verb = operator === '$inc' ? 'increment' : 'multiply';
    throw typeMismatch(`Cannot ${verb} with non-numeric argument of type ${typeName(operand)} for '${path}'`);
  }
  return (root, names) => {
    compute(root, names, (value) => {
      if (value === undefined && operator === '$inc') return operand;
      const before = value ?? int32(0);
      if (!isNumber(before.type)) {
        throw typeMismatch(
          `Cannot apply ${operator} to a value of non-numeric type: '${names.join('.')}' is of type ${typeName(before)}`,
        );
      }
      const result = arithmetic(operation, before, operand);
      if (result === undefined)
        throw badValue(`Failed to apply ${operator} operations to current value of '${names.join('.')}': it overflows`);
      return result;
    });
  };
}

function boundChange(sign: 1 | -1, operand: RawValue): Change {
  return (root, names) => {
    compute(root, names, (value) =>
      value === undefined || compareValues(operand, value) * sign > 0 ? operand : value,
    );
  };
}

function wholeNumber(value: RawValue): bigint | undefined {
  if (value.type === Type.int32) return BigInt(value.bytes.readInt32LE(value.start));
  return value.type === Type.int64 ? value.bytes.readBigInt64LE(value.start) : undefined;
}

const BITWISE: ReadonlyMap<string, (a: bigint, b: bigint) => bigint> = new Map([
  ['and', (a: bigint, b: bigint) => a & b],
  ['or', (a: bigint, b: bigint) => a | b],
  ['xor', (a: bigint, b: bigint) => a ^ b],
]);

function bitChange(path: string, operand: RawValue): Change {
  const list = operand.type === Type.object ? fields(operand) : [];
  if (list.length === 0)
    throw badValue(`The $bit modifier needs a document of bitwise operations for '${path}': {and/or/xor: number}`);
  const operations = list.map(([name, number]) => {
    const operation = BITWISE.get(name);
    if (operation === undefined)
      throw badValue(`The $bit modifier only supports 'and', 'or', and 'xor', not '${name}', for '${path}'`);
    const whole = wholeNumber(number);
    if (whole === undefined) {
      throw badValue(
        `The $bit modifier field must be an Integer(32/64 bit), not of type ${typeName(number)}, for '${path}'`,
      );
    }
    return { operation, whole, long: number.type === Type.int64 };
  });
  return (root, names) => {
    compute(root, names, (value = int32(0)) => {
      let result = wholeNumber(value);
      if (result === undefined) {
        throw badValue(
          `Cannot apply $bit to a value of non-integral type: '${names.join('.')}' is of type ${typeName(value)}`,
        );
      }
      for (const { operation, whole } of operations) result = operation(result, whole);
      const long = value.type === Type.int64 || operations.some((one) => one.long);
      return long ? int64(result) : int32(Number(result));
    });
  };
}

function currentDateChange(path: string, operand: RawValue): Change {
  let kind = operand.type === Type.bool ? 'date' : undefined;
  if (operand.type === Type.object) {
    for (const [name, value] of fields(operand)) {
      if (name !== '$type') throw badValue(`Unrecognized $currentDate option: ${name}, for '${path}'`);
      kind = value.type === Type.string ? textOf(value) : undefined;
    }
  } else if (kind === undefined) {
    throw badValue(
      `${typeName(operand)} is not valid type for $currentDate of '${path}': use a boolean or {$type: 'timestamp' or 'date'}`,
    );
  }
  if (kind !== 'date' && kind !== 'timestamp')
    throw badValue(`The '$type' string field is required to be 'date' or 'timestamp', for '${path}' of $currentDate`);
  const value = kind === 'date' ? date : (now: number) => timestamp(Math.floor(now / 1000), 1);
  return (root, names, { now }) => setTo(root, names, value(now));
}

function arrayChange(operator: string, change: ArrayChange): Change {
  const way: Way = operator === '$push' || operator === '$addToSet' ? 'make' : 'reach';
  return (root, names) => {
    const slot = slotOf(root, names, way);
    if (slot === undefined) return;
    const value = slot.entry === undefined ? undefined : rawOf(slot.entry.value);
    if (value !== undefined && value.type !== Type.array) {
      const text = `The field '${names.join('.')}' must be an array for ${operator} but is of type ${typeName(value)}`;
      throw operator === '$pop' ? typeMismatch(text) : badValue(text);
    }
    put(slot, arrayOf(change(value === undefined ? [] : elements(value))));
  };
}

function renameSteps(from: Names, operand: RawValue): Step[] {
  const path = from.join('.');
  if (operand.type !== Type.string) throw badValue(`The 'to' field for $rename must be a string, for '${path}'`);
  const target = textOf(operand);
  if (target.includes('\0'))
    throw badValue(`The 'to' field for $rename cannot contain an embedded null byte, for '${path}'`);
  const to = namesOf(target);
  if (path === target) throw badValue(`The source and target field for $rename must differ: '${path}'`);
  if (`${path}.`.startsWith(`${target}.`) || `${target}.`.startsWith(`${path}.`))
    throw badValue(`The source and target field for $rename must not be on the same path: '${path}' and '${target}'`);
  if (isPositional(from)) throw badValue(`The source field for $rename may not be dynamic: ${path}`);
  if (isPositional(to)) throw badValue(`The destination field for $rename may not be dynamic: ${target}`);
  const change: Change = (root) => {
    const source = slotOf(root, from, 'reach');
    if (source?.entry === undefined) return;
    if (source.inArray) throw badValue(`The source field cannot be an array element, for '${path}' of $rename`);
    const slot = madeSlot(root, to);
    if (slot.inArray) throw badValue(`The destination field cannot be an array element, for '${target}' of $rename`);
    put(slot, source.entry.value);
    unset(source);
  };
  // Two paths that other operators must not touch, but one change, which takes place in the order of the target.
  return [
    { names: from, change: () => undefined },
    { names: to, change },
  ];
}

const ARRAY_CHANGES: Readonly<Record<string, (operand: RawValue, path: string) => ArrayChange>> = {
  $push: pushChange,
  $addToSet: addToSetChange,
  $pull: pullChange,
  $pullAll: pullAllChange,
  $pop: popChange,
};

const OPERATORS = new Set([
  ...'$set $setOnInsert $unset $inc $mul $min $max $bit $currentDate $rename'.split(' '),
  ...Object.keys(ARRAY_CHANGES),
]);

/** Refuses what is no update operator. Throws FailedToParse (9). */
export function checkOperator(name: string): void {
  if (OPERATORS.has(name)) return;
  throw failedToParse(
    `Unknown modifier: ${name}. Expected a valid update modifier or pipeline-style update specified as an array`,
  );
}

function changeOf(operator: string, path: string, operand: RawValue): Change {
  const arrays = ARRAY_CHANGES[operator];
  if (arrays !== undefined) return arrayChange(operator, arrays(operand, path));
  switch (operator) {
    case '$set':
      return (root, names) => setTo(root, names, operand);
    case '$setOnInsert':
      return (root, names, { inserting }) => {
        if (inserting) setTo(root, names, operand);
      };
    case '$unset':
      return (root, names) => {
        const slot = slotOf(root, names, 'find');
        if (slot !== undefined) unset(slot);
      };
    case '$inc':
    case '$mul':
      return arithmeticChange(operator, path, operand);
    case '$min':
      return boundChange(-1, operand);
    case '$max':
      return boundChange(1, operand);
    case '$bit':
      return bitChange(path, operand);
    default:
      return currentDateChange(path, operand);
  }
}

/** The steps of one field of an operator that checkOperator let pass. Throws BadValue (2) or TypeMismatch (14) on a wrong operand, and as namesOf. */
export function stepsOf(operator: string, path: string, operand: RawValue): Step[] {
  const names = namesOf(path);
  if (operator === '$rename') return renameSteps(names, operand);
  return [{ names, change: changeOf(operator, path, operand) }];
}
