import { compareValues, typeOrder } from '../bson/compare.js';
import { elements, fields, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { int32 } from '../bson/values.js';
import { documentOf } from '../bson/writer.js';
import { notImplemented } from '../errors.js';
import { compileAccumulator } from './accumulators.js';
import { compareMaybe } from './expression/logic.js';
import { located } from './expression/operator.js';
import { compileExpression, constantOf, type Scope } from './expression.js';
import { grouping, type OpenGroup } from './group.js';

const KNOWN = ['groupBy', 'boundaries', 'default', 'output'];

function checkGroupBy(source: RawValue): void {
  const path = source.type === Type.string && textOf(source).startsWith('$');
  const operator = source.type === Type.object && fields(source)[0]?.[0].startsWith('$') === true;
  if (!path && !operator)
    throw located(40202, "The $bucket 'groupBy' field must be defined as a $-prefixed path or an expression");
}

function boundariesOf(source: RawValue, scope: Scope): RawValue[] {
  if (source.type !== Type.array) throw located(40200, "The $bucket 'boundaries' field must be an array");
  const list = elements(source).map((one) => {
    const value = constantOf(one, scope);
    if (value !== undefined) return value;
    if (one.type !== Type.array && one.type !== Type.object)
      throw located(40191, "The $bucket 'boundaries' field must be an array of constant expressions");
    throw notImplemented("computed 'boundaries' of $bucket");
  });
  if (list.length < 2)
    throw located(40192, `The $bucket 'boundaries' field must have at least 2 values, but found ${list.length}`);
  for (let i = 1; i < list.length; i++) {
    const [low, high] = [list[i - 1] as RawValue, list[i] as RawValue];
    if (typeOrder(low.type) !== typeOrder(high.type))
      throw located(40193, "All values in the 'boundaries' option to $bucket must have the same type");
    if (compareValues(low, high) >= 0)
      throw located(40194, "The 'boundaries' option to $bucket must be sorted in ascending order");
  }
  return list;
}

/** Compiles a $bucket: a group by the greatest boundary that is not above a value; its results come in the order of _id. Throws 40191 to 40202 on operands of a
 * wrong shape; adding a document outside of the boundaries throws 40066 without a default. */
export function compileBucket(source: RawValue, scope: Scope): OpenGroup {
  if (source.type !== Type.object) throw located(40201, 'Argument to $bucket stage must be an object');
  const given = new Map(fields(source));
  for (const name of given.keys())
    if (!KNOWN.includes(name)) throw located(40197, `Unrecognized option to $bucket: ${name}.`);
  const by = given.get('groupBy');
  const limits = given.get('boundaries');
  if (by === undefined || limits === undefined)
    throw located(40198, "$bucket requires 'groupBy' and 'boundaries' to be specified.");
  checkGroupBy(by);
  const value = compileExpression(by, scope);
  const boundaries = boundariesOf(limits, scope);
  const [lowest, highest] = [boundaries[0] as RawValue, boundaries.at(-1) as RawValue];
  const defaultSource = given.get('default');
  const otherwise = defaultSource === undefined ? undefined : constantOf(defaultSource, scope);
  if (defaultSource !== undefined) {
    if (otherwise === undefined) throw located(40195, "The $bucket 'default' field must be a constant expression");
    if (compareValues(otherwise, lowest) >= 0 && compareValues(otherwise, highest) < 0)
      throw located(
        40199,
        "The $bucket 'default' field must be less than the lowest boundary or greater than or equal to the highest boundary.",
      );
  }
  const output = given.get('output') ?? documentOf([['count', documentOf([['$sum', int32(1)]])]]);
  if (output.type !== Type.object) throw located(40196, "The $bucket 'output' field must be an object");
  const open = grouping(
    (document) => {
      const one = value(document);
      if (compareMaybe(one, lowest) >= 0 && compareMaybe(one, highest) < 0) {
        let at = boundaries.length - 2;
        while (compareMaybe(one, boundaries[at]) < 0) at--;
        return boundaries[at];
      }
      if (otherwise === undefined)
        throw located(40066, '$bucket could not find a matching branch for an input, and no default was specified.');
      return otherwise;
    },
    fields(output).map(([name, accumulator]) => [name, compileAccumulator(name, accumulator, scope)] as const),
  );
  return () => {
    const group = open();
    return {
      add: (document) => group.add(document),
      results: () =>
        group
          .results()
          .sort((a, b) =>
            compareValues((fields(a)[0] as [string, RawValue])[1], (fields(b)[0] as [string, RawValue])[1]),
          ),
    };
  };
}

/** Compiles a $sortByCount to the $group that it begins with; its results still have to be sorted. Throws 40147, 40148 or 40149. */
export function compileCountBy(source: RawValue, scope: Scope): OpenGroup {
  if (source.type === Type.object) {
    if (fields(source)[0]?.[0].startsWith('$') !== true)
      throw located(
        40147,
        'the sortByCount field must be defined as a $-prefixed path or an expression inside an object',
      );
  } else if (source.type === Type.string) {
    if (!textOf(source).startsWith('$'))
      throw located(
        40148,
        'the sortByCount field must be defined as a $-prefixed path or an expression inside an object',
      );
  } else throw located(40149, 'the sortByCount field must be specified as a string or as an object');
  const count = documentOf([['$sum', int32(1)]]);
  return grouping(compileExpression(source, scope), [['count', compileAccumulator('count', count, scope)]]);
}

/** The sort of a $sortByCount. */
export const BY_COUNT = documentOf([['count', int32(-1)]]);
