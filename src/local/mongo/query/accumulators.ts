import { elements, field, fields, type RawValue, Type } from '../bson/raw-value.js';
import { int32, NULL } from '../bson/values.js';
import { arrayOf, documentOf } from '../bson/writer.js';
import { badValue, notImplemented } from '../errors.js';
import { encodeWhole } from '../storage/index-key.js';
import { countOf, extremes } from './expression/arrays.js';
import { mergeInto } from './expression/objects.js';
import { isNullish, located, namedArguments } from './expression/operator.js';
import { averageTally, deviationTally, extremeTally, sumTally, type Tally } from './expression/tallies.js';
import { compileExpression, type Expression, type Scope } from './expression.js';
import { compareSortKeys, parseSort, type SortPart, sortKey } from './sort.js';

/** Takes a group's documents one by one and says at last what they come to. */
export interface Accumulator {
  add(document: RawValue): void;
  result(): RawValue;
}

/** Counts bytes that an accumulator keeps. Throws 292 when there are too many. */
export type Charge = (bytes: number) => void;

/** Makes an accumulator for each group. */
export type MakeAccumulator = (charge: Charge) => Accumulator;

const sizeOf = (value: RawValue): number => value.end - value.start + 8;

function tallied(expression: Expression, make: () => Tally): MakeAccumulator {
  return () => {
    const tally = make();
    return { add: (document) => tally.add(expression(document)), result: () => tally.result() };
  };
}

function end(expression: Expression, last: boolean): MakeAccumulator {
  return () => {
    let kept: RawValue | undefined;
    let begun = false;
    return {
      add(document) {
        if (!begun || last) kept = expression(document);
        begun = true;
      },
      result: () => kept ?? NULL,
    };
  };
}

function push(expression: Expression): MakeAccumulator {
  return (charge) => {
    const list: RawValue[] = [];
    return {
      add(document) {
        const value = expression(document);
        if (value === undefined) return;
        charge(sizeOf(value));
        list.push(value);
      },
      result: () => arrayOf(list),
    };
  };
}

function addToSet(expression: Expression): MakeAccumulator {
  return (charge) => {
    const found = new Map<string, RawValue>();
    return {
      add(document) {
        const value = expression(document);
        if (value === undefined) return;
        const key = valueKey(value);
        if (found.has(key)) return;
        charge(sizeOf(value) * 2);
        found.set(key, value);
      },
      result: () => arrayOf([...found.values()]),
    };
  };
}

function mergeObjects(expression: Expression): MakeAccumulator {
  return (charge) => {
    const found = new Map<string, RawValue>();
    return {
      add(document) {
        const value = expression(document);
        if (value !== undefined) charge(sizeOf(value));
        mergeInto(found, value);
      },
      result: () => documentOf([...found]),
    };
  };
}

/** The `n` of an accumulator, which must not need a document. */
function fixedCount(source: RawValue, scope: Scope, name: string): number {
  const refusal = notImplemented(`an 'n' of ${name} that depends on documents`);
  return countOf(compileExpression(source, { ...scope, refusal })(documentOf([])), name);
}

function several(name: string, operand: RawValue, scope: Scope): MakeAccumulator {
  const given = namedArguments(operand, name, {
    required: ['n', 'input'],
    noDocument: 5787900,
    unknown: 5787901,
    missing: 5787906,
  });
  const n = fixedCount(given.get('n') as RawValue, scope, name);
  const input = compileExpression(given.get('input') as RawValue, scope);
  const sign = name === '$minN' ? 1 : name === '$maxN' ? -1 : undefined;
  return (charge) => {
    let list: RawValue[] = [];
    return {
      add(document) {
        const value = input(document);
        if (sign !== undefined && isNullish(value)) return;
        if (name === '$firstN' && list.length >= n) return;
        charge(value === undefined ? 8 : sizeOf(value));
        list.push(value ?? NULL);
        if (list.length < n * 2 + 64) return;
        // What can no longer be among the n is let go now and then.
        list = name === '$lastN' ? list.slice(-n) : sign === undefined ? list : extremes(list, n, sign);
      },
      result() {
        if (sign !== undefined) return arrayOf(extremes(list, n, sign));
        return arrayOf(name === '$lastN' ? list.slice(-n) : list);
      },
    };
  };
}

interface Ranked {
  readonly key: readonly RawValue[];
  readonly order: number;
  readonly value: RawValue;
}

function ranked(name: string, operand: RawValue, scope: Scope): MakeAccumulator {
  const only = name === '$top' || name === '$bottom';
  const given = namedArguments(operand, name, {
    required: only ? ['sortBy', 'output'] : ['n', 'sortBy', 'output'],
    noDocument: 5788001,
    unknown: 5788002,
    missing: 5788005,
  });
  const sortBy = given.get('sortBy') as RawValue;
  if (sortBy.type !== Type.object) throw located(5788604, `expected 'sortBy' of ${name} to be an object`);
  const parts: SortPart[] = parseSort(sortBy);
  if (parts.length === 0) throw badValue(`the 'sortBy' of ${name} must not be empty`);
  const n = only ? 1 : fixedCount(given.get('n') as RawValue, scope, name);
  const output = compileExpression(given.get('output') as RawValue, scope);
  const bottom = name.startsWith('$bottom');
  const keep = (list: Ranked[]): Ranked[] => {
    const sorted = list.sort((a, b) => compareSortKeys(a.key, b.key, parts) || a.order - b.order);
    return bottom ? sorted.slice(-n) : sorted.slice(0, n);
  };
  return (charge) => {
    let list: Ranked[] = [];
    let order = 0;
    return {
      add(document) {
        const value = output(document) ?? NULL;
        charge(sizeOf(value));
        list.push({ key: sortKey(document, parts), order: order++, value });
        if (list.length >= n * 2 + 64) list = keep(list);
      },
      result() {
        const values = keep(list).map(({ value }) => value);
        return only ? (values[0] ?? NULL) : arrayOf(values);
      },
    };
  };
}

/** The bytes that tell two values apart exactly when they are not equal by BSON's comparison. Throws NotImplemented for the few types that have no order here. */
export function valueKey(value: RawValue): string {
  return encodeWhole(value).toString('latin1');
}

function operandOf(operand: RawValue, name: string, scope: Scope): Expression {
  if (operand.type === Type.array && elements(operand).length !== 1)
    throw located(40237, `The ${name} accumulator is a unary operator`);
  return compileExpression(operand.type === Type.array ? (elements(operand)[0] as RawValue) : operand, scope);
}

/** Compiles one accumulator of $group or $bucket. Throws NotImplemented by name on those that are refused, 15952 on an unknown one. */
function accumulatorOf(name: string, operand: RawValue, scope: Scope): MakeAccumulator {
  const unary = (): Expression => operandOf(operand, name, scope);
  switch (name) {
    case '$sum':
      return tallied(unary(), sumTally);
    case '$count':
      if (operand.type !== Type.object || field(operand, '') !== undefined || fields(operand).length > 0)
        throw badValue('$count takes no arguments, i.e. $count:{}');
      return tallied(() => int32(1), sumTally);
    case '$avg':
      return tallied(unary(), averageTally);
    case '$min':
      return tallied(unary(), () => extremeTally(-1));
    case '$max':
      return tallied(unary(), () => extremeTally(1));
    case '$stdDevPop':
      return tallied(unary(), () => deviationTally(false));
    case '$stdDevSamp':
      return tallied(unary(), () => deviationTally(true));
    case '$first':
      return end(unary(), false);
    case '$last':
      return end(unary(), true);
    case '$push':
      return push(unary());
    case '$addToSet':
      return addToSet(unary());
    case '$mergeObjects':
      return mergeObjects(unary());
    case '$firstN':
    case '$lastN':
    case '$minN':
    case '$maxN':
      return several(name, operand, scope);
    case '$top':
    case '$bottom':
    case '$topN':
    case '$bottomN':
      return ranked(name, operand, scope);
    case '$accumulator':
    case '$median':
    case '$percentile':
      throw notImplemented(`the accumulator ${name}`);
    default:
      throw located(15952, `unknown group operator '${name}'`);
  }
}

/** Compiles the field of a $group or $bucket that an accumulator fills. Throws 40234, 40235, 40236 or 40238 on what is none, and as its accumulator. */
export function compileAccumulator(name: string, source: RawValue, scope: Scope): MakeAccumulator {
  if (name.includes('.')) throw located(40235, `The field name '${name}' cannot contain '.'`);
  if (name.startsWith('$')) throw located(40236, `The field name '${name}' cannot be an operator name`);
  if (source.type !== Type.object) throw located(40234, `The field '${name}' must be an accumulator object`);
  const [only, ...rest] = fields(source);
  if (only === undefined || rest.length > 0) throw located(40238, `The field '${name}' must specify one accumulator`);
  return accumulatorOf(only[0], only[1], scope);
}
