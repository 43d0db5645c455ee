import { compareNumbers, isNumber } from '../../bson/numbers.js';
import { elements, fields, type RawValue, Type } from '../../bson/raw-value.js';
import { int32 } from '../../bson/values.js';
import { StoreError } from '../../errors.js';

/** A compiled expression; undefined is a missing value. Throws StoreErrors with MongoDB's codes on values it cannot take. */
export type Expression = (document: RawValue) => RawValue | undefined;

/** A variable `$$name`. What $let, $map and their like bind changes while they run; all others are constant. */
export interface Variable {
  value: RawValue | undefined;
  readonly constant: boolean;
}

/** What an expression can see beside its document. */
export interface Scope {
  /** `$$NOW`, ms since 1970: the same all through a command. */
  readonly nowMs: number;
  readonly variables: ReadonlyMap<string, Variable>;
  /** There is no document, as in a command's `let`: the error that refuses field paths. */
  readonly refusal?: StoreError;
}

/** Compiles the parts of an operator's operand. */
export interface Compiler {
  readonly scope: Scope;
  compile(source: RawValue): Expression;
  /** The same with more variables. Throws FailedToParse (9) on names that cannot be those of variables. */
  within(variables: ReadonlyMap<string, Variable>): Compiler;
}

/** One operator of the language: makes the expression of its operand. Throws StoreErrors on operands of a wrong shape. */
export type Operator = (operand: RawValue, compiler: Compiler, name: string) => Expression;

/** Operators by their names, with the dollar. */
export type Operators = Readonly<Record<string, Operator>>;

/** Whether a value is missing, null or undefined: most operators answer null then. Never throws. */
export function isNullish(value: RawValue | undefined): value is undefined | (RawValue & { type: 6 | 10 }) {
  return value === undefined || value.type === Type.null || value.type === Type.undefined;
}

/** Whether a value counts as true: all but false, null, a missing value and the zeros. Never throws. */
export function isTruthy(value: RawValue | undefined): boolean {
  if (value === undefined || value.type === Type.null || value.type === Type.undefined) return false;
  if (value.type === Type.bool) return value.bytes[value.start] === 1;
  return !isNumber(value.type) || compareNumbers(value, ZERO) !== 0;
}

const ZERO = int32(0);

/** An error of MongoDB that has a number but no name. Never throws. */
export function located(code: number, message: string): StoreError {
  return new StoreError(code, `Location${code}`, message);
}

/** The arguments of an operator: the elements of an array, or the operand alone. Throws 16020 or 28667 when there are too few or too many. */
export function argumentsOf(
  operand: RawValue,
  compiler: Compiler,
  name: string,
  least: number,
  most: number = least,
): Expression[] {
  const list = operand.type === Type.array ? elements(operand) : [operand];
  if (list.length < least || list.length > most) {
    if (least === most)
      throw located(16020, `Expression ${name} takes exactly ${least} arguments. ${list.length} were passed in.`);
    throw located(
      28667,
      `Expression ${name} takes at least ${least} arguments, and at most ${most}, but ${list.length} were passed in.`,
    );
  }
  return list.map((one) => compiler.compile(one));
}

/** An operator of one argument. Never throws. */
export function unary(compute: (value: RawValue | undefined, name: string) => RawValue | undefined): Operator {
  return (operand, compiler, name) => {
    const [argument] = argumentsOf(operand, compiler, name, 1) as [Expression];
    return (document) => compute(argument(document), name);
  };
}

/** An operator of two arguments. Never throws. */
export function binary(
  compute: (a: RawValue | undefined, b: RawValue | undefined, name: string) => RawValue | undefined,
): Operator {
  return (operand, compiler, name) => {
    const [first, second] = argumentsOf(operand, compiler, name, 2) as [Expression, Expression];
    return (document) => compute(first(document), second(document), name);
  };
}

/** What an operator with named arguments demands: the codes it refuses wrong ones with. */
export interface NamedShape {
  readonly required: readonly string[];
  readonly optional?: readonly string[];
  /** The operand is no document. */
  readonly noDocument?: number;
  readonly unknown?: number;
  readonly missing?: number;
}

/** The named arguments of an operator, not compiled. Throws with the codes of the shape (9 where it gives none) naming what is wrong. */
export function namedArguments(operand: RawValue, name: string, shape: NamedShape): ReadonlyMap<string, RawValue> {
  const fail = (code: number | undefined, message: string): StoreError =>
    code === undefined || code === 9 ? new StoreError(9, 'FailedToParse', message) : located(code, message);
  if (operand.type !== Type.object) throw fail(shape.noDocument, `${name} only supports an object as its argument`);
  const known = [...shape.required, ...(shape.optional ?? [])];
  const found = new Map(fields(operand));
  for (const one of found.keys())
    if (!known.includes(one)) throw fail(shape.unknown, `Unrecognized argument to ${name}: ${one}`);
  for (const one of shape.required)
    if (!found.has(one)) throw fail(shape.missing, `Missing '${one}' parameter to ${name}`);
  return found;
}
