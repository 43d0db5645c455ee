import { eachElement, eachField, isContainer, type RawValue, Type } from '../bson/raw-value.js';
import { NULL } from '../bson/values.js';
import { type BsonWriter, bsonWriter } from '../bson/writer.js';
import { StoreError } from '../errors.js';
import type { Names } from './paths.js';

/** A document or array that is being changed: what is not touched stays as the bytes it was. */
export interface Node {
  readonly type: number;
  readonly entries: Entry[];
}

/** One field; `value` is raw until something below it is changed. */
export interface Entry {
  readonly name: string;
  value: RawValue | Node;
}

/** What an update finds at the end of a path. */
export interface Slot {
  readonly parent: Node;
  readonly name: string;
  readonly entry: Entry | undefined;
  /** The whole path, of which `name` is a part. */
  readonly path: Names;
  /** Whether the way there leads through an array. */
  readonly inArray: boolean;
}

/** How a path is followed. `make`: missing documents on it are made; `reach`: where something is missing there is no slot; `find`: nor where the way leads through a value that holds no
 * fields, which for the others is PathNotViable. */
export type Way = 'make' | 'reach' | 'find';

const MAX_PADDING = 1_500_000; // nulls put before a position beyond an array's end, as in MongoDB

/** Whether a value was opened for changes. Never throws. */
export function isNode(value: RawValue | Node): value is Node {
  return 'entries' in value;
}

/** Opens a document or array, one level deep. Never throws. */
export function openNode(value: RawValue): Node {
  const entries: Entry[] = [];
  eachField(value, (name, child) => {
    entries.push({ name, value: child });
    return false;
  });
  return { type: value.type, entries };
}

function writeEntries(writer: BsonWriter, node: Node): void {
  node.entries.forEach(({ name, value }, position) => {
    const label = node.type === Type.array ? String(position) : name;
    if (isNode(value)) {
      writer.begin(label, value.type);
      writeEntries(writer, value);
      writer.end();
    } else writer.value(label, value);
  });
}

/** The bytes of a changed document, in what `allocate` gives. Never throws. */
export function closeNode(node: Node, capacity: number, allocate?: (bytes: number) => Buffer): Buffer {
  const writer = bsonWriter(capacity, allocate);
  writeEntries(writer, node);
  return writer.finish();
}

/** A value as raw bytes, whether it was opened or not. Never throws. */
export function rawOf(value: RawValue | Node): RawValue {
  if (!isNode(value)) return value;
  const bytes = closeNode(value, 256);
  return { type: value.type, bytes, start: 0, end: bytes.length };
}

/** The element of an array at a position, or undefined. Never throws. */
export function elementAt(array: RawValue, position: number): RawValue | undefined {
  let found: RawValue | undefined;
  eachElement(array, (element, index) => {
    if (index === position) found = element;
    return index === position;
  });
  return found;
}

function positionOf(name: string): number | undefined {
  return /^(0|[1-9]\d{0,14})$/.test(name) ? Number(name) : undefined;
}

function lookUp(node: Node, name: string): Entry | undefined {
  if (node.type !== Type.array) return node.entries.find((entry) => entry.name === name);
  const position = positionOf(name);
  return position === undefined ? undefined : node.entries[position];
}

function notViable(names: Names, at: number, what: string): StoreError {
  return new StoreError(
    28,
    'PathNotViable',
    `Cannot create field '${names[at]}' in path '${names.join('.')}': '${names.slice(0, at).join('.')}' is ${what}`,
  );
}

/** Puts a value at a slot that was made, padding an array with nulls up to its position. Throws CannotBackfillArray (34) when that is too far. */
export function put(slot: Slot, value: RawValue | Node): void {
  const { parent, name, entry, path } = slot;
  if (entry !== undefined) {
    entry.value = value;
    return;
  }
  if (parent.type === Type.array) {
    const position = Number(name);
    if (position - parent.entries.length > MAX_PADDING) {
      throw new StoreError(
        34,
        'CannotBackfillArray',
        `can't backfill more than ${MAX_PADDING} elements, for position ${name} of path '${path.join('.')}'`,
      );
    }
    while (parent.entries.length < position) parent.entries.push({ name: '', value: NULL });
  }
  parent.entries.push({ name, value });
}

/** Finds the end of a path; undefined where it is missing and `way` is not `make`. Throws PathNotViable (28) as `way` says, and 34 as `put`. */
export function slotOf(root: Node, names: Names, way: Way): Slot | undefined {
  let node = root;
  let inArray = false;
  const made: { slot: Slot; node: Node }[] = [];
  for (let i = 0; ; i++) {
    const name = names[i] as string;
    if (node.type === Type.array) {
      inArray = true;
      if (positionOf(name) === undefined) {
        if (way !== 'find') throw notViable(names, i, 'an array');
        return undefined;
      }
    }
    const entry = lookUp(node, name);
    if (entry === undefined && way !== 'make') return undefined;
    if (i === names.length - 1) {
      for (const { slot, node: child } of made) put(slot, child);
      return { parent: node, name, entry, path: names, inArray };
    }
    if (entry === undefined) {
      const child: Node = { type: Type.object, entries: [] };
      made.push({ slot: { parent: node, name, entry: undefined, path: names, inArray }, node: child });
      node = child;
    } else {
      if (!isNode(entry.value)) {
        if (!isContainer(entry.value)) {
          if (way !== 'find') throw notViable(names, i + 1, 'neither a document nor an array');
          return undefined;
        }
        entry.value = openNode(entry.value);
      }
      node = entry.value;
    }
  }
}

/** The end of a path, made where it is missing. Throws as slotOf. */
export function madeSlot(root: Node, names: Names): Slot {
  const slot = slotOf(root, names, 'make');
  if (slot === undefined) throw new Error(`no end of the path ${names.join('.')}`);
  return slot;
}

/** Takes a field away; in an array its place becomes null. Never throws. */
export function unset(slot: Slot): void {
  if (slot.entry === undefined) return;
  if (slot.parent.type === Type.array) slot.entry.value = NULL;
  else slot.parent.entries.splice(slot.parent.entries.indexOf(slot.entry), 1);
}
