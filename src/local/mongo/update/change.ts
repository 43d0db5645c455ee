import type { RawValue } from '../bson/raw-value.js';
import type { Trail } from '../query/path.js';

/** When an update is carried out. */
export interface Moment {
  /** An upsert's insert: $setOnInsert counts. */
  readonly inserting: boolean;
  /** The wall clock, ms since 1970. */
  readonly now: number;
}

/** A compiled update. */
export interface Update {
  /** The document after it; the same object when nothing changes. `trail`: how the query matched, for `usesMatch`. The new one lies in scratch bytes.
   * Throws 2, 9, 14, 15, 28, 34, 40, 66 or 17419, as the operators do. */
  apply(document: RawValue, moment: Moment, trail?: Trail): RawValue;
  /** Whether it is a replacement. */
  readonly replaces: boolean;
  /** Whether it has a positional `$`. */
  readonly usesMatch: boolean;
  /** The top-level fields it can change; undefined: any. */
  readonly touched: ReadonlySet<string> | undefined;
}
