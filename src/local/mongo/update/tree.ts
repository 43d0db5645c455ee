import { eachField, isContainer, type RawValue, Type } from '../bson/raw-value.js';
import { NULL } from '../bson/values.js';
import { type BsonWriter, bsonWriter } from '../bson/writer.js';
import { badValue, StoreError } from '../errors.js';

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
}

const MAX_PADDING = 1500; // nulls put before a position beyond an array's end; MongoDB allows 1,500,000

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

function positionOf(name: string): number | undefined {
  return /^(0|[1-9]\d{0,8})$/.test(name) ? Number(name) : undefined;
}

function lookUp(node: Node, name: string): Entry | undefined {
  if (node.type !== Type.array) return node.entries.find((entry) => entry.name === name);
  const position = positionOf(name);
  return position === undefined ? undefined : node.entries[position];
}

function notViable(path: string, name: string): StoreError {
  return new StoreError(
    28,
    'PathNotViable',
    `Cannot create field '${name}' in the path '${path}': what holds it is no document`,
  );
}

/** Puts a value at a slot, padding an array with nulls up to its position. Throws PathNotViable for a name in an array. */
export function put(slot: Slot, value: RawValue | Node): void {
  if (slot.entry !== undefined) {
    slot.entry.value = value;
    return;
  }
  if (slot.parent.type === Type.array) {
    const position = positionOf(slot.name);
    if (position === undefined) throw notViable(slot.name, slot.name);
    if (position - slot.parent.entries.length > MAX_PADDING)
      throw badValue(`position ${position} is too far beyond the end of the array`);
    while (slot.parent.entries.length < position) slot.parent.entries.push({ name: '', value: NULL });
  }
  slot.parent.entries.push({ name: slot.name, value });
}

/** Finds the end of a path. With `create`, missing documents on the way are made (only once something is put); without, a missing way gives undefined.
 * Throws PathNotViable (28) when the way leads through something that is neither document nor array, if `create`. */
export function slotOf(root: Node, names: readonly string[], create: boolean): Slot | undefined {
  let node = root;
  const made: { slot: Slot; node: Node }[] = [];
  for (let i = 0; ; i++) {
    const name = names[i] as string;
    if (node.type === Type.array && positionOf(name) === undefined) {
      if (create) throw notViable(names.join('.'), name);
      return undefined;
    }
    const entry = lookUp(node, name);
    if (i === names.length - 1) {
      if (entry === undefined && !create) return undefined;
      for (const { slot, node: child } of made) put(slot, child);
      return { parent: node, name, entry };
    }
    if (entry === undefined) {
      if (!create) return undefined;
      const child: Node = { type: Type.object, entries: [] };
      made.push({ slot: { parent: node, name, entry: undefined }, node: child });
      node = child;
    } else {
      if (!isNode(entry.value)) {
        if (!isContainer(entry.value)) {
          if (create) throw notViable(names.join('.'), names[i + 1] as string);
          return undefined;
        }
        entry.value = openNode(entry.value);
      }
      node = entry.value;
    }
  }
}

/** Takes a field away; in an array its place becomes null. Never throws. */
export function unset(slot: Slot): void {
  if (slot.entry === undefined) return;
  if (slot.parent.type === Type.array) slot.entry.value = NULL;
  else slot.parent.entries.splice(slot.parent.entries.indexOf(slot.entry), 1);
}
