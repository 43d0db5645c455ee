import { bytesOf, type RawValue, Type } from './raw-value.js';

/** Writes BSON into a buffer that grows: fields in the order of the calls, each container closed by `end`. */
export interface BsonWriter {
  /** Begins a document (type 3) or array (type 4) as a field. */
  begin(name: string, type: number): void;
  end(): void;
  value(name: string, value: RawValue): void;
  /** A whole document's bytes as a field. */
  document(name: string, bytes: Buffer): void;
  int32(name: string, value: number): void;
  int64(name: string, value: bigint): void;
  double(name: string, value: number): void;
  bool(name: string, value: boolean): void;
  string(name: string, value: string): void;
  /** Bytes written so far. */
  length(): number;
  /** Closes the outermost document and returns its bytes (a view of the writer's own buffer, which is not used again). */
  finish(): Buffer;
}

/** A writer with its outermost document begun. `capacity` in bytes is what it first takes, by `allocate`. Never throws. */
export function bsonWriter(capacity = 256, allocate: (bytes: number) => Buffer = Buffer.allocUnsafe): BsonWriter {
  let buffer = allocate(capacity);
  let at = 4;
  const open: number[] = [0];

  function room(bytes: number): void {
    if (at + bytes <= buffer.length) return;
    const grown = allocate(Math.max(buffer.length * 2, at + bytes));
    buffer.copy(grown, 0, 0, at);
    buffer = grown;
  }

  function head(name: string, type: number, payload: number): void {
    room(name.length * 3 + 2 + payload);
    buffer[at++] = type;
    at += buffer.write(name, at, 'utf8');
    buffer[at++] = 0;
  }

  function close(): void {
    room(1);
    buffer[at++] = 0;
    const start = open.pop() ?? 0;
    buffer.writeInt32LE(at - start, start);
  }

  return {
    begin(name, type) {
      head(name, type, 5);
      open.push(at);
      at += 4;
    },
    end: close,
    value(name, value) {
      const length = value.end - value.start;
      head(name, value.type, length);
      value.bytes.copy(buffer, at, value.start, value.end);
      at += length;
    },
    document(name, bytes) {
      head(name, Type.object, bytes.length);
      bytes.copy(buffer, at);
      at += bytes.length;
    },
    int32(name, value) {
      head(name, Type.int32, 4);
      at = buffer.writeInt32LE(value, at);
    },
    int64(name, value) {
      head(name, Type.int64, 8);
      at = buffer.writeBigInt64LE(value, at);
    },
    double(name, value) {
      head(name, Type.double, 8);
      at = buffer.writeDoubleLE(value, at);
    },
    bool(name, value) {
      head(name, Type.bool, 1);
      buffer[at++] = value ? 1 : 0;
    },
    string(name, value) {
      const length = Buffer.byteLength(value);
      head(name, Type.string, length + 5);
      at = buffer.writeInt32LE(length + 1, at);
      at += buffer.write(value, at, 'utf8');
      buffer[at++] = 0;
    },
    length: () => at,
    finish() {
      close();
      return buffer.subarray(0, at);
    },
  };
}

/** A document of these fields. Never throws. */
export function documentOf(list: readonly (readonly [string, RawValue])[]): RawValue {
  const writer = bsonWriter(64);
  for (const [name, value] of list) writer.value(name, value);
  const bytes = writer.finish();
  return { type: Type.object, bytes, start: 0, end: bytes.length };
}

/** An array of these values. Never throws. */
export function arrayOf(list: readonly RawValue[]): RawValue {
  let size = 16;
  for (const value of list) size += value.end - value.start + 8;
  const writer = bsonWriter(size);
  list.forEach((value, index) => {
    writer.value(String(index), value);
  });
  const bytes = writer.finish();
  return { type: Type.array, bytes, start: 0, end: bytes.length };
}

/** Whether two values have the same type and the same bytes. Never throws. */
export function identical(a: RawValue, b: RawValue): boolean {
  return a.type === b.type && bytesOf(a).equals(bytesOf(b));
}
