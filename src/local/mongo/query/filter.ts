import { eachElement, elements, fields, type RawValue, Type } from '../bson/raw-value.js';
import { flagOf } from '../bson/values.js';
import { badValue, notImplemented } from '../errors.js';
import type { Scope } from './expression.js';
import { compileExpressionFilter } from './expression-filter.js';
import {
  equals,
  hasSize,
  isIn,
  isOperators,
  isType,
  modulo,
  range,
  regexOperand,
  type ValueTest,
} from './operators.js';
import { pathOf, type Trail, type Visit, visitPath } from './path.js';
import { regexOf } from './regex.js';

/** One thing that every matching document fulfils, as the planner and upserts use it. */
export interface Condition {
  readonly path: string;
  readonly op: 'eq' | 'in' | 'gt' | 'gte' | 'lt' | 'lte' | 'exists' | 'all';
  readonly value: RawValue;
  /** It comes from an $expr: an index may be asked for it, but an upsert does not take it over. */
  readonly computed?: true;
}

/** A compiled filter. */
export interface Filter {
  /** `trail` is told which elements of arrays fulfilled what all of it demands together (nothing of $or, $nor and negations). */
  matches(document: RawValue, trail?: Trail): boolean;
  /** What all of it demands together: of the top level and of nested $and, or an $or of one. */
  readonly conditions: readonly Condition[];
  /** Every path that is asked for, also below $or. */
  readonly paths: ReadonlySet<string>;
  readonly source: RawValue;
}

type Test = (target: RawValue, trail?: Trail) => boolean;

/** Turns a test of values into a test of what holds them; `spread`: elements of an array at the end are asked too. */
type Ask = (test: Visit, spread: boolean) => Test;

interface Context {
  /** Undefined below $or, $nor, $not and $elemMatch: what is there need not hold for the whole. */
  readonly conditions: Condition[] | undefined;
  readonly paths: Set<string>;
  /** Undefined where $expr is not allowed. */
  readonly scope: Scope | undefined;
}

const REFUSED = new Set(
  (
    '$where $text $jsonSchema $near $nearSphere $geoWithin $geoIntersects $within $bitsAllSet $bitsAllClear ' +
    '$bitsAnySet $bitsAnyClear $sampleRate $alwaysTrue $alwaysFalse $maxDistance $minDistance'
  ).split(' '),
);

function unknownOperator(name: string): Error {
  return REFUSED.has(name) ? notImplemented(`the query operator ${name}`) : badValue(`unknown operator: ${name}`);
}

function all(tests: readonly Test[]): Test {
  const [first, second] = tests;
  if (first === undefined) return () => true;
  if (second === undefined) return first;
  return (target, trail) => tests.every((test) => test(target, trail));
}

function negate(test: Test): Test {
  return (target) => !test(target);
}

function regexTest(operand: RawValue): ValueTest {
  const matches = regexOf(operand);
  return (value) => value !== undefined && matches(value);
}

function elemMatch(operand: RawValue, context: Context, path: string): Visit {
  if (operand.type !== Type.object) throw badValue('$elemMatch needs an Object');
  const first = fields(operand)[0]?.[0];
  const inner: Context = { conditions: undefined, paths: context.paths, scope: undefined };
  let matches: Test;
  if (first?.startsWith('$') && first !== '$and' && first !== '$or' && first !== '$nor') {
    const ask: Ask = (test) => test;
    matches = all(operatorTests(operand, ask, inner, ''));
  } else {
    const document = all(documentTests(operand, inner));
    // An array inside of the array is asked as if its positions were names.
    matches = (value) => (value.type === Type.object || value.type === Type.array) && document(value);
  }
  return (value, trail) => {
    if (value?.type !== Type.array) return false;
    return eachElement(value, (element, position) => {
      if (!matches(element)) return false;
      trail?.push({ array: path, position, given: false });
      return true;
    });
  };
}

/** $all is the $and of its members; of an empty list nothing. */
function allTests(operand: RawValue, ask: Ask, context: Context, path: string): Test[] {
  if (operand.type !== Type.array) throw badValue('$all needs an array');
  const list = elements(operand);
  if (list.length === 0) return [() => false];
  return list.map((one) => {
    if (isOperators(one)) {
      const [[name, inner]] = fields(one) as [[string, RawValue]];
      if (name !== '$elemMatch') throw badValue(`no ${name} expressions in $all`);
      return ask(elemMatch(inner, context, path), false);
    }
    if (one.type === Type.regex) return ask(regexTest(one), true);
    context.conditions?.push({ path, op: 'all', value: one });
    return ask(equals(one), true);
  });
}

function operatorTest(
  name: string,
  operand: RawValue,
  operators: RawValue,
  ask: Ask,
  context: Context,
  path: string,
): Test[] {
  const note = (op: Condition['op']): void => {
    context.conditions?.push({ path, op, value: operand });
  };
  switch (name) {
    case '$eq':
      note('eq');
      return [ask(equals(operand), true)];
    case '$ne':
      if (operand.type === Type.regex) throw badValue("Can't have regex as arg to $ne.");
      return [negate(ask(equals(operand), true))];
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      note(name.slice(1) as Condition['op']);
      return [ask(range(name, operand), true)];
    case '$in':
      note('in');
      return [ask(isIn(name, operand), true)];
    case '$nin':
      return [negate(ask(isIn(name, operand), true))];
    case '$exists': {
      const exists = ask((value) => value !== undefined, false);
      if (!flagOf(operand, '$exists')) return [negate(exists)];
      note('exists');
      return [exists];
    }
    case '$type':
      return [ask(isType(operand), true)];
    case '$size':
      return [ask(hasSize(operand), false)];
    case '$mod':
      return [ask(modulo(operand), true)];
    case '$regex': {
      const matches = regexOperand(operators, operand);
      return [ask((value) => value !== undefined && matches(value), true)];
    }
    case '$options':
      if (!fields(operators).some(([other]) => other === '$regex')) throw badValue('$options needs a $regex');
      return [];
    case '$elemMatch':
      return [ask(elemMatch(operand, context, path), false)];
    case '$all':
      return allTests(operand, ask, context, path);
    case '$not': {
      if (operand.type === Type.regex) return [negate(ask(regexTest(operand), true))];
      if (!isOperators(operand)) throw badValue('$not needs a regex or a document of operators');
      return [negate(all(operatorTests(operand, ask, { ...context, conditions: undefined }, path)))];
    }
    case '$comment':
      return [];
    default:
      throw unknownOperator(name);
  }
}

function operatorTests(operators: RawValue, ask: Ask, context: Context, path: string): Test[] {
  return fields(operators).flatMap(([name, operand]) => {
    if (!name.startsWith('$')) throw badValue(`unknown operator: ${name}`);
    return operatorTest(name, operand, operators, ask, context, path);
  });
}

function logicalTest(name: string, operand: RawValue, context: Context): Test {
  if (operand.type !== Type.array) throw badValue(`${name} must be an array`);
  const parts = elements(operand);
  if (parts.length === 0) throw badValue(`${name} argument must be a non-empty array`);
  // An $or of one is that one, also for what an upsert takes over.
  const demanded = name === '$and' || (name === '$or' && parts.length === 1);
  const inner = demanded ? context : { ...context, conditions: undefined };
  const tests = parts.map((part) => {
    if (part.type !== Type.object) throw badValue(`${name} argument's entries must be objects`);
    return all(documentTests(part, inner));
  });
  if (demanded) return all(tests);
  const any: Test = (document) => tests.some((test) => test(document));
  return name === '$or' ? any : negate(any);
}

function expressionTest(operand: RawValue, { scope, conditions }: Context): Test {
  if (scope === undefined) throw badValue('$expr can only be applied to the top-level document of a query');
  const { matches, demands } = compileExpressionFilter(operand, scope);
  conditions?.push(...demands.map(({ path, value }) => ({ path, op: 'eq', value, computed: true }) as const));
  return matches;
}

function documentTests(filter: RawValue, context: Context): Test[] {
  const tests: Test[] = [];
  for (const [name, operand] of fields(filter)) {
    if (name === '$and' || name === '$or' || name === '$nor') tests.push(logicalTest(name, operand, context));
    else if (name === '$expr') tests.push(expressionTest(operand, context));
    else if (name === '$comment') continue;
    else if (name.startsWith('$') && name !== '$id' && name !== '$ref' && name !== '$db') {
      throw REFUSED.has(name)
        ? notImplemented(`the query operator ${name}`)
        : badValue(`unknown top level operator: ${name}`);
    } else {
      const path = pathOf(name);
      context.paths.add(name);
      const ask: Ask = (test, spread) => (document, trail) => visitPath(document, path, spread, test, trail);
      if (isOperators(operand)) tests.push(...operatorTests(operand, ask, context, name));
      else if (operand.type === Type.regex) tests.push(ask(regexTest(operand), true));
      else {
        context.conditions?.push({ path: name, op: 'eq', value: operand });
        tests.push(ask(equals(operand), true));
      }
    }
  }
  return tests;
}

/** Compiles a filter document; `scope`: what an $expr in it can see, without one there can be none. Throws BadValue (2) on what is no filter,
 * NotImplemented (238) on an operator that is refused, by its name, and as compileExpression. */
export function compileFilter(source: RawValue, scope?: Scope): Filter {
  const conditions: Condition[] = [];
  const paths = new Set<string>();
  const matches = all(documentTests(source, { conditions, paths, scope }));
  return { matches, conditions, paths, source };
}
