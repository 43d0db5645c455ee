import { compareValues } from '../../bson/compare.js';
import { decimalArithmetic } from '../../bson/decimals.js';
import { arithmetic, decimalOf, decimalSpecial, exactDouble, isNumber, toDouble } from '../../bson/numbers.js';
import { elements, type RawValue, Type } from '../../bson/raw-value.js';
import { double, int32, int64, NULL } from '../../bson/values.js';
import { argumentsOf, isNullish, type Operator, type Operators } from './operator.js';

/** Takes values one by one and says at last what they come to. */
export interface Tally {
  add(value: RawValue | undefined): void;
  result(): RawValue;
}

interface Total {
  add(value: RawValue): void;
  /** The sum in the widest of the types that were added; 64-bit integers that overflow become a double. */
  sum(): RawValue;
  /** The sum of what is no decimal. */
  plain(): number;
  readonly decimal: boolean;
}

/** A running total. Doubles are summed with the error of each addition kept aside, as MongoDB does, so that the result hardly depends on the order. */
function openTotal(): Total {
  let widest: number = Type.int32;
  let integers = 0;
  let carried = 0n;
  let sum = 0;
  let rest = 0;
  let plainSum = 0;
  let decimals: RawValue | undefined;

  function addDouble(value: number): void {
    plainSum += value;
    const next = sum + value;
    const part = next - sum;
    rest += sum - (next - part) + (value - part);
    sum = next;
  }

  function whole(): bigint {
    return carried + BigInt(integers);
  }

  /** Both halves of the sum of everything that is no decimal. */
  function halves(): [number, number] {
    const [keptSum, keptRest, keptPlain] = [sum, rest, plainSum];
    const all = whole();
    const high = Number(all);
    addDouble(high);
    addDouble(Number(all - BigInt(high)));
    // What is infinite or NaN has no rest.
    const result: [number, number] = Number.isFinite(sum) ? [sum, rest] : [plainSum, 0];
    [sum, rest, plainSum] = [keptSum, keptRest, keptPlain];
    return result;
  }

  return {
    get decimal() {
      return decimals !== undefined;
    },
    add(value) {
      if (value.type === Type.int32) {
        integers += value.bytes.readInt32LE(value.start);
        if (Math.abs(integers) > 2 ** 52) {
          carried += BigInt(integers);
          integers = 0;
        }
      } else if (value.type === Type.int64) {
        carried += value.bytes.readBigInt64LE(value.start);
        if (widest === Type.int32) widest = Type.int64;
      } else if (value.type === Type.double) {
        addDouble(value.bytes.readDoubleLE(value.start));
        widest = Type.double;
      } else decimals = decimals === undefined ? value : (arithmetic('add', decimals, value) as RawValue);
    },
    plain() {
      const [high, low] = halves();
      return high + low;
    },
    sum() {
      if (decimals !== undefined) {
        const [high, low] = halves();
        if (!Number.isFinite(high)) return arithmetic('add', decimals, decimalSpecial(high)) as RawValue;
        const exact = [high, low].map((one) => decimalOf(exactDouble(one))) as [RawValue, RawValue];
        return arithmetic('add', decimals, arithmetic('add', ...exact) as RawValue) as RawValue;
      }
      if (widest !== Type.double) {
        const all = whole();
        if (widest === Type.int32 && BigInt.asIntN(32, all) === all) return int32(Number(all));
        if (BigInt.asIntN(64, all) === all) return int64(all);
      }
      const [high, low] = halves();
      return double(high + low);
    },
  };
}

/** $sum: what is no number does not count. */
export function sumTally(): Tally {
  const total = openTotal();
  return {
    add(value) {
      if (value !== undefined && isNumber(value.type)) total.add(value);
    },
    result: () => total.sum(),
  };
}

/** $avg: a double, a decimal when there are decimals; null of no number. */
export function averageTally(): Tally {
  const total = openTotal();
  let count = 0;
  return {
    add(value) {
      if (value === undefined || !isNumber(value.type)) return;
      total.add(value);
      count++;
    },
    result() {
      if (count === 0) return NULL;
      return total.decimal ? decimalArithmetic('divide', total.sum(), int32(count)) : double(total.plain() / count);
    },
  };
}

/** $min (sign −1) and $max (1) in BSON's order; null and missing values do not count; null of nothing. */
export function extremeTally(sign: 1 | -1): Tally {
  let best: RawValue | undefined;
  return {
    add(value) {
      if (isNullish(value)) return;
      if (best === undefined || compareValues(value, best) * sign > 0) best = value;
    },
    result: () => best ?? NULL,
  };
}

/** $stdDevPop and $stdDevSamp: a double; null of too few numbers. */
export function deviationTally(sample: boolean): Tally {
  let count = 0;
  let mean = 0;
  let squares = 0;
  return {
    add(value) {
      if (value === undefined || !isNumber(value.type)) return;
      const number = toDouble(value);
      count++;
      const distance = number - mean;
      mean += distance / count;
      squares += distance * (number - mean);
    },
    result() {
      const divisor = sample ? count - 1 : count;
      return divisor < 1 ? NULL : double(Math.sqrt(squares / divisor));
    },
  };
}

/** As an expression: over the arguments, or over the elements of an only one that is an array. */
function tallied(make: () => Tally): Operator {
  return (operand, compiler, name) => {
    const parts = argumentsOf(operand, compiler, name, 0, Number.POSITIVE_INFINITY);
    return (document) => {
      const tally = make();
      const [only] = parts;
      if (parts.length === 1 && only !== undefined) {
        const value = only(document);
        for (const one of value?.type === Type.array ? elements(value) : [value]) tally.add(one);
      } else for (const part of parts) tally.add(part(document));
      return tally.result();
    };
  };
}

/** Accumulators that are expressions too. */
export const TALLIES: Operators = {
  $sum: tallied(sumTally),
  $avg: tallied(averageTally),
  $min: tallied(() => extremeTally(-1)),
  $max: tallied(() => extremeTally(1)),
  $stdDevPop: tallied(() => deviationTally(false)),
  $stdDevSamp: tallied(() => deviationTally(true)),
};
