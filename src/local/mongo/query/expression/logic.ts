import { compareValues } from '../../bson/compare.js';
import { elements, fields, type RawValue, Type } from '../../bson/raw-value.js';
import { FALSE, int32, TRUE } from '../../bson/values.js';
import {
  argumentsOf,
  binary,
  type Expression,
  isNullish,
  isTruthy,
  located,
  namedArguments,
  type Operator,
  type Operators,
  type Variable,
} from './operator.js';

const ANY = Number.POSITIVE_INFINITY;

/** BSON true or false. Never throws. */
export function boolean(value: boolean): RawValue {
  return value ? TRUE : FALSE;
}

/** Compares as BSON's order does, a missing value below all others: −1, 0 or 1. Never throws. */
export function compareMaybe(a: RawValue | undefined, b: RawValue | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  return compareValues(a, b);
}

function comparison(accept: (order: number) => boolean): Operator {
  return binary((a, b) => boolean(accept(compareMaybe(a, b))));
}

const not: Operator = (operand, compiler, name) => {
  const [argument] = argumentsOf(operand, compiler, name, 1);
  return (document) => boolean(!isTruthy(argument?.(document)));
};

const cond: Operator = (operand, compiler, name) => {
  let parts: Expression[];
  if (operand.type === Type.object && !fields(operand)[0]?.[0].startsWith('$')) {
    const named = new Map(fields(operand));
    for (const key of named.keys())
      if (!['if', 'then', 'else'].includes(key)) throw located(17083, `Unrecognized parameter to $cond: ${key}`);
    parts = (['if', 'then', 'else'] as const).map((key, i) => {
      const source = named.get(key);
      if (source === undefined) throw located(17080 + i, `Missing '${key}' parameter to $cond`);
      return compiler.compile(source);
    });
  } else parts = argumentsOf(operand, compiler, name, 3);
  const [test, yes, no] = parts as [Expression, Expression, Expression];
  return (document) => (isTruthy(test(document)) ? yes(document) : no(document));
};

const ifNull: Operator = (operand, compiler) => {
  const list = operand.type === Type.array ? elements(operand) : [operand];
  if (list.length < 2) throw located(1257300, `$ifNull needs at least two arguments, had: ${list.length}`);
  const parts = list.map((one) => compiler.compile(one));
  return (document) => {
    let value: RawValue | undefined;
    for (const part of parts) {
      value = part(document);
      if (!isNullish(value)) return value;
    }
    return value;
  };
};

const switchOperator: Operator = (operand, compiler) => {
  if (operand.type !== Type.object) throw located(40060, '$switch requires an object as an argument');
  const branches: [Expression, Expression][] = [];
  let otherwise: Expression | undefined;
  for (const [name, value] of fields(operand)) {
    if (name === 'default') otherwise = compiler.compile(value);
    else if (name !== 'branches') throw located(40067, `$switch found an unknown argument: ${name}`);
    else {
      if (value.type !== Type.array) throw located(40061, "$switch expected an array for 'branches'");
      for (const branch of elements(value)) {
        if (branch.type !== Type.object) throw located(40062, '$switch expected each branch to be an object');
        let test: RawValue | undefined;
        let result: RawValue | undefined;
        for (const [key, source] of fields(branch)) {
          if (key === 'case') test = source;
          else if (key === 'then') result = source;
          else throw located(40063, `$switch found an unknown argument to a branch: ${key}`);
        }
        if (test === undefined) throw located(40064, "$switch requires each branch have a 'case' expression");
        if (result === undefined) throw located(40065, "$switch requires each branch have a 'then' expression");
        branches.push([compiler.compile(test), compiler.compile(result)]);
      }
    }
  }
  if (branches.length === 0) throw located(40068, '$switch requires at least one branch');
  return (document) => {
    for (const [test, result] of branches) if (isTruthy(test(document))) return result(document);
    if (otherwise === undefined)
      throw located(40066, '$switch could not find a matching branch for an input, and no default was specified');
    return otherwise(document);
  };
};

const letOperator: Operator = (operand, compiler, name) => {
  if (operand.type !== Type.object) throw located(16874, '$let only supports an object as its argument');
  const named = namedArguments(operand, name, { required: [], optional: ['vars', 'in'], unknown: 16875 });
  const vars = named.get('vars');
  const body = named.get('in');
  if (vars === undefined) throw located(16876, "Missing 'vars' parameter to $let");
  if (body === undefined) throw located(16877, "Missing 'in' parameter to $let");
  if (vars.type !== Type.object) throw located(10065, 'invalid parameter: expected an object (vars)');
  const bound = new Map<string, Variable>();
  const values = fields(vars).map(([key, source]) => {
    const variable: Variable = { value: undefined, constant: false };
    bound.set(key, variable);
    return [variable, compiler.compile(source)] as const;
  });
  const inner = compiler.within(bound).compile(body);
  return (document) => {
    // None of the variables sees the others.
    const found = values.map(([, expression]) => expression(document));
    for (let i = 0; i < values.length; i++) (values[i] as (typeof values)[number])[0].value = found[i];
    return inner(document);
  };
};

/** Comparison, boolean and conditional operators, $literal and $let. */
export const LOGIC: Operators = {
  $eq: comparison((order) => order === 0),
  $ne: comparison((order) => order !== 0),
  $gt: comparison((order) => order > 0),
  $gte: comparison((order) => order >= 0),
  $lt: comparison((order) => order < 0),
  $lte: comparison((order) => order <= 0),
  $cmp: binary((a, b) => int32(compareMaybe(a, b))),
  $and: (operand, compiler, name) => {
    const parts = argumentsOf(operand, compiler, name, 0, ANY);
    return (document) => boolean(parts.every((part) => isTruthy(part(document))));
  },
  $or: (operand, compiler, name) => {
    const parts = argumentsOf(operand, compiler, name, 0, ANY);
    return (document) => boolean(parts.some((part) => isTruthy(part(document))));
  },
  $not: not,
  $cond: cond,
  $ifNull: ifNull,
  $switch: switchOperator,
  $literal: (operand) => () => operand,
  $const: (operand) => () => operand,
  $let: letOperator,
};
