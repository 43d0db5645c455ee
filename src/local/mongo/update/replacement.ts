import { compareValues } from '../bson/compare.js';
import { fields, findField, type RawValue, rawDocument } from '../bson/raw-value.js';
import { scratch } from '../bson/scratch.js';
import { bsonWriter, identical } from '../bson/writer.js';
import { StoreError } from '../errors.js';
import type { Moment, Update } from './change.js';
import { checkLimits, immutableId, withTimestamps } from './storable.js';

const ID = Buffer.from('_id');

/** Names beginning with a dollar are no fields. Throws 52 naming the first. */
function checkNames(document: RawValue): void {
  for (const [name] of fields(document)) {
    if (name.startsWith('$')) {
      throw new StoreError(
        52,
        'DollarPrefixedFieldName',
        `The dollar ($) prefixed field '${name}' is not allowed in the context of an update's replacement document. Consider using an aggregation pipeline with $replaceWith.`,
      );
    }
  }
}

/** The document that takes the place of another: with the `_id` of that one, first; the other one itself when nothing changes. Throws ImmutableField (66) on another `_id`, and as
 * checkLimits. */
export function replaced(document: RawValue, source: RawValue, { inserting }: Moment): RawValue {
  if (source === document) return document;
  const id = findField(document, ID);
  const ownId = findField(source, ID);
  if (id === undefined) return source;
  if (ownId !== undefined && compareValues(ownId, id) !== 0) throw immutableId();
  const writer = bsonWriter(source.end - source.start + 32, scratch);
  writer.value('_id', ownId ?? id);
  for (const [name, value] of fields(source)) if (name !== '_id') writer.value(name, value);
  const result = rawDocument(writer.finish());
  checkLimits(result, inserting ? 'upsert' : 'update');
  return identical(result, document) ? document : result;
}

/** Compiles a replacement. Throws DollarPrefixedFieldName (52) on a name beginning with a dollar. */
export function replacement(source: RawValue): Update {
  checkNames(source);
  return {
    replaces: true,
    usesMatch: false,
    touched: undefined,
    apply: (document, moment) => replaced(document, withTimestamps(source, moment.now), moment),
  };
}
