import { eachElement, findField, type RawValue, Type } from '../bson/raw-value.js';

/** A dotted path, cut up: names as bytes for the search, as text for array positions. */
export interface Path {
  readonly text: string;
  readonly parts: readonly Buffer[];
  readonly names: readonly string[];
}

/** What is asked of each value a path leads to; undefined is a missing one. True ends the walk. */
export type Visit = (value: RawValue | undefined) => boolean;

/** Cuts a dotted path up. Never throws. */
export function pathOf(text: string): Path {
  const names = text.split('.');
  return { text, names, parts: names.map((name) => Buffer.from(name)) };
}

function leaf(value: RawValue | undefined, spread: boolean, visit: Visit): boolean {
  if (spread && value?.type === Type.array && eachElement(value, visit)) return true;
  return visit(value);
}

function intoArray(array: RawValue, path: Path, depth: number, spread: boolean, visit: Visit): boolean {
  const name = path.names[depth] as string;
  const position = /^(0|[1-9]\d*)$/.test(name) ? Number(name) : -1;
  const last = depth === path.names.length - 1;
  return eachElement(array, (element, index) => {
    if (element.type === Type.object && intoObject(element, path, depth, spread, visit)) return true;
    if (index !== position) return false;
    if (last) return leaf(element, spread, visit);
    if (element.type === Type.object) return intoObject(element, path, depth + 1, spread, visit);
    return element.type === Type.array && intoArray(element, path, depth + 1, spread, visit);
  });
}

function intoObject(object: RawValue, path: Path, depth: number, spread: boolean, visit: Visit): boolean {
  const value = findField(object, path.parts[depth] as Buffer);
  if (depth === path.parts.length - 1) return leaf(value, spread, visit);
  if (value?.type === Type.object) return intoObject(value, path, depth + 1, spread, visit);
  if (value?.type === Type.array) return intoArray(value, path, depth + 1, spread, visit);
  return visit(undefined);
}

/** Visits every value that a path leads to, as MongoDB's queries walk it: through arrays into the documents in them, by position where a part is
 * a number; with `spread` the elements of an array at the end, then the array itself. Never throws but for `visit`. */
export function visitPath(document: RawValue, path: Path, spread: boolean, visit: Visit): boolean {
  return intoObject(document, path, 0, spread, visit);
}
