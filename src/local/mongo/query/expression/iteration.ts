import { elements, type RawValue, Type } from '../../bson/raw-value.js';
import { NULL, stringOf } from '../../bson/values.js';
import { arrayOf } from '../../bson/writer.js';
import { StoreError } from '../../errors.js';
import { typeName } from '../type-names.js';
import { wholeInt32 } from './arrays.js';
import {
  type Expression,
  isNullish,
  isTruthy,
  located,
  namedArguments,
  type Operator,
  type Operators,
  type Variable,
} from './operator.js';

const MAX_BYTES = 100 * 1024 * 1024; // as MongoDB's internalQueryMaxMapFilterReduceBytes

function list(expression: Expression, document: RawValue, name: string, code: number): RawValue[] | undefined {
  const value = expression(document);
  if (isNullish(value)) return undefined;
  if (value.type !== Type.array) throw located(code, `input to ${name} must be an array not ${typeName(value)}`);
  return elements(value);
}

function checkBytes(bytes: number, name: string): void {
  if (bytes > MAX_BYTES)
    throw new StoreError(146, 'ExceededMemoryLimit', `${name} would use too much memory and cannot spill`);
}

function named(given: ReadonlyMap<string, RawValue>): string {
  const as = given.get('as');
  return as === undefined ? 'this' : stringOf(as, 'as');
}

const map: Operator = (operand, compiler, name) => {
  const given = namedArguments(operand, name, {
    required: ['input', 'in'],
    optional: ['as'],
    noDocument: 16878,
    unknown: 16879,
    missing: 16880,
  });
  const variable: Variable = { value: undefined, constant: false };
  const input = compiler.compile(given.get('input') as RawValue);
  const inner = compiler.within(new Map([[named(given), variable]])).compile(given.get('in') as RawValue);
  return (document) => {
    let bytes = 0;
    const out = list(input, document, name, 16883)?.map((element) => {
      variable.value = element;
      const value = inner(document) ?? NULL;
      bytes += value.end - value.start;
      checkBytes(bytes, name);
      return value;
    });
    return out === undefined ? NULL : arrayOf(out);
  };
};

const filter: Operator = (operand, compiler, name) => {
  const given = namedArguments(operand, name, {
    required: ['input', 'cond'],
    optional: ['as', 'limit'],
    noDocument: 28646,
    unknown: 28647,
    missing: 28648,
  });
  const variable: Variable = { value: undefined, constant: false };
  const input = compiler.compile(given.get('input') as RawValue);
  const inner = compiler.within(new Map([[named(given), variable]])).compile(given.get('cond') as RawValue);
  const limitSource = given.get('limit');
  const limit = limitSource === undefined ? undefined : compiler.compile(limitSource);
  return (document) => {
    const all = list(input, document, name, 28651);
    if (all === undefined) return NULL;
    let left = Number.POSITIVE_INFINITY;
    const most = limit?.(document);
    if (!isNullish(most)) {
      const number = wholeInt32(most);
      if (number === undefined) throw located(327391, '$filter: limit must be represented as a 32-bit integral value');
      if (number <= 0) throw located(327392, `$filter: limit must be greater than 0: ${number}`);
      left = number;
    }
    const out: RawValue[] = [];
    for (const element of all) {
      variable.value = element;
      if (isTruthy(inner(document))) out.push(element);
      if (out.length >= left) break;
    }
    return arrayOf(out);
  };
};

const reduce: Operator = (operand, compiler, name) => {
  const given = namedArguments(operand, name, {
    required: ['input', 'initialValue', 'in'],
    noDocument: 40075,
    unknown: 40076,
    missing: 40077,
  });
  const current: Variable = { value: undefined, constant: false };
  const sofar: Variable = { value: undefined, constant: false };
  const input = compiler.compile(given.get('input') as RawValue);
  const initial = compiler.compile(given.get('initialValue') as RawValue);
  const inner = compiler
    .within(
      new Map([
        ['this', current],
        ['value', sofar],
      ]),
    )
    .compile(given.get('in') as RawValue);
  return (document) => {
    const all = list(input, document, name, 40080);
    if (all === undefined) return NULL;
    let value = initial(document);
    for (const element of all) {
      current.value = element;
      sofar.value = value;
      value = inner(document);
      if (value !== undefined) checkBytes(value.end - value.start, name);
    }
    return value;
  };
};

/** Operators that bind variables to the elements of an array one after another. */
export const ITERATION: Operators = { $map: map, $filter: filter, $reduce: reduce };
