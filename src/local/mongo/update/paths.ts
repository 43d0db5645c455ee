import { badValue, StoreError } from '../errors.js';

/** A path of an update: names, array positions, and the positional `$`, `$[]` and `$[identifier]`. */
export type Names = readonly string[];

/** Whether a part is `$[]` or `$[identifier]`. Never throws. */
export function isElements(name: string): boolean {
  return name.startsWith('$[') && name.endsWith(']');
}

/** Whether a path has to be put in concrete terms for each document. Never throws. */
export function isPositional(names: Names): boolean {
  return names.some((name) => name === '$' || isElements(name));
}

/** Cuts the path of an update up. Throws EmptyFieldName (56), BadValue (2) on a positional part where none can be, DollarPrefixedFieldName (52) on a first name with a dollar:
 * below it, MongoDB stores such names since 5.0. */
export function namesOf(path: string): string[] {
  const names = path.split('.');
  const [first] = names as [string];
  if (names.includes('')) {
    const text =
      path === ''
        ? 'An empty update path is not valid.'
        : `The update path '${path}' contains an empty field name, which is not allowed.`;
    throw new StoreError(56, 'EmptyFieldName', text);
  }
  if (!path.includes('$')) return names;
  if (names.indexOf('$') !== names.lastIndexOf('$'))
    throw badValue(`Too many positional (i.e. '$') elements found in path '${path}'`);
  if (first === '$')
    throw badValue(`Cannot have positional (i.e. '$') element in the first position in path '${path}'`);
  if (isElements(first))
    throw badValue(
      `Cannot have array filter identifier (i.e. '$[<id>]') element in the first position in path '${path}'`,
    );
  if (first.startsWith('$')) {
    throw new StoreError(
      52,
      'DollarPrefixedFieldName',
      `The dollar ($) prefixed field '${first}' in '${path}' is not valid for storage: an aggregation pipeline with $replaceWith can set it`,
    );
  }
  return names;
}

const DIGITS = /^\d+$/;

/** The order in which MongoDB (5.0 and later) carries out the changes of one update: by name, numbers as numbers. Never throws. */
export function comparePaths(a: Names, b: Names): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const left = a[i] as string;
    const right = b[i] as string;
    if (left === right) continue;
    if (DIGITS.test(left) && DIGITS.test(right)) return Number(left) - Number(right);
    return left < right ? -1 : 1;
  }
  return a.length - b.length;
}

function conflict(path: string, at: string): StoreError {
  return new StoreError(
    40,
    'ConflictingUpdateOperators',
    `Updating the path '${path}' would create a conflict at '${at}'`,
  );
}

/** Checks that no path is another or leads through another, and that below one array all are named or all are `$[…]`. Throws ConflictingUpdateOperators (40). */
export function checkConflicts(steps: readonly { readonly names: Names }[]): void {
  if (steps.length < 2) return;
  const ends = new Set<string>();
  const ways = new Map<string, boolean>();
  for (const { names } of steps) {
    let path = names[0] as string;
    for (let i = 1; i < names.length; i++) {
      const next = names[i] as string;
      const known = ways.get(path);
      if (ends.has(path) || (known ?? isElements(next)) !== isElements(next)) throw conflict(names.join('.'), path);
      ways.set(path, isElements(next));
      path = `${path}.${next}`;
    }
    if (ends.has(path) || ways.has(path)) throw conflict(path, path);
    ends.add(path);
  }
}
