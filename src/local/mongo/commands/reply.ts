import { type RawValue, Type } from '../bson/raw-value.js';
import { bsonWriter } from '../bson/writer.js';
import { StoreError } from '../errors.js';

/** The answer that begins or goes on with a cursor; id 0 is an exhausted one; `extra`: whole numbers beside it. Never throws. */
export function cursorReply(
  batchName: 'firstBatch' | 'nextBatch',
  namespace: string,
  id: bigint,
  batch: readonly RawValue[],
  extra: Readonly<Record<string, number>> = {},
): Buffer {
  let size = 256;
  for (const document of batch) size += document.end - document.start + 10;
  const writer = bsonWriter(size);
  writer.begin('cursor', Type.object);
  writer.begin(batchName, Type.array);
  batch.forEach((document, index) => {
    writer.value(String(index), document);
  });
  writer.end();
  writer.int64('id', id);
  writer.string('ns', namespace);
  writer.end();
  for (const [name, value] of Object.entries(extra)) writer.int32(name, value);
  writer.double('ok', 1);
  return writer.finish();
}

function plainDocument(value: RawValue): Uint8Array {
  return value.bytes.subarray(value.start, value.end);
}

/** The fields of an error as an answer or an entry of writeErrors. Anything but a StoreError is an internal error, told by its message only. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof StoreError)) {
    return { errmsg: error instanceof Error ? error.message : String(error), code: 1, codeName: 'InternalError' };
  }
  return { errmsg: error.message, code: error.code, codeName: error.codeName, ...error.extra };
}

function isRaw(value: unknown): value is RawValue {
  return typeof value === 'object' && value !== null && 'bytes' in value && 'start' in value && 'type' in value;
}

/** An answer or part of one from JS values among which raw BSON values may stand. */
export function mixedDocument(fields: Readonly<Record<string, unknown>>): RawValue {
  const writer = bsonWriter();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (isRaw(value)) writer.value(name, value);
    else if (Array.isArray(value)) {
      writer.begin(name, Type.array);
      value.forEach((one: unknown, index) => {
        if (isRaw(one)) writer.value(String(index), one);
        else writer.document(String(index), plainBytes(one as Record<string, unknown>));
      });
      writer.end();
    } else if (typeof value === 'string') writer.string(name, value);
    else if (typeof value === 'boolean') writer.bool(name, value);
    else if (typeof value === 'bigint') writer.int64(name, value);
    else if (typeof value === 'number') {
      if (Number.isInteger(value) && Math.abs(value) < 0x7fffffff && name !== 'ok') writer.int32(name, value);
      else writer.double(name, value);
    } else writer.document(name, plainBytes(value as Record<string, unknown>));
  }
  const bytes = writer.finish();
  return { type: Type.object, bytes, start: 0, end: bytes.length };
}

function plainBytes(value: Record<string, unknown>): Buffer {
  return Buffer.from(plainDocument(mixedDocument(value)));
}

/** The answer of a command from such fields; `ok: 1` is added. */
export function mixedReply(fields: Readonly<Record<string, unknown>>): Buffer {
  return mixedDocument({ ...fields, ok: 1 }).bytes;
}

/** The answer of a command that failed. Never throws. */
export function errorReply(error: unknown): Buffer {
  return mixedDocument({ ok: 0, ...errorFields(error) }).bytes;
}
