import {
  eachElement,
  eachField,
  fields,
  findField,
  isContainer,
  type RawValue,
  rawDocument,
  Type,
} from '../bson/raw-value.js';
import { newObjectId, timestamp } from '../bson/values.js';
import { bsonWriter } from '../bson/writer.js';
import { StoreError } from '../errors.js';
import { isReference } from '../query/operators.js';
import { typeName } from '../query/type-names.js';

/** The largest document, in bytes, as in MongoDB. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;
const MAX_LEVELS = 180; // of documents and arrays in a stored document, as in MongoDB
const LEAST_LEVEL_BYTES = 7; // length, type, name and end: what one more level takes at least
const ID = Buffer.from('_id');

// MongoDB's codes and names for a document that is too large.
const TOO_LARGE = {
  insert: [10334, 'BSONObjectTooLarge'],
  update: [17419, 'Location17419'],
  upsert: [17420, 'Location17420'],
} as const;

/** What a document is checked for. */
type Action = keyof typeof TOO_LARGE;

function levels(container: RawValue): number {
  let most = 0;
  eachElement(container, (value) => {
    if (isContainer(value)) most = Math.max(most, levels(value));
    return false;
  });
  return most + 1;
}

/** Checks a document's size and depth. Throws 10334, 17419 or 17420 beyond 16 MiB, Overflow (15) beyond 180 levels. */
export function checkLimits(document: RawValue, action: Action): void {
  const bytes = document.end - document.start;
  if (bytes > MAX_DOCUMENT_BYTES) {
    const [code, name] = TOO_LARGE[action];
    throw new StoreError(
      code,
      name,
      `the document of this ${action} has ${bytes} bytes: more than ${MAX_DOCUMENT_BYTES}`,
    );
  }
  if (bytes > MAX_LEVELS * LEAST_LEVEL_BYTES && levels(document) > MAX_LEVELS)
    throw new StoreError(15, 'Overflow', `Document exceeds maximum nesting depth of ${MAX_LEVELS}`);
}

function checkIdNames(id: RawValue): void {
  eachField(id, (name, value) => {
    if (id.type === Type.object && name.startsWith('$') && !isReference(name)) {
      throw new StoreError(
        52,
        'DollarPrefixedFieldName',
        `_id fields may not contain '$'-prefixed fields: The dollar ($) prefixed field '${name}' is not valid for storage.`,
      );
    }
    if (isContainer(value)) checkIdNames(value);
    return false;
  });
}

function isEmptyTimestamp({ type, bytes, start }: RawValue): boolean {
  return type === Type.timestamp && bytes.readBigUInt64LE(start) === 0n;
}

/** The document of an insert or a replacement, with the time in place of each Timestamp(0, 0) on its top level but in `_id`, as MongoDB stores it; the same object where there is none.
 * `now` in ms since 1970. Never throws. */
export function withTimestamps(document: RawValue, now: number): RawValue {
  if (!eachElement(document, isEmptyTimestamp)) return document;
  const writer = bsonWriter(document.end - document.start + 16);
  let counter = 0;
  for (const [name, value] of fields(document)) {
    const empty = name !== '_id' && isEmptyTimestamp(value);
    writer.value(name, empty ? timestamp(Math.floor(now / 1000), ++counter) : value);
  }
  return rawDocument(writer.finish());
}

/** The refusal of another `_id`: ImmutableField (66). Never throws. */
export function immutableId(): StoreError {
  return new StoreError(
    66,
    'ImmutableField',
    "Performing an update on the path '_id' would modify the immutable field '_id'",
  );
}

/** A document as it is stored: with an `_id` (a new ObjectId where it comes without), first. Throws as checkLimits, InvalidIdField (53) and DollarPrefixedFieldName (52) on
 * an `_id` that cannot be one. */
export function storableDocument(document: RawValue, action: Action): RawValue {
  checkLimits(document, action);
  const id = findField(document, ID);
  if (id?.type === Type.array || id?.type === Type.regex || id?.type === Type.undefined)
    throw new StoreError(53, 'InvalidIdField', `The '_id' value cannot be of type ${typeName(id)}`);
  if (id?.type === Type.object) checkIdNames(id);
  // Type byte, then the name: the first field begins 4 bytes into the document.
  if (id !== undefined && id.start === document.start + 9) return document;
  const writer = bsonWriter(document.end - document.start + 32);
  writer.value('_id', id ?? newObjectId());
  for (const [name, value] of fields(document)) if (name !== '_id') writer.value(name, value);
  return rawDocument(writer.finish());
}
