import { eachElement, findField, type RawValue, Type } from '../bson/raw-value.js';

/** A dotted path, cut up: names as bytes for the search, as text for array positions. */
export interface Path {
  readonly text: string;
  readonly parts: readonly Buffer[];
  readonly names: readonly string[];
}

/** What is asked of each value a path leads to; undefined is a missing one. True ends the walk. */
export type Visit = (value: RawValue | undefined, trail?: Trail) => boolean;

/** The arrays that a match went through, innermost first: the array's path, the position of the element that matched, and whether the query gave that position itself. */
export type Trail = { readonly array: string; readonly position: number; readonly given: boolean }[];

/** Cuts a dotted path up. Never throws. */
export function pathOf(text: string): Path {
  const names = text.split('.');
  return { text, names, parts: names.map((name) => Buffer.from(name)) };
}

function leaf(value: RawValue | undefined, path: Path, spread: boolean, visit: Visit, trail?: Trail): boolean {
  if (spread && value?.type === Type.array) {
    const found = eachElement(value, (element, position) => {
      if (!visit(element)) return false;
      trail?.push({ array: path.text, position, given: false });
      return true;
    });
    if (found) return true;
  }
  return visit(value, trail);
}

function intoArray(array: RawValue, path: Path, depth: number, spread: boolean, visit: Visit, trail?: Trail): boolean {
  const name = path.names[depth] as string;
  const position = /^(0|[1-9]\d*)$/.test(name) ? Number(name) : -1;
  const last = depth === path.names.length - 1;
  const note = (index: number, given: boolean): true => {
    trail?.push({ array: path.names.slice(0, depth).join('.'), position: index, given });
    return true;
  };
  return eachElement(array, (element, index) => {
    if (element.type === Type.object && intoObject(element, path, depth, spread, visit, trail))
      return note(index, false);
    if (index !== position) return false;
    // What a position itself leads to is taken as it is, an array too.
    if (last) return visit(element, trail) && note(index, true);
    if (element.type === Type.object)
      return intoObject(element, path, depth + 1, spread, visit, trail) && note(index, true);
    return (
      element.type === Type.array && intoArray(element, path, depth + 1, spread, visit, trail) && note(index, true)
    );
  });
}

function intoObject(
  object: RawValue,
  path: Path,
  depth: number,
  spread: boolean,
  visit: Visit,
  trail?: Trail,
): boolean {
  const value = findField(object, path.parts[depth] as Buffer);
  if (depth === path.parts.length - 1) return leaf(value, path, spread, visit, trail);
  if (value?.type === Type.object) return intoObject(value, path, depth + 1, spread, visit, trail);
  if (value?.type === Type.array) return intoArray(value, path, depth + 1, spread, visit, trail);
  return visit(undefined, trail);
}

/** Visits every value that a path leads to, as MongoDB's queries walk it: through arrays into the documents in them, by position where a part is
 * a number; with `spread` the elements of an array at the end, then the array itself. Where the walk ends with true, `trail` is told which array elements it went through.
 * Never throws but for `visit`. */
export function visitPath(document: RawValue, path: Path, spread: boolean, visit: Visit, trail?: Trail): boolean {
  return intoObject(document, path, 0, spread, visit, trail);
}
