import { compareValues } from '../bson/compare.js';
import { arithmetic, isNumber } from '../bson/numbers.js';
import { elements, field, fields, findField, type RawValue, rawDocument, Type, textOf } from '../bson/raw-value.js';
import { scratch } from '../bson/scratch.js';
import { date, int32, newObjectId, timestamp } from '../bson/values.js';
import { arrayOf, bsonWriter, identical } from '../bson/writer.js';
import { badValue, failedToParse, notImplemented, StoreError, typeMismatch } from '../errors.js';
import type { Filter } from '../query/filter.js';
import {
  type ArrayChange,
  addToSetChange,
  popChange,
  pullAllChange,
  pullChange,
  pushChange,
} from './array-operators.js';
import { closeNode, type Node, openNode, put, rawOf, slotOf, unset } from './tree.js';

/** The largest document, as MongoDB's. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

/** A compiled update. */
export interface Update {
  /** The document after it; the same object when nothing changes. `inserting`: $setOnInsert counts. `now` in ms. The new one lies in scratch bytes. */
  apply(document: RawValue, inserting: boolean, now: number): RawValue;
  /** The document that an upsert begins with. */
  readonly replaces: boolean;
  /** The top-level fields it can change; undefined: any. */
  readonly touched: ReadonlySet<string> | undefined;
}

type Change = (root: Node, inserting: boolean, now: number) => void;

interface Step {
  readonly names: readonly string[];
  readonly change: Change;
}

const ID = Buffer.from('_id');

function comparePaths(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const left = a[i] as string;
    const right = b[i] as string;
    if (left === right) continue;
    if (/^\d+$/.test(left) && /^\d+$/.test(right)) return Number(left) - Number(right);
    return left < right ? -1 : 1;
  }
  return a.length - b.length;
}

function namesOf(path: string, operator: string): string[] {
  const names = path.split('.');
  for (const name of names) {
    if (name === '') {
      throw new StoreError(
        56,
        'EmptyFieldName',
        `The update path '${path}' contains an empty field name, which is not allowed.`,
      );
    }
    if (name.startsWith('$[') || name === '$')
      throw notImplemented(`the positional ${name} in '${path}' of ${operator}`);
    if (name.startsWith('$') && !['$ref', '$id', '$db'].includes(name)) {
      throw new StoreError(
        52,
        'DollarPrefixedFieldName',
        `The dollar ($) prefixed field '${name}' in '${path}' is not valid for storage.`,
      );
    }
  }
  return names;
}

function setTo(names: readonly string[], value: RawValue): Change {
  return (root) => {
    const slot = slotOf(root, names, true);
    if (slot !== undefined) put(slot, value);
  };
}

function arithmeticChange(names: readonly string[], operator: '$inc' | '$mul', operand: RawValue): Change {
  const path = names.join('.');
  if (!isNumber(operand.type))
    throw typeMismatch(`Cannot ${operator === '$inc' ? 'increment' : 'multiply'} with non-numeric argument: {${path}}`);
  return (root) => {
    const slot = slotOf(root, names, true);
    if (slot === undefined) return;
    if (slot.entry === undefined) {
      const zero = arithmetic('multiply', operand, int32(0));
      put(slot, operator === '$inc' ? operand : (zero ?? operand));
      return;
    }
    const value = rawOf(slot.entry.value);
    if (!isNumber(value.type)) throw typeMismatch(`Cannot apply ${operator} to a value of non-numeric type: '${path}'`);
    const result = arithmetic(operator === '$inc' ? 'add' : 'multiply', value, operand);
    if (result === undefined)
      throw badValue(`Failed to apply ${operator} operations to current value of '${path}': it overflows`);
    put(slot, result);
  };
}

function boundChange(names: readonly string[], sign: 1 | -1, operand: RawValue): Change {
  return (root) => {
    const slot = slotOf(root, names, true);
    if (slot === undefined) return;
    if (slot.entry === undefined || compareValues(operand, rawOf(slot.entry.value)) * sign > 0) put(slot, operand);
  };
}

function arrayChange(names: readonly string[], operator: string, change: ArrayChange): Change {
  const grows = operator === '$push' || operator === '$addToSet';
  const path = names.join('.');
  return (root) => {
    const slot = slotOf(root, names, grows);
    if (slot === undefined) return;
    const value = slot.entry === undefined ? undefined : rawOf(slot.entry.value);
    if (value !== undefined && value.type !== Type.array)
      throw badValue(`The field '${path}' must be an array for ${operator}`);
    const next = change(value === undefined ? undefined : elements(value));
    if (next !== undefined) put(slot, arrayOf(next));
  };
}

function currentDateChange(names: readonly string[], operand: RawValue): Change {
  let stamp = false;
  if (operand.type === Type.object) {
    const type = field(operand, '$type');
    const name = type?.type === Type.string ? textOf(type) : '';
    if (name !== 'date' && name !== 'timestamp')
      throw badValue("$currentDate: the '$type' must be 'date' or 'timestamp'");
    stamp = name === 'timestamp';
  } else if (operand.type !== Type.bool) throw badValue('$currentDate needs true or {$type: …}');
  return (root, _inserting, now) => {
    const slot = slotOf(root, names, true);
    if (slot !== undefined) put(slot, stamp ? timestamp(Math.floor(now / 1000), 1) : date(now));
  };
}

function renameChange(from: readonly string[], to: readonly string[]): Change {
  return (root) => {
    const source = slotOf(root, from, false);
    if (source?.entry === undefined) return;
    if (source.parent.type === Type.array) throw badValue('The source field of $rename cannot be an array element');
    const { value } = source.entry;
    unset(source);
    const target = slotOf(root, to, true);
    if (target?.parent.type === Type.array)
      throw badValue('The destination field of $rename cannot be an array element');
    if (target !== undefined) put(target, value);
  };
}

const ARRAY_CHANGES: Readonly<Record<string, (operand: RawValue) => ArrayChange>> = {
  $push: pushChange,
  $addToSet: addToSetChange,
  $pull: pullChange,
  $pullAll: pullAllChange,
  $pop: popChange,
};

function stepsOf(operator: string, path: string, operand: RawValue): Step[] {
  const names = namesOf(path, operator);
  const arrays = ARRAY_CHANGES[operator];
  if (arrays !== undefined) return [{ names, change: arrayChange(names, operator, arrays(operand)) }];
  switch (operator) {
    case '$set':
      return [{ names, change: setTo(names, operand) }];
    case '$setOnInsert': {
      const set = setTo(names, operand);
      return [{ names, change: (root, inserting, now) => (inserting ? set(root, inserting, now) : undefined) }];
    }
    case '$unset':
      return [
        {
          names,
          change: (root) => {
            const slot = slotOf(root, names, false);
            if (slot !== undefined) unset(slot);
          },
        },
      ];
    case '$inc':
    case '$mul':
      return [{ names, change: arithmeticChange(names, operator, operand) }];
    case '$min':
      return [{ names, change: boundChange(names, -1, operand) }];
    case '$max':
      return [{ names, change: boundChange(names, 1, operand) }];
    case '$currentDate':
      return [{ names, change: currentDateChange(names, operand) }];
    case '$rename': {
      if (operand.type !== Type.string) throw badValue('The to field for $rename must be a string');
      const to = namesOf(textOf(operand), operator);
      return [
        { names, change: () => undefined },
        { names: to, change: renameChange(names, to) },
      ];
    }
    default:
      if (operator === '$bit') throw notImplemented('the update operator $bit');
      throw failedToParse(
        `Unknown modifier: ${operator}. Expected a valid update modifier or pipeline-style update specified as an array`,
      );
  }
}

function checkConflicts(steps: readonly Step[]): void {
  for (let i = 1; i < steps.length; i++) {
    const before = (steps[i - 1] as Step).names;
    const { names } = steps[i] as Step;
    if (before.every((name, at) => names[at] === name)) {
      throw new StoreError(
        40,
        'ConflictingUpdateOperators',
        `Updating the path '${names.join('.')}' would create a conflict at '${before.join('.')}'`,
      );
    }
  }
}

function checkSize(document: RawValue): void {
  if (document.end - document.start > MAX_DOCUMENT_BYTES) {
    throw new StoreError(
      10334,
      'BSONObjectTooLarge',
      `a document of ${document.end - document.start} bytes is larger than 16 MiB`,
    );
  }
}

function immutableId(): StoreError {
  return new StoreError(
    66,
    'ImmutableField',
    "Performing an update on the path '_id' would modify the immutable field '_id'",
  );
}

function sameId(before: RawValue, after: RawValue): void {
  const old = findField(before, ID);
  const now = findField(after, ID);
  if (old === undefined) return;
  if (now === undefined || compareValues(old, now) !== 0) throw immutableId();
}

/** Top-level names beginning with a dollar are no fields. Throws 52 naming the first. */
function checkNames(document: RawValue): void {
  for (const [name] of fields(document)) {
    if (name.startsWith('$')) {
      throw new StoreError(
        52,
        'DollarPrefixedFieldName',
        `The dollar ($) prefixed field '${name}' is not allowed in the context of a replacement.`,
      );
    }
  }
}

function replacement(source: RawValue): Update {
  checkNames(source);
  const ownId = findField(source, ID);
  return {
    replaces: true,
    touched: undefined,
    apply(document) {
      const id = findField(document, ID);
      if (id === undefined) return source;
      if (ownId !== undefined && compareValues(ownId, id) !== 0) throw immutableId();
      const writer = bsonWriter(source.end - source.start + 32);
      writer.value('_id', id);
      for (const [name, value] of fields(source)) if (name !== '_id') writer.value(name, value);
      const result = rawDocument(writer.finish());
      checkSize(result);
      return identical(result, document) ? document : result;
    },
  };
}

/** Compiles an update: a document of operators, or a replacement. Throws FailedToParse (9) on an unknown operator, 40 on conflicting paths,
 * NotImplemented on pipelines and positional paths. What `apply` throws: 28, 14, 2, 66, 10334. */
export function compileUpdate(source: RawValue): Update {
  if (source.type === Type.array) throw notImplemented('updates by an aggregation pipeline');
  if (source.type !== Type.object) throw failedToParse('an update must be a document');
  const operators = fields(source);
  if (operators[0]?.[0].startsWith('$') !== true) return replacement(source);
  const steps = operators.flatMap(([operator, operands]) => {
    if (!operator.startsWith('$')) {
      throw failedToParse(
        `Unknown modifier: ${operator}. Expected a valid update modifier or pipeline-style update specified as an array`,
      );
    }
    if (operands.type !== Type.object) {
      throw failedToParse(`Modifiers operate on fields but we found another type for ${operator}`);
    }
    return fields(operands).flatMap(([path, operand]) => stepsOf(operator, path, operand));
  });
  // Since 5.0 MongoDB takes the fields of an update in the order of their names.
  steps.sort((a, b) => comparePaths(a.names, b.names));
  checkConflicts(steps);
  const touched = new Set(steps.map(({ names }) => names[0] as string));
  return {
    replaces: false,
    touched,
    apply(document, inserting, now) {
      const root = openNode(document);
      for (const { change } of steps) change(root, inserting, now);
      const result = rawDocument(
        closeNode(root, document.end - document.start + (source.end - source.start) + 64, scratch),
      );
      if (identical(result, document)) return document;
      if (touched.has('_id')) sameId(document, result);
      checkSize(result);
      return result;
    },
  };
}

/** The document that an upsert inserts: `_id` first, then the equalities of the filter, then the update. Throws what `apply` throws, and 54 when the filter
 * demands two values of one path. */
export function upsertDocument(filter: Filter, update: Update, now: number): RawValue {
  const root: Node = { type: Type.object, entries: [] };
  const seen: { names: readonly string[]; value: RawValue }[] = [];
  for (const { path, op, value, computed } of filter.conditions) {
    if (computed === true) continue;
    const single = op === 'in' ? elements(value) : [value];
    if (op !== 'eq' && op !== 'all' && !(op === 'in' && single.length === 1)) continue;
    const [wanted] = single as [RawValue];
    if (wanted.type === Type.regex) continue;
    if (update.replaces && path !== '_id') continue;
    const names = path.split('.');
    if (
      seen.some(
        (one) => one.names.every((name, i) => name === names[i]) || names.every((name, i) => name === one.names[i]),
      )
    ) {
      throw new StoreError(
        54,
        'NotSingleValueField',
        `cannot infer query fields to set, path '${path}' is matched twice`,
      );
    }
    seen.push({ names, value: wanted });
    setTo(names, wanted)(root, true, now);
  }
  const seed = rawDocument(closeNode(root, 256));
  const result = update.apply(seed, true, now);
  const id = findField(result, ID);
  if (id?.type === Type.array || id?.type === Type.regex || id?.type === Type.undefined) {
    throw new StoreError(53, 'InvalidIdField', "The '_id' value cannot be of this type");
  }
  const writer = bsonWriter(result.end - result.start + 32);
  writer.value('_id', id ?? newObjectId());
  for (const [name, value] of fields(result)) if (name !== '_id') writer.value(name, value);
  const document = rawDocument(writer.finish());
  checkSize(document);
  return document;
}
