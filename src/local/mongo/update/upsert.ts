import { bytesOf, elements, type RawValue, rawDocument, Type } from '../bson/raw-value.js';
import { StoreError } from '../errors.js';
import type { Filter } from '../query/filter.js';
import type { Update } from './change.js';
import { setTo } from './field-operators.js';
import { replaced } from './replacement.js';
import { storableDocument } from './storable.js';
import { closeNode, type Node } from './tree.js';

/** What a filter demands to be equal: path and value, in the order of the paths; `idOnly`: of `_id` and what is below it. Throws NotSingleValueField (54) when one path is demanded
 * twice or below another. */
function equalities(filter: Filter, idOnly: boolean): Map<string, RawValue> {
  const found = new Map<string, RawValue>();
  for (const { path, op, value, computed } of filter.conditions) {
    if (computed === true) continue;
    if (idOnly && path !== '_id' && !path.startsWith('_id.')) continue;
    const single = op === 'in' ? elements(value) : [value];
    const [wanted] = single;
    if (wanted === undefined || wanted.type === Type.regex) continue;
    if (op !== 'eq' && op !== 'all' && !(op === 'in' && single.length === 1)) continue;
    for (const known of found.keys()) {
      if (known === path) throw notSingle(`path '${path}' is matched twice`);
      if (known.startsWith(`${path}.`) || path.startsWith(`${known}.`))
        throw notSingle(`both paths '${path}' and '${known}' are matched`);
    }
    found.set(path, wanted);
  }
  return new Map([...found].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}

function notSingle(what: string): StoreError {
  return new StoreError(54, 'NotSingleValueField', `cannot infer query fields to set, ${what}`);
}

/** The document that an upsert begins with: what the filter demands to be equal; of that only `_id` for a replacement. */
function seed(filter: Filter, replaces: boolean): RawValue {
  const root: Node = { type: Type.object, entries: [] };
  for (const [path, value] of equalities(filter, replaces)) {
    if (replaces && path !== '_id') {
      throw new StoreError(
        111,
        'NotExactValueField',
        `field at '_id' must be exactly specified, field at sub-path '${path}' found`,
      );
    }
    setTo(root, path.split('.'), value);
  }
  return rawDocument(closeNode(root, 256));
}

/** The document that an upsert inserts: `_id` first, then the equalities of the filter, then the update; or, with the filter's `_id`, the one that is `supplied`. Throws what `apply` throws, 54 when the filter demands two values of one
 * path, 111 when a replacement's filter demands a part of `_id`, and as storableDocument. */
export function upsertDocument(filter: Filter, update: Update, now: number, supplied?: RawValue): RawValue {
  const begun = seed(filter, update.replaces);
  const moment = { inserting: true, now };
  const result = supplied === undefined ? update.apply(begun, moment) : replaced(begun, supplied, moment);
  // The result lies in scratch bytes, and its _id is answered with after the commit.
  return storableDocument(rawDocument(Buffer.from(bytesOf(result))), 'upsert');
}
