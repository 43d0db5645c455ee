import { invalidBson } from '../errors.js';

/** BSON's type bytes (bsonspec.org); minKey is 0xff as read unsigned. */
export const Type = {
  double: 1,
  string: 2,
  object: 3,
  array: 4,
  binary: 5,
  undefined: 6,
  objectId: 7,
  bool: 8,
  date: 9,
  null: 10,
  regex: 11,
  dbPointer: 12,
  code: 13,
  symbol: 14,
  codeWithScope: 15,
  int32: 16,
  timestamp: 17,
  int64: 18,
  decimal: 19,
  maxKey: 127,
  minKey: 255,
} as const;

/** One BSON value where it lies: its type byte and the bytes from `start` to `end` (without type and name). Never copied, never changed. */
export interface RawValue {
  readonly type: number;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

const MAX_DEPTH = 200; // MongoDB's own limit is 180 to 200 levels

/** Whether a value is a document or an array. Never throws. */
export function isContainer(value: RawValue): boolean {
  return value.type === Type.object || value.type === Type.array;
}

/** A whole document's bytes as a value. The bytes must have been validated. Never throws. */
export function rawDocument(bytes: Buffer, start = 0): RawValue {
  return { type: Type.object, bytes, start, end: start + bytes.readInt32LE(start) };
}

/** The bytes of a value without type and name, shared, not copied. Never throws. */
export function bytesOf(value: RawValue): Buffer {
  return value.bytes.subarray(value.start, value.end);
}

/** Where a value of this type that begins at `at` ends; only for validated bytes. Throws InvalidBSON on an unknown type. */
export function valueEnd(bytes: Buffer, type: number, at: number): number {
  switch (type) {
    case Type.double:
    case Type.date:
    case Type.timestamp:
    case Type.int64:
      return at + 8;
    case Type.string:
    case Type.code:
    case Type.symbol:
      return at + 4 + bytes.readInt32LE(at);
    case Type.object:
    case Type.array:
    case Type.codeWithScope:
      return at + bytes.readInt32LE(at);
    case Type.binary:
      return at + 5 + bytes.readInt32LE(at);
    case Type.undefined:
    case Type.null:
    case Type.minKey:
    case Type.maxKey:
      return at;
    case Type.objectId:
      return at + 12;
    case Type.bool:
      return at + 1;
    case Type.regex:
      return bytes.indexOf(0, bytes.indexOf(0, at) + 1) + 1;
    case Type.dbPointer:
      return at + 4 + bytes.readInt32LE(at) + 12;
    case Type.int32:
      return at + 4;
    case Type.decimal:
      return at + 16;
    default:
      throw invalidBson(`unknown BSON type ${type}`);
  }
}

/** Walks a document or array in order; stops when `visit` returns true, and then returns true. Throws only what `visit` throws. */
export function eachField(container: RawValue, visit: (name: string, value: RawValue) => boolean | undefined): boolean {
  const { bytes } = container;
  let at = container.start + 4;
  for (;;) {
    const type = bytes[at] ?? 0;
    if (type === 0) return false;
    let nameEnd = at + 1;
    while (bytes[nameEnd] !== 0) nameEnd++;
    const start = nameEnd + 1;
    const end = valueEnd(bytes, type, start);
    if (visit(bytes.toString('utf8', at + 1, nameEnd), { type, bytes, start, end }) === true) return true;
    at = end;
  }
}

/** Like eachField, without decoding the names: for arrays. */
export function eachElement(
  container: RawValue,
  visit: (value: RawValue, index: number) => boolean | undefined,
): boolean {
  const { bytes } = container;
  let at = container.start + 4;
  for (let index = 0; ; index++) {
    const type = bytes[at] ?? 0;
    if (type === 0) return false;
    let start = at + 1;
    while (bytes[start] !== 0) start++;
    start++;
    const end = valueEnd(bytes, type, start);
    if (visit({ type, bytes, start, end }, index) === true) return true;
    at = end;
  }
}

/** The field of this name (its UTF-8 bytes), or undefined. The first one when there are several. Never throws. */
export function findField(container: RawValue, name: Buffer): RawValue | undefined {
  const { bytes } = container;
  const { length } = name;
  let at = container.start + 4;
  for (;;) {
    const type = bytes[at] ?? 0;
    if (type === 0) return undefined;
    let i = 0;
    const nameAt = at + 1;
    while (i < length && bytes[nameAt + i] === name[i]) i++;
    let nameEnd = nameAt + i;
    const found = i === length && bytes[nameEnd] === 0;
    while (bytes[nameEnd] !== 0) nameEnd++;
    const start = nameEnd + 1;
    const end = valueEnd(bytes, type, start);
    if (found) return { type, bytes, start, end };
    at = end;
  }
}

/** The field of this name, or undefined. Never throws. */
export function field(container: RawValue, name: string): RawValue | undefined {
  return findField(container, Buffer.from(name));
}

/** All elements of an array, in order. Never throws. */
export function elements(array: RawValue): RawValue[] {
  const list: RawValue[] = [];
  eachElement(array, (value) => {
    list.push(value);
    return false;
  });
  return list;
}

/** All fields of a document as [name, value], in order. Never throws. */
export function fields(document: RawValue): [string, RawValue][] {
  const list: [string, RawValue][] = [];
  eachField(document, (name, value) => {
    list.push([name, value]);
    return false;
  });
  return list;
}

/** The text of a string, code or symbol. Never throws. */
export function textOf(value: RawValue): string {
  return value.bytes.toString('utf8', value.start + 4, value.end - 1);
}

function cstringEnd(bytes: Buffer, at: number, limit: number): number {
  const end = bytes.indexOf(0, at);
  if (end < 0 || end >= limit) throw invalidBson('a name runs past its document');
  return end + 1;
}

function sized(bytes: Buffer, at: number, limit: number, least: number): number {
  if (at + 4 > limit) throw invalidBson('a length runs past its document');
  const length = bytes.readInt32LE(at);
  if (length < least || at + length > limit) throw invalidBson(`a length of ${length} does not fit its document`);
  return length;
}

/** Walks all of a document that begins at `at` and must end at or before `limit`; returns its end. Throws InvalidBSON (22) on anything that is not BSON. */
export function validateDocument(bytes: Buffer, at: number, limit: number, depth = 0): number {
  if (depth > MAX_DEPTH) throw invalidBson(`nested deeper than ${MAX_DEPTH} levels`);
  const end = at + sized(bytes, at, limit, 5);
  if (bytes[end - 1] !== 0) throw invalidBson('a document without its end');
  let position = at + 4;
  for (;;) {
    const type = bytes[position] ?? 0;
    if (type === 0) {
      if (position !== end - 1) throw invalidBson('a document that ends too early');
      return end;
    }
    position = validateValue(bytes, type, cstringEnd(bytes, position + 1, end - 1), end - 1, depth);
  }
}

function textEnd(bytes: Buffer, at: number, limit: number): number {
  if (at + 5 > limit) throw invalidBson('a string runs past its document');
  const end = at + 4 + bytes.readInt32LE(at);
  if (end < at + 5 || end > limit || bytes[end - 1] !== 0) throw invalidBson('a string that does not fit its document');
  return end;
}

function validateValue(bytes: Buffer, type: number, at: number, limit: number, depth: number): number {
  let end: number;
  switch (type) {
    case Type.string:
    case Type.code:
    case Type.symbol:
    case Type.dbPointer:
      end = textEnd(bytes, at, limit);
      if (type === Type.dbPointer) end += 12;
      break;
    case Type.object:
    case Type.array:
      return validateDocument(bytes, at, limit, depth + 1);
    case Type.codeWithScope: {
      end = at + sized(bytes, at, limit, 14);
      const scopeAt = textEnd(bytes, at + 4, end);
      if (validateDocument(bytes, scopeAt, end, depth + 1) !== end) throw invalidBson('code with a wrong length');
      return end;
    }
    case Type.binary:
      if (at + 5 > limit) throw invalidBson('a binary runs past its document');
      end = at + 5 + bytes.readInt32LE(at);
      if (end < at + 5) throw invalidBson('a binary of negative length');
      break;
    case Type.regex:
      return cstringEnd(bytes, cstringEnd(bytes, at, limit), limit);
    case Type.bool:
      if ((bytes[at] ?? 2) > 1) throw invalidBson('a boolean that is neither');
      end = at + 1;
      break;
    default:
      end = valueEnd(bytes, type, at);
  }
  if (end > limit) throw invalidBson('a value runs past its document');
  return end;
}
