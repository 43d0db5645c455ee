import { typeOrder } from '../bson/compare.js';
import { residualOf, toDouble } from '../bson/numbers.js';
import { type RawValue, Type, valueEnd } from '../bson/raw-value.js';
import { notImplemented } from '../errors.js';

/** The longest index key that is kept, in bytes, less the 4 of the index's number and the 6 of the record's (lmdb's keys end at 1,978). */
export const MAX_KEY_BYTES = 1960;

const CLIP = MAX_KEY_BYTES + 64; // what is longer is refused or, as a bound, cut: no need to write all of a long text
const RESIDUAL_BYTES = 12;
const RESIDUAL_OFFSET = 1n << 95n;

let scratch = Buffer.allocUnsafe(8192);
let at = 0;
let clip = CLIP;

function room(bytes: number): void {
  if (at + bytes <= scratch.length) return;
  const grown = Buffer.allocUnsafe(Math.max(scratch.length * 2, at + bytes));
  scratch.copy(grown, 0, 0, at);
  scratch = grown;
}

function putBytes(bytes: Buffer, start: number, end: number): void {
  const stop = Math.min(end, start + clip);
  room(stop - start);
  bytes.copy(scratch, at, start, stop);
  at += stop - start;
}

/** Text that ends: 00 is written 00 ff, the end 00 00, so that a shorter text sorts before what it begins. */
function putText(bytes: Buffer, start: number, end: number): void {
  const stop = Math.min(end, start + clip);
  room((stop - start) * 2 + 2);
  for (let i = start; i < stop; i++) {
    const byte = bytes[i] ?? 0;
    scratch[at++] = byte;
    if (byte === 0) scratch[at++] = 0xff;
  }
  scratch[at++] = 0;
  scratch[at++] = 0;
}

function putNumber(value: RawValue): void {
  room(32);
  const near = toDouble(value);
  if (Number.isNaN(near)) {
    scratch.fill(0, at, at + 8); // below −Infinity
    at += 8;
  } else {
    scratch.writeDoubleBE(near === 0 ? 0 : near, at);
    if ((scratch[at] ?? 0) & 0x80) for (let i = 0; i < 8; i++) scratch[at + i] = ~(scratch[at + i] ?? 0) & 0xff;
    else scratch[at] = (scratch[at] ?? 0) | 0x80;
    at += 8;
  }
  const residual = residualOf(value);
  if (residual === undefined) throw notImplemented('decimals beyond the range of doubles in an index');
  if (residual === 0n) {
    scratch[at++] = 0x80;
    return;
  }
  scratch[at++] = residual < 0n ? 0x40 : 0xc0;
  const hex = (residual + RESIDUAL_OFFSET).toString(16).padStart(RESIDUAL_BYTES * 2, '0');
  at += scratch.write(hex, at, RESIDUAL_BYTES, 'hex');
}

function putContainer(value: RawValue): void {
  const { bytes } = value;
  let position = value.start + 4;
  for (;;) {
    const type = bytes[position] ?? 0;
    room(2);
    if (type === 0 || at > clip) {
      scratch[at++] = 0;
      return;
    }
    scratch[at++] = typeOrder(type);
    const nameStart = position + 1;
    let nameEnd = nameStart;
    while (bytes[nameEnd] !== 0) nameEnd++;
    if (value.type === Type.object) putBytes(bytes, nameStart, nameEnd + 1);
    const start = nameEnd + 1;
    const end = valueEnd(bytes, type, start);
    putValue({ type, bytes, start, end });
    position = end;
  }
}

function putValue(value: RawValue): void {
  const { type, bytes, start, end } = value;
  room(16);
  scratch[at++] = typeOrder(type);
  switch (type) {
    case Type.int32:
    case Type.int64:
    case Type.double:
    case Type.decimal:
      putNumber(value);
      break;
    case Type.string:
    case Type.symbol:
    case Type.code:
      putText(bytes, start + 4, end - 1);
      break;
    case Type.object:
    case Type.array:
      putContainer(value);
      break;
    case Type.binary:
      scratch.writeUInt32BE(bytes.readUInt32LE(start), at);
      at += 4;
      putBytes(bytes, start + 4, end);
      break;
    case Type.date:
      scratch.writeBigUInt64BE(BigInt.asUintN(64, bytes.readBigInt64LE(start) + (1n << 63n)), at);
      at += 8;
      break;
    case Type.timestamp:
      scratch.writeBigUInt64BE(bytes.readBigUInt64LE(start), at);
      at += 8;
      break;
    case Type.objectId:
    case Type.bool:
    case Type.regex:
      putBytes(bytes, start, end);
      break;
    case Type.null:
    case Type.undefined:
    case Type.minKey:
    case Type.maxKey:
      break;
    default:
      throw notImplemented(`values of BSON type ${type} in an index`);
  }
}

/** The order-preserving bytes of some values after an index's number: comparing them as bytes is comparing the values in BSON's order, each in its
 * direction (−1 inverts its bytes). No value's bytes are the beginning of another's. May be longer than MAX_KEY_BYTES. Throws NotImplemented for the few
 * values that have no such form. */
export function encodeKey(indexId: number, values: readonly RawValue[], directions: readonly number[]): Buffer {
  at = 0;
  room(16);
  scratch.writeUInt32BE(indexId, 0);
  at = 4;
  for (let i = 0; i < values.length; i++) {
    const begin = at;
    putValue(values[i] as RawValue);
    if ((directions[i] ?? 1) < 0) for (let j = begin; j < at; j++) scratch[j] = ~(scratch[j] ?? 0) & 0xff;
  }
  return Buffer.from(scratch.subarray(0, at));
}

/** The bytes of one value, however long they are: they are the same exactly when values are equal in BSON's order. Throws as encodeKey. */
export function encodeWhole(value: RawValue): Buffer {
  clip = Number.POSITIVE_INFINITY;
  try {
    return encodeKey(0, [value], [1]);
  } finally {
    clip = CLIP;
  }
}

/** The first byte of every key of a type's place in the order; inverted for a descending part. Never throws. */
export function typeByte(type: number, direction: number): number {
  return direction < 0 ? ~typeOrder(type) & 0xff : typeOrder(type);
}

/** The smallest bytes that are above everything that begins with these, or undefined when there are none. Never throws. */
export function successor(prefix: Buffer): Buffer | undefined {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] ?? 0;
    if (byte < 0xff) {
      const next = Buffer.from(prefix.subarray(0, i + 1));
      next[i] = byte + 1;
      return next;
    }
  }
  return undefined;
}

/** A key of a record: its collection's number and its own. Never throws below 2^48 records. */
export function recordKey(collectionId: number, record: number): Buffer {
  const key = Buffer.allocUnsafe(10);
  key.writeUInt32BE(collectionId, 0);
  key.writeUIntBE(record, 4, 6);
  return key;
}
