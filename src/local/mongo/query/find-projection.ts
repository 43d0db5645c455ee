import { isNumber, toDouble } from '../bson/numbers.js';
import {
  eachElement,
  eachField,
  elements,
  fields,
  findField,
  type RawValue,
  rawDocument,
  Type,
} from '../bson/raw-value.js';
import { flagOf } from '../bson/values.js';
import { arrayOf, type BsonWriter, bsonWriter, documentOf } from '../bson/writer.js';
import { failedToParse, notImplemented } from '../errors.js';
import { fieldNames } from './expression/field-path.js';
import { located } from './expression/operator.js';
import type { Scope } from './expression.js';
import { compileFilter, type Filter } from './filter.js';
import type { Trail } from './path.js';
import { type Projection, type ProjectionRule, pathCollisions, projectionOf, projectionRules } from './projection.js';
import { applyProjection } from './projection-tree.js';

/** What is done to the projected document last; `before`: the document as it was found. */
type Finish = (projected: RawValue, before: RawValue) => RawValue;

type Parts = readonly Buffer[];

const partsOf = (names: readonly string[]): Parts => names.map((name) => Buffer.from(name));

/** Writes a container again with another value at the end of a path; arrays on the way are walked through, element by element. */
function rewrite(container: RawValue, parts: Parts, depth: number, change: (value: RawValue) => RawValue): RawValue {
  const writer: BsonWriter = bsonWriter(container.end - container.start + 16);
  writer.begin('', container.type);
  if (container.type === Type.array) {
    eachElement(container, (element, index) => {
      writer.value(String(index), element.type === Type.object ? rewrite(element, parts, depth, change) : element);
      return false;
    });
  } else {
    eachField(container, (name, value) => {
      const on = parts[depth]?.equals(Buffer.from(name)) === true;
      const inner = on && (value.type === Type.object || value.type === Type.array);
      if (on && depth === parts.length - 1) writer.value(name, change(value));
      else writer.value(name, inner ? rewrite(value, parts, depth + 1, change) : value);
      return false;
    });
  }
  writer.end();
  const { bytes } = rawDocument(writer.finish());
  // Type byte and empty name of the only field come before it.
  return { type: container.type, bytes, start: 6, end: bytes.length - 1 };
}

function integerOf(value: RawValue, what: string): number {
  const number = toDouble(value);
  if (!Number.isFinite(number)) throw located(28726, `${what} of $slice must be representable as a 32-bit integer`);
  return Math.trunc(number);
}

/** The $slice of a find: a number, or what to skip and how many; undefined when it is the expression of that name. */
function sliceOf(operand: RawValue): ((list: RawValue[]) => RawValue[]) | undefined {
  if (isNumber(operand.type)) {
    const count = integerOf(operand, 'the argument');
    return (list) => (count >= 0 ? list.slice(0, count) : list.slice(count));
  }
  const given = operand.type === Type.array ? elements(operand) : [];
  const [first, second] = given;
  if (given.length !== 2 || first === undefined || second === undefined || !isNumber(first.type)) return undefined;
  if (!isNumber(second.type)) throw located(28724, 'the second argument of $slice must be a number');
  const skip = integerOf(first, 'the first argument');
  const limit = integerOf(second, 'the second argument');
  if (limit <= 0) throw located(28729, `the second argument of $slice must be positive: ${limit}`);
  return (list) => {
    const start = skip >= 0 ? skip : Math.max(0, list.length + skip);
    return list.slice(start, start + limit);
  };
}

function slicing(names: readonly string[], pick: (list: RawValue[]) => RawValue[]): Finish {
  const parts = partsOf(names);
  return (projected) =>
    rewrite(projected, parts, 0, (value) => (value.type === Type.array ? arrayOf(pick(elements(value))) : value));
}

/** The first element of an array that fulfils a condition, as an array of one. */
function elemMatch(path: string, condition: RawValue, scope: Scope): ProjectionRule {
  if (condition.type !== Type.object) throw located(31274, '$elemMatch projection must be an object');
  if (path.includes('.')) throw located(31275, `Cannot use $elemMatch projection on a nested field: ${path}`);
  const filter = compileFilter(documentOf([[path, documentOf([['$elemMatch', condition]])]]), scope);
  const name = Buffer.from(path);
  return {
    path,
    names: fieldNames(path),
    rule(document) {
      const value = findField(document, name);
      const trail: Trail = [];
      if (value?.type !== Type.array || !filter.matches(document, trail)) return undefined;
      return arrayOf([elements(value)[trail.at(-1)?.position ?? 0] as RawValue]);
    },
  };
}

function valueAt(document: RawValue, parts: Parts): { value: RawValue; depth: number } | undefined {
  let value: RawValue | undefined = document;
  for (const [i, part] of parts.entries()) {
    value = value.type === Type.object ? findField(value, part) : undefined;
    if (value === undefined) return undefined;
    if (value.type === Type.array) return { value, depth: i + 1 };
  }
  return undefined;
}

/** The positional `$`: of the first array on the path the element by which the query matched. Throws 51246 when it matched by none, NotImplemented where several
 * arrays or positions come into question. */
function positional(names: readonly string[], filter: Filter): Finish {
  const parts = partsOf(names);
  return (projected, before) => {
    const original = valueAt(before, parts);
    if (original === undefined) return projected;
    const trail: Trail = [];
    const array = names.slice(0, original.depth).join('.');
    if (!filter.matches(before, trail) || trail.length === 0) {
      throw located(
        51246,
        "Executor error during find command :: caused by :: positional operator '.$' couldn't find a matching element in the array",
      );
    }
    const [first] = trail as [Trail[number]];
    if (trail.some((one) => one.array !== array || one.position !== first.position || one.given))
      throw notImplemented(`the positional $ of '${names.join('.')}' for a query that matches by several elements`);
    const shown = valueAt(projected, parts)?.value;
    if (shown === undefined || elements(shown).length !== elements(original.value).length)
      throw notImplemented(`the positional $ of '${names.join('.')}' in an array of mixed values`);
    return rewrite(projected, parts.slice(0, original.depth), 0, (value) =>
      arrayOf([elements(value)[first.position] as RawValue]),
    );
  };
}

/** Compiles the projection of a find command: fields that stay, go or are computed, $slice, $elemMatch and the positional `$`, which is of what `filter` matched. Undefined
 * when it changes nothing. Throws as `projectionRules` and `projectionOf`, 31255, 31275, 31276, 31394 or 31395 on wrong uses, NotImplemented by name on $meta. */
export function compileProjection(source: RawValue | undefined, scope: Scope, filter: Filter): Projection | undefined {
  if (source === undefined || source.type === Type.null) return undefined;
  if (source.type !== Type.object) throw failedToParse('a projection must be a document');
  const finishes: Finish[] = [];
  const sliced: string[] = [];
  let elemMatches = 0;
  let positionals = 0;

  function positionalRule(path: string, value: RawValue): ProjectionRule[] {
    if (!path.endsWith('.$') || path.includes('.$.'))
      throw located(31394, `the positional $ may only be at the end of a path: ${path}`);
    if (value.type === Type.object || !flagOf(value, path))
      throw located(31395, `the positional $ cannot be used in an exclusion: ${path}`);
    if (++positionals > 1) throw located(31276, 'Cannot specify more than one positional projection per query.');
    const stripped = path.slice(0, -2);
    const names = fieldNames(stripped);
    finishes.push(positional(names, filter));
    return [{ path: stripped, names, rule: true }];
  }

  const rules = projectionRules(source, scope, (path, value) => {
    if (path.split('.').includes('$')) return positionalRule(path, value);
    const [only, ...rest] = value.type === Type.object ? fields(value) : [];
    if (only === undefined || rest.length > 0) return undefined;
    const [name, operand] = only;
    if (name === '$meta') throw notImplemented('the projection operator $meta');
    if (name === '$elemMatch') {
      elemMatches++;
      return [elemMatch(path, operand, scope)];
    }
    const slice = name === '$slice' ? sliceOf(operand) : undefined;
    if (slice === undefined) return undefined;
    finishes.push(slicing(fieldNames(path), slice));
    sliced.push(path);
    return [];
  });
  if (positionals > 0 && elemMatches > 0) throw located(31255, 'Cannot specify positional operator and $elemMatch.');
  if (rules.length === 0 && sliced.length === 0) return undefined;
  if (elemMatches > 0 && rules.some(({ path, rule }) => rule === false && path !== '_id'))
    throw notImplemented('$elemMatch in an exclusion');
  if (sliced.length > 0 && rules.length === 1 && rules[0]?.path === '_id' && rules[0].rule === true)
    throw notImplemented('$slice beside nothing but _id');
  const collide = pathCollisions();
  for (const path of [...sliced, ...rules.map((rule) => rule.path)]) collide(path.split('.'));
  // What is sliced stays in an inclusion.
  const stays = rules.some(({ path, rule }) => rule !== false && (path !== '_id' || rule !== true));
  const all = stays ? [...rules, ...sliced.map((path) => ({ path, names: path.split('.'), rule: true }))] : rules;
  const { node, inclusion } = projectionOf(all);
  const project: Projection = (document) => applyProjection(document, node, inclusion ? 'goes' : 'stays');
  if (finishes.length === 0) return project;
  return (document) => finishes.reduce((projected, finish) => finish(projected, document), project(document));
}
