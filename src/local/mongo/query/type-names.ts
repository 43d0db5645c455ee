import type { RawValue } from '../bson/raw-value.js';

/** The names of BSON's types (MongoDB manual, "BSON Types") and their type bytes. */
export const TYPE_NAMES: Readonly<Record<string, readonly number[]>> = {
  double: [1],
  string: [2],
  object: [3],
  array: [4],
  binData: [5],
  undefined: [6],
  objectId: [7],
  bool: [8],
  date: [9],
  null: [10],
  regex: [11],
  dbPointer: [12],
  javascript: [13],
  symbol: [14],
  javascriptWithScope: [15],
  int: [16],
  timestamp: [17],
  long: [18],
  decimal: [19],
  minKey: [255],
  maxKey: [127],
  number: [1, 16, 18, 19],
};

const NAMES = new Map(
  Object.entries(TYPE_NAMES).flatMap(([name, types]) =>
    types.length === 1 ? [[types[0] as number, name] as const] : [],
  ),
);

/** The name of a value's type, as $type answers it; `missing` when there is none. Never throws. */
export function typeName(value: RawValue | undefined): string {
  return value === undefined ? 'missing' : (NAMES.get(value.type) ?? 'unknown');
}
