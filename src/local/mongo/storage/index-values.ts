import { eachElement, findField, isContainer, type RawValue, Type } from '../bson/raw-value.js';
import { NULL, UNDEFINED } from '../bson/values.js';
import { StoreError } from '../errors.js';

/** What a document has for the paths of an index: one row of values a key, which paths went through an array, and which rows have any of the paths at all (those that a sparse index holds). */
export interface IndexRows {
  readonly rows: readonly (readonly RawValue[])[];
  readonly multikey: readonly boolean[];
  readonly present: readonly boolean[];
}

interface Pending {
  /** Where the walk stands; undefined: the value is missing. */
  value: RawValue | undefined;
  /** The parts still to go. */
  depth: number;
}

/** The rows of index values of a document: each element of an array is a row of its own, a missing value is null, an empty array undefined.
 * Paths that share an array are expanded together. Throws CannotIndexParallelArrays (171) on two different arrays. */
export function indexRows(document: RawValue, paths: readonly (readonly Buffer[])[]): IndexRows {
  const rows: RawValue[][] = [];
  const multikey = paths.map(() => false);
  const present: boolean[] = [];

  function expand(start: readonly Pending[]): void {
    let array: RawValue | undefined;
    const state = start.map((pending, index) => {
      const parts = paths[index] as readonly Buffer[];
      let { value, depth } = pending;
      while (depth < parts.length && value?.type === Type.object) {
        value = findField(value, parts[depth] as Buffer);
        depth++;
      }
      if (depth < parts.length && value?.type !== Type.array) value = undefined;
      const open = value?.type === Type.array && pending.depth <= parts.length;
      if (open && value !== undefined) {
        if (array === undefined) array = value;
        else if (array.start !== value.start || array.bytes !== value.bytes) {
          throw new StoreError(171, 'CannotIndexParallelArrays', 'cannot index parallel arrays');
        }
        multikey[index] = true;
      }
      return { value, depth, open };
    });
    if (array === undefined) {
      present.push(state.some((one) => one.value !== undefined));
      rows.push(state.map((one) => one.value ?? NULL));
      return;
    }
    let any = false;
    eachElement(array, (element) => {
      any = true;
      expand(
        state.map((one, index): Pending => {
          if (!one.open) return { value: one.value, depth: one.depth };
          const parts = paths[index] as readonly Buffer[];
          // An element that ends the path is the value itself, even when it is an array again.
          if (one.depth === parts.length) return { value: element, depth: parts.length + 1 };
          return { value: element.type === Type.object ? element : undefined, depth: one.depth };
        }),
      );
      return false;
    });
    if (!any) {
      const row = state.map((one, index) => {
        if (!one.open) return one.value;
        return one.depth === (paths[index] as readonly Buffer[]).length ? UNDEFINED : undefined;
      });
      present.push(row.some((one) => one !== undefined));
      rows.push(row.map((one) => one ?? NULL));
    }
  }

  const first = paths.length === 1 ? findField(document, paths[0]?.[0] as Buffer) : undefined;
  if (paths.length === 1 && paths[0]?.length === 1 && (first === undefined || !isContainer(first))) {
    return { rows: [[first ?? NULL]], multikey, present: [first !== undefined] };
  }
  expand(paths.map(() => ({ value: document, depth: 0 })));
  return { rows, multikey, present };
}
