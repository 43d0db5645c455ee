import { compareValues } from '../bson/compare.js';
import { eachElement, fields, findField, type RawValue, Type } from '../bson/raw-value.js';
import { integerOf, NULL, UNDEFINED } from '../bson/values.js';
import { badValue, notImplemented } from '../errors.js';
import { type Path, pathOf } from './path.js';

/** One part of a sort: 1 ascending, −1 descending. */
export interface SortPart {
  readonly path: Path;
  readonly direction: 1 | -1;
}

/** Reads a sort document. Throws BadValue on directions other than 1 and −1, NotImplemented on $meta. */
export function parseSort(source: RawValue | undefined): SortPart[] {
  if (source === undefined || source.type === Type.null) return [];
  if (source.type !== Type.object) throw badValue('a sort must be a document');
  return fields(source).map(([name, value]) => {
    if (value.type === Type.object) throw notImplemented('$meta in a sort');
    const direction = integerOf(value, name);
    if (direction !== 1 && direction !== -1) throw badValue(`$sort key ordering must be 1 or -1: ${name}`);
    if (name === '' || name.startsWith('$')) throw badValue(`a sort cannot use the name '${name}'`);
    return { path: pathOf(name), direction };
  });
}

/** The least or greatest value that a path leads to, as MongoDB sorts arrays: an empty one is below null, a missing value is null. */
function sortValue(container: RawValue, path: Path, depth: number, direction: 1 | -1): RawValue {
  let best: RawValue | undefined;
  const offer = (value: RawValue): void => {
    if (best === undefined || compareValues(value, best) * direction < 0) best = value;
  };
  const value = findField(container, path.parts[depth] as Buffer);
  const last = depth === path.parts.length - 1;
  if (value === undefined) return NULL;
  if (value.type === Type.array) {
    const position = last ? undefined : findField(value, path.parts[depth + 1] as Buffer);
    if (position !== undefined) {
      if (depth + 2 === path.parts.length) offer(position);
      else if (position.type === Type.object) offer(sortValue(position, path, depth + 2, direction));
    } else {
      eachElement(value, (element) => {
        if (last) offer(element);
        else offer(element.type === Type.object ? sortValue(element, path, depth + 1, direction) : NULL);
        return false;
      });
    }
    return best ?? (last ? UNDEFINED : NULL);
  }
  if (last) return value;
  return value.type === Type.object ? sortValue(value, path, depth + 1, direction) : NULL;
}

/** The values a document sorts by. Never throws. */
export function sortKey(document: RawValue, parts: readonly SortPart[]): RawValue[] {
  return parts.map(({ path, direction }) => sortValue(document, path, 0, direction));
}

/** Compares two sort keys. Never throws. */
export function compareSortKeys(a: readonly RawValue[], b: readonly RawValue[], parts: readonly SortPart[]): number {
  for (let i = 0; i < parts.length; i++) {
    const order = compareValues(a[i] as RawValue, b[i] as RawValue);
    if (order !== 0) return order * (parts[i] as SortPart).direction;
  }
  return 0;
}
