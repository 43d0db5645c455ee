import { compareValues } from '../bson/compare.js';
import { arithmetic, isNumber, toDouble } from '../bson/numbers.js';
import { fields, type RawValue, Type } from '../bson/raw-value.js';
import { double, int32, NULL } from '../bson/values.js';
import { documentOf } from '../bson/writer.js';
import { badValue, notImplemented, StoreError } from '../errors.js';
import { encodeKey } from '../storage/index-key.js';
import { compileExpression, type Expression, type Scope } from './expression.js';

interface Accumulator {
  add(document: RawValue): void;
  result(): RawValue;
}

const MAX_GROUPS = 500_000; // a bound of memory in place of MongoDB's 100 MB

function plus(a: RawValue, b: RawValue): RawValue {
  return arithmetic('add', a, b) ?? double(toDouble(a) + toDouble(b));
}

function extreme(expression: Expression, sign: 1 | -1): Accumulator {
  let best: RawValue | undefined;
  return {
    add(document) {
      const value = expression(document);
      if (value === undefined || value.type === Type.null || value.type === Type.undefined) return;
      if (best === undefined || compareValues(value, best) * sign > 0) best = value;
    },
    result: () => best ?? NULL,
  };
}

function accumulatorOf(operator: string, operand: RawValue, scope: Scope): () => Accumulator {
  const expression: Expression = operator === '$count' ? () => int32(1) : compileExpression(operand, scope);
  switch (operator) {
    case '$sum':
    case '$count':
      return () => {
        let sum = int32(0);
        return {
          add(document) {
            const value = expression(document);
            if (value !== undefined && isNumber(value.type)) sum = plus(sum, value);
          },
          result: () => sum,
        };
      };
    case '$avg':
      return () => {
        let sum = int32(0);
        let n = 0;
        return {
          add(document) {
            const value = expression(document);
            if (value === undefined || !isNumber(value.type)) return;
            if (value.type === Type.decimal) throw notImplemented('$avg of decimals');
            sum = plus(sum, value);
            n++;
          },
          result: () => (n === 0 ? NULL : double(toDouble(sum) / n)),
        };
      };
    case '$min':
      return () => extreme(expression, -1);
    case '$max':
      return () => extreme(expression, 1);
    case '$first':
    case '$last':
      return () => {
        let kept: RawValue | undefined;
        let begun = false;
        return {
          add(document) {
            if (!begun || operator === '$last') kept = expression(document);
            begun = true;
          },
          result: () => kept ?? NULL,
        };
      };
    default:
      throw notImplemented(`the accumulator ${operator}`);
  }
}

/** A $group stage under way. */
export interface Group {
  add(document: RawValue): void;
  results(): RawValue[];
}

/** Compiles a $group of $sum, $count, $avg, $min, $max, $first and $last. Throws NotImplemented on other accumulators, 15955 without an _id. */
export function openGroup(source: RawValue, scope: Scope): Group {
  let id: Expression | undefined;
  const makers: [string, () => Accumulator][] = [];
  for (const [name, value] of fields(source)) {
    if (name === '_id') {
      id = compileExpression(value, scope);
      continue;
    }
    const [only, ...rest] = value.type === Type.object ? fields(value) : [];
    if (only === undefined || rest.length > 0) throw badValue(`The field '${name}' must be an accumulator object`);
    makers.push([name, accumulatorOf(only[0], only[1], scope)]);
  }
  if (id === undefined) throw new StoreError(15955, 'Location15955', 'a group specification must include an _id');
  const idOf = id;
  const groups = new Map<string, { id: RawValue; accumulators: Accumulator[] }>();
  return {
    add(document) {
      const value = idOf(document) ?? NULL;
      const key = encodeKey(0, [value], [1]);
      // Keys are cut beyond their length: what is longer is told apart by its bytes.
      const text =
        key.length < 1900 ? key.toString('latin1') : `+${value.bytes.toString('latin1', value.start, value.end)}`;
      let group = groups.get(text);
      if (group === undefined) {
        if (groups.size >= MAX_GROUPS) {
          throw new StoreError(
            292,
            'QueryExceededMemoryLimitNoDiskUseAllowed',
            `$group has more than ${MAX_GROUPS} groups`,
          );
        }
        group = { id: value, accumulators: makers.map(([, make]) => make()) };
        groups.set(text, group);
      }
      for (const accumulator of group.accumulators) accumulator.add(document);
    },
    results: () =>
      [...groups.values()].map(({ id: own, accumulators }) =>
        documentOf([
          ['_id', own],
          ...accumulators.map((one, i) => [(makers[i] as [string, unknown])[0], one.result()] as const),
        ]),
      ),
  };
}
