import { ObjectId } from 'bson';
import { typeMismatch } from '../errors.js';
import { type RawValue, Type, textOf } from './raw-value.js';

const EMPTY = Buffer.alloc(0);

function whole(type: number, bytes: Buffer): RawValue {
  return { type, bytes, start: 0, end: bytes.length };
}

/** BSON null. */
export const NULL: RawValue = whole(Type.null, EMPTY);
/** BSON undefined, which an index holds for an empty array. */
export const UNDEFINED: RawValue = whole(Type.undefined, EMPTY);

/** BSON true. */
export const TRUE: RawValue = whole(Type.bool, Buffer.from([1]));
/** BSON false. */
export const FALSE: RawValue = whole(Type.bool, Buffer.from([0]));

/** A 32-bit integer. Throws a RangeError outside of its range. */
export function int32(value: number): RawValue {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32LE(value);
  return whole(Type.int32, bytes);
}

/** A 64-bit integer. Throws a RangeError outside of its range. */
export function int64(value: bigint): RawValue {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64LE(value);
  return whole(Type.int64, bytes);
}

/** A double. Never throws. */
export function double(value: number): RawValue {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeDoubleLE(value);
  return whole(Type.double, bytes);
}

/** A string. Never throws. */
export function string(value: string): RawValue {
  const length = Buffer.byteLength(value);
  const bytes = Buffer.alloc(length + 5);
  bytes.writeInt32LE(length + 1);
  bytes.write(value, 4);
  return whole(Type.string, bytes);
}

/** A date, in ms since 1970. Never throws. */
export function date(ms: number): RawValue {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64LE(BigInt(ms));
  return whole(Type.date, bytes);
}

/** A timestamp of seconds since 1970 and a counter. Never throws. */
export function timestamp(seconds: number, counter: number): RawValue {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeUInt32LE(counter, 0);
  bytes.writeUInt32LE(seconds, 4);
  return whole(Type.timestamp, bytes);
}

/** A new ObjectId, as MongoDB's server makes one for a document that comes without. Never throws. */
export function newObjectId(): RawValue {
  return whole(Type.objectId, Buffer.from(new ObjectId().id));
}

/** An integer option of a command (int32, int64 or a whole double). Throws TypeMismatch naming it. */
export function integerOf(value: RawValue, name: string): number {
  let number: number;
  if (value.type === Type.int32) number = value.bytes.readInt32LE(value.start);
  else if (value.type === Type.int64) number = Number(value.bytes.readBigInt64LE(value.start));
  else if (value.type === Type.double) number = value.bytes.readDoubleLE(value.start);
  else throw typeMismatch(`field '${name}' must be a number`);
  if (!Number.isFinite(number)) throw typeMismatch(`field '${name}' must be a finite number`);
  return Math.trunc(number);
}

/** MongoDB's truth of an option: numbers other than 0 and booleans. Throws TypeMismatch naming it. */
export function flagOf(value: RawValue | undefined, name: string): boolean {
  if (value === undefined || value.type === Type.null || value.type === Type.undefined) return false;
  if (value.type === Type.bool) return value.bytes[value.start] === 1;
  if (value.type === Type.double) return value.bytes.readDoubleLE(value.start) !== 0;
  if (value.type === Type.int32 || value.type === Type.int64) return integerOf(value, name) !== 0;
  throw typeMismatch(`field '${name}' must be a boolean`);
}

/** A string option of a command. Throws TypeMismatch naming it. */
export function stringOf(value: RawValue | undefined, name: string): string {
  if (value?.type !== Type.string) throw typeMismatch(`field '${name}' must be a string`);
  return textOf(value);
}
