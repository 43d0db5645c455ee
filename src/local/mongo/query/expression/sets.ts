import { compareValues } from '../../bson/compare.js';
import { elements, type RawValue, Type } from '../../bson/raw-value.js';
import { NULL } from '../../bson/values.js';
import { arrayOf } from '../../bson/writer.js';
import { typeName } from '../type-names.js';
import { boolean } from './logic.js';
import { argumentsOf, binary, isNullish, isTruthy, located, type Operator, type Operators, unary } from './operator.js';

const ANY = Number.POSITIVE_INFINITY;

/** The different values of a list in BSON's order, the first of equal ones. Never throws. */
export function distinctValues(list: readonly RawValue[]): RawValue[] {
  const sorted = [...list].sort(compareValues);
  return sorted.filter((value, i) => i === 0 || compareValues(value, sorted[i - 1] as RawValue) !== 0);
}

function holds(sorted: readonly RawValue[], value: RawValue): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = compareValues(sorted[middle] as RawValue, value);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}

function listOf(value: RawValue | undefined, code: number, what: string): RawValue[] {
  if (value?.type !== Type.array) throw located(code, `${what} must be arrays. One is of type: ${typeName(value)}`);
  return elements(value);
}

const union: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 0, ANY);
  return (document) => {
    const all: RawValue[] = [];
    for (const part of parts) {
      const value = part(document);
      if (isNullish(value)) return NULL;
      for (const one of listOf(value, 17043, `All operands of ${name}`)) all.push(one);
    }
    return arrayOf(distinctValues(all));
  };
};

const intersection: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 0, ANY);
  return (document) => {
    let common: RawValue[] | undefined;
    for (const part of parts) {
      const value = part(document);
      if (isNullish(value)) return NULL;
      const next = distinctValues(listOf(value, 17047, `All operands of ${name}`));
      if (common === undefined) common = next;
      else {
        const [fewer, more]: [RawValue[], RawValue[]] = common.length > next.length ? [next, common] : [common, next];
        common = fewer.filter((one) => holds(more, one));
      }
    }
    return arrayOf(common ?? []);
  };
};

const difference = binary((a, b) => {
  if (isNullish(a) || isNullish(b)) return NULL;
  const left = listOf(a, 17048, 'both operands of $setDifference');
  const gone = distinctValues(listOf(b, 17049, 'both operands of $setDifference'));
  const firsts = new Set(distinctValues(left));
  return arrayOf(left.filter((one) => firsts.has(one) && !holds(gone, one)));
});

const equals: Operator = (operand, compiler, name) => {
  const parts = argumentsOf(operand, compiler, name, 2, ANY);
  return (document) => {
    const sets = parts.map((part) => distinctValues(listOf(part(document), 17044, `All operands of ${name}`)));
    const [first, ...others] = sets as [RawValue[], ...RawValue[][]];
    return boolean(
      others.every(
        (set) => set.length === first.length && set.every((one, i) => compareValues(one, first[i] as RawValue) === 0),
      ),
    );
  };
};

const isSubset = binary((a, b) => {
  const part = listOf(a, 17046, 'both operands of $setIsSubset');
  const whole = distinctValues(listOf(b, 17042, 'both operands of $setIsSubset'));
  return boolean(part.every((one) => holds(whole, one)));
});

function elementsTrue(code: number, quantify: (list: RawValue[]) => boolean): Operator {
  return unary((value, name) => boolean(quantify(listOf(value, code, `${name}'s arguments`))));
}

/** Arrays as sets: order and repetition do not count; results in BSON's order, but $setDifference in its first argument's. */
export const SETS: Operators = {
  $setUnion: union,
  $setIntersection: intersection,
  $setDifference: difference,
  $setEquals: equals,
  $setIsSubset: isSubset,
  $anyElementTrue: elementsTrue(17041, (list) => list.some(isTruthy)),
  $allElementsTrue: elementsTrue(17040, (list) => list.every(isTruthy)),
};
