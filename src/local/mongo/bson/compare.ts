import { compareNumbers } from './numbers.js';
import { type RawValue, Type, valueEnd } from './raw-value.js';

/** The place of a type in BSON's order of types (MongoDB manual, "Comparison/Sort Order"): types with the same place compare by value. Never throws. */
export function typeOrder(type: number): number {
  switch (type) {
    case Type.minKey:
      return 1;
    case Type.undefined:
      return 8;
    case Type.null:
      return 10;
    case Type.int32:
    case Type.int64:
    case Type.double:
    case Type.decimal:
      return 20;
    case Type.string:
    case Type.symbol:
      return 30;
    case Type.object:
      return 40;
    case Type.array:
      return 50;
    case Type.binary:
      return 60;
    case Type.objectId:
      return 70;
    case Type.bool:
      return 80;
    case Type.date:
      return 90;
    case Type.timestamp:
      return 94;
    case Type.regex:
      return 100;
    case Type.dbPointer:
      return 110;
    case Type.code:
      return 120;
    case Type.codeWithScope:
      return 130;
    default:
      return 240; // maxKey
  }
}

function compareBytes(a: RawValue, b: RawValue, head: number, tail: number): number {
  return a.bytes.compare(b.bytes, b.start + head, b.end - tail, a.start + head, a.end - tail);
}

function compareContainers(a: RawValue, b: RawValue): number {
  let atA = a.start + 4;
  let atB = b.start + 4;
  for (;;) {
    const typeA = a.bytes[atA] ?? 0;
    const typeB = b.bytes[atB] ?? 0;
    if (typeA === 0 || typeB === 0) return typeA === typeB ? 0 : typeA === 0 ? -1 : 1;
    const orderA = typeOrder(typeA);
    const orderB = typeOrder(typeB);
    if (orderA !== orderB) return orderA < orderB ? -1 : 1;
    const nameA = atA + 1;
    const nameB = atB + 1;
    let startA = nameA;
    while (a.bytes[startA] !== 0) startA++;
    let startB = nameB;
    while (b.bytes[startB] !== 0) startB++;
    if (a.type === Type.object) {
      const names = a.bytes.compare(b.bytes, nameB, startB, nameA, startA);
      if (names !== 0) return names;
    }
    startA++;
    startB++;
    const endA = valueEnd(a.bytes, typeA, startA);
    const endB = valueEnd(b.bytes, typeB, startB);
    const order = compareValues(
      { type: typeA, bytes: a.bytes, start: startA, end: endA },
      { type: typeB, bytes: b.bytes, start: startB, end: endB },
    );
    if (order !== 0) return order;
    atA = endA;
    atB = endB;
  }
}

/** Compares any two values in BSON's order: by type, then by value; −1, 0 or 1. Strings by their UTF-8 bytes, binaries by
 * length, subtype, bytes; documents field by field (type, name, value), arrays element by element. Never throws. */
export function compareValues(a: RawValue, b: RawValue): number {
  const orderA = typeOrder(a.type);
  const orderB = typeOrder(b.type);
  if (orderA !== orderB) return orderA < orderB ? -1 : 1;
  switch (a.type) {
    case Type.int32:
    case Type.int64:
    case Type.double:
    case Type.decimal:
      return compareNumbers(a, b);
    case Type.string:
    case Type.symbol:
    case Type.code:
      return compareBytes(a, b, 4, 1);
    case Type.object:
    case Type.array:
      return compareContainers(a, b);
    case Type.date: {
      const left = a.bytes.readBigInt64LE(a.start);
      const right = b.bytes.readBigInt64LE(b.start);
      return left < right ? -1 : left > right ? 1 : 0;
    }
    case Type.timestamp: {
      const left = a.bytes.readBigUInt64LE(a.start);
      const right = b.bytes.readBigUInt64LE(b.start);
      return left < right ? -1 : left > right ? 1 : 0;
    }
    case Type.binary: {
      const length = a.end - a.start - (b.end - b.start);
      return length === 0 ? compareBytes(a, b, 4, 0) : Math.sign(length);
    }
    default:
      // ObjectId, bool and regex compare as their bytes; null, undefined, minKey and maxKey have none.
      return compareBytes(a, b, 0, 0);
  }
}

/** Where a list that is sorted by compareValues holds a value that equals this one; −1: nowhere. Never throws. */
export function searchSorted(list: readonly RawValue[], value: RawValue): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = compareValues(list[middle] as RawValue, value);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return -1;
}
