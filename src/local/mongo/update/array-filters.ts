import { elements, fields, findField, type RawValue, Type } from '../bson/raw-value.js';
import { documentOf } from '../bson/writer.js';
import { badValue, failedToParse, notImplemented, StoreError, typeMismatch } from '../errors.js';
import { compileFilter } from '../query/filter.js';
import type { Trail } from '../query/path.js';
import { isElements, type Names } from './paths.js';
import { elementAt } from './tree.js';

/** The array filters of an update: for each identifier the test of an element. */
export type ArrayFilters = ReadonlyMap<string, (element: RawValue) => boolean>;

const NONE: ArrayFilters = new Map();
const IDENTIFIER = /^[a-z][a-zA-Z0-9]*$/;

/** The first parts of all paths that a filter asks for; compileFilter says what else is wrong with it. */
function roots(filter: RawValue): string[] {
  if (filter.type !== Type.object) return [];
  return fields(filter).flatMap(([name, operand]) => {
    if (name === '$and' || name === '$or' || name === '$nor')
      return operand.type === Type.array ? elements(operand).flatMap(roots) : [];
    if (name === '$comment') return [];
    if (name === '$expr' || name === '$where' || name === '$text')
      throw new StoreError(224, 'QueryFeatureNotAllowed', `${name} is not allowed in arrayFilters`);
    return [name.split('.', 1)[0] as string];
  });
}

/** Compiles array filters. Throws TypeMismatch (14) when they are no documents, FailedToParse (9) on a filter of no or several identifiers and on two of one, BadValue (2) on an
 * identifier that cannot be one, and as compileFilter does. */
export function compileArrayFilters(source: RawValue | undefined): ArrayFilters {
  if (source === undefined) return NONE;
  const filters = new Map<string, (element: RawValue) => boolean>();
  if (source.type !== Type.array) throw typeMismatch("field 'arrayFilters' must be an array");
  for (const one of elements(source)) {
    if (one.type !== Type.object) throw typeMismatch("field 'arrayFilters' must hold documents");
    const [identifier, ...others] = new Set(roots(one));
    const filter = compileFilter(one);
    if (identifier === undefined)
      throw failedToParse('Cannot use an expression without a top-level field name in arrayFilters');
    if (others.length > 0) {
      throw failedToParse(
        `Error parsing array filter: Expected a single top-level field name, found '${identifier}' and '${others[0]}'`,
      );
    }
    if (!IDENTIFIER.test(identifier)) {
      throw badValue(
        `Error parsing array filter: The top-level field name must be an alphanumeric string beginning with a lowercase letter, found '${identifier}'`,
      );
    }
    if (filters.has(identifier))
      throw failedToParse(`Found multiple array filters with the same top-level field name ${identifier}`);
    filters.set(identifier, (element) => filter.matches(documentOf([[identifier, element]])));
  }
  return filters;
}

/** Checks that paths and array filters name the same identifiers. Throws BadValue (2) on one without a filter, FailedToParse (9) on a filter that is not used. */
export function checkIdentifiers(steps: readonly { readonly names: Names }[], filters: ArrayFilters): void {
  const used = new Set<string>(['']);
  for (const { names } of steps) {
    for (const name of names) {
      if (!isElements(name)) continue;
      const identifier = name.slice(2, -1);
      if (identifier !== '' && !filters.has(identifier))
        throw badValue(`No array filter found for identifier '${identifier}' in path '${names.join('.')}'`);
      used.add(identifier);
    }
  }
  for (const identifier of filters.keys()) {
    if (!used.has(identifier))
      throw failedToParse(`The array filter for identifier '${identifier}' was not used in the update`);
  }
}

/** What `$` stands for behind an array. MongoDB's manual leaves open what it is when the query matched elements of several arrays, or different ones of one. */
function matchedPosition(array: string, path: string, trail: Trail | undefined): number {
  const [first] = trail ?? [];
  if (trail === undefined || first === undefined)
    throw badValue(`The positional operator did not find the match needed from the query, for path '${path}'.`);
  if (trail.some(({ given }) => given))
    throw notImplemented(`the positional $ in '${path}' with a query that gives an array position itself`);
  const other = trail.find((one) => one.array !== array)?.array;
  if (other !== undefined)
    throw notImplemented(`the positional $ in '${path}' with a query that matched elements of '${other}'`);
  if (trail.some(({ position }) => position !== first.position)) {
    throw notImplemented(
      `the positional $ in '${path}' with a query whose conditions matched different elements of '${array}': use $elemMatch`,
    );
  }
  return first.position;
}

/** The paths without `$`, `$[]` and `$[identifier]` that one with them means in a document; `trail`: how a query matched it. Throws BadValue (2) where the query matched no element or
 * where `$[…]` meets no array, NotImplemented (238) where `$` has no one meaning. */
export function concretePaths(
  document: RawValue,
  names: Names,
  filters: ArrayFilters,
  trail: Trail | undefined,
): Names[] {
  const found: Names[] = [];

  function walk(value: RawValue | undefined, taken: string[]): void {
    const name = names[taken.length];
    if (name === undefined) found.push(taken);
    else if (name === '$') {
      const position = matchedPosition(taken.join('.'), names.join('.'), trail);
      walk(value?.type === Type.array ? elementAt(value, position) : undefined, [...taken, String(position)]);
    } else if (isElements(name)) {
      if (value === undefined)
        throw badValue(`The path '${taken.join('.')}' must exist in the document in order to apply array updates.`);
      if (value.type !== Type.array)
        throw badValue(
          `Cannot apply array updates to non-array element '${taken.join('.')}' in path '${names.join('.')}'`,
        );
      const test = filters.get(name.slice(2, -1));
      elements(value).forEach((element, index) => {
        if (test === undefined || test(element)) walk(element, [...taken, String(index)]);
      });
    } else if (value?.type === Type.array) walk(elementAt(value, Number(name)), [...taken, name]);
    else walk(value?.type === Type.object ? findField(value, Buffer.from(name)) : undefined, [...taken, name]);
  }

  walk(document, []);
  return found;
}
