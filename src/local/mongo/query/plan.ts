import { compareValues, typeOrder } from '../bson/compare.js';
import { isNumber, toDouble } from '../bson/numbers.js';
import { elements, fields, type RawValue, Type } from '../bson/raw-value.js';
import { NULL } from '../bson/values.js';
import { StoreError } from '../errors.js';
import type { Collection, Index } from '../storage/catalog.js';
import { encodeKey, MAX_KEY_BYTES, successor, typeByte } from '../storage/index-key.js';
import type { Condition, Filter } from './filter.js';
import type { SortPart } from './sort.js';

/** A piece of an index to be read: keys from `from` up to but without `to`. */
export interface Interval {
  readonly from: Buffer;
  readonly to: Buffer;
}

/** How a query finds its documents. Without an index it reads the whole collection in the order of records, or in the reverse of it. */
export interface Plan {
  readonly index: Index | undefined;
  /** In the order in which they are read. */
  readonly intervals: readonly Interval[];
  readonly reverse: boolean;
  /** Each interval's `from` is a whole key of a unique index: it is looked up. */
  readonly exact: boolean;
  /** The documents come in the order that was asked for. */
  readonly sorted: boolean;
  /** A document may come several times. */
  readonly repeats: boolean;
}

const MAX_INTERVALS = 2000;

const isNullish = (value: RawValue): boolean => value.type === Type.null || value.type === Type.undefined;

/** Values that an index can be asked for by equality: not arrays (their elements are in it), not regexes. */
function pointable(value: RawValue): boolean {
  return value.type !== Type.array && value.type !== Type.regex;
}

function pointsOf(conditions: readonly Condition[]): RawValue[] | undefined {
  let best: RawValue[] | undefined;
  for (const { op, value } of conditions) {
    let points: RawValue[] | undefined;
    if ((op === 'eq' || op === 'all') && pointable(value)) points = [value];
    else if (op === 'in') {
      const list = elements(value);
      if (list.every(pointable)) points = list;
    }
    if (points !== undefined && (best === undefined || points.length < best.length)) best = points;
  }
  if (best === undefined || best.length < 2) return best;
  const sorted = [...best].sort(compareValues);
  return sorted.filter((value, i) => i === 0 || compareValues(value, sorted[i - 1] as RawValue) !== 0);
}

function rangeable(value: RawValue): boolean {
  return (
    !isNullish(value) &&
    value.type !== Type.array &&
    value.type !== Type.object &&
    value.type !== Type.minKey &&
    value.type !== Type.maxKey
  );
}

interface Bounds {
  readonly low: { readonly value: RawValue; readonly open: boolean } | undefined;
  readonly high: { readonly value: RawValue; readonly open: boolean } | undefined;
}

/** The tightest range of some conditions; with an array about, one side only, since different elements may fulfil each. */
function boundsOf(conditions: readonly Condition[], multikey: boolean): Bounds | undefined {
  let low: Bounds['low'];
  let high: Bounds['high'];
  for (const { op, value } of conditions) {
    if (!rangeable(value)) continue;
    if (op === 'gt' || op === 'gte') {
      if (low === undefined || compareValues(value, low.value) > 0) low = { value, open: op === 'gt' };
    } else if (op === 'lt' || op === 'lte') {
      if (high === undefined || compareValues(value, high.value) < 0) high = { value, open: op === 'lt' };
    }
  }
  if (low === undefined && high === undefined) return undefined;
  if (multikey && low !== undefined) high = undefined;
  return { low, high };
}

function demandsValue(condition: Condition): boolean {
  switch (condition.op) {
    case 'exists':
      return true;
    case 'in':
      return elements(condition.value).every((value) => !isNullish(value));
    case 'gt':
    case 'gte':
      return !isNullish(condition.value) && condition.value.type !== Type.minKey;
    case 'lt':
    case 'lte':
      return !isNullish(condition.value) && condition.value.type !== Type.maxKey;
    default:
      return !isNullish(condition.value);
  }
}

/** Whether everything that fulfils the query fulfils one condition of a partial index. */
function implies(query: readonly Condition[], wanted: Condition): boolean {
  return query.some((given) => {
    if (given.path !== wanted.path) return false;
    if (wanted.op === 'exists') return demandsValue(given);
    if (given.op === 'eq' && given.value.type !== Type.array && given.value.type !== Type.object) {
      return partialAccepts(wanted, given.value);
    }
    if (given.op === 'in') {
      return elements(given.value).every(
        (value) =>
          value.type !== Type.array &&
          value.type !== Type.object &&
          value.type !== Type.regex &&
          partialAccepts(wanted, value),
      );
    }
    if (isRange(given.op) && isRange(wanted.op)) return rangeImplies(given, wanted);
    return given.op === wanted.op && compareValues(given.value, wanted.value) === 0;
  });
}

const isRange = (op: Condition['op']): boolean => op === 'gt' || op === 'gte' || op === 'lt' || op === 'lte';

/** Values that a range brackets together: of the same place in BSON's order, none of them NaN (which is in no range but its own). */
function sameBracket(a: RawValue, b: RawValue): boolean {
  return (
    typeOrder(a.type) === typeOrder(b.type) && ![a, b].some((one) => isNumber(one.type) && Number.isNaN(toDouble(one)))
  );
}

/** Whether every value in one half-open range is in another one: `a > 5` implies `a >= 3`. */
function rangeImplies(given: Condition, wanted: Condition): boolean {
  const order = compareValues(given.value, wanted.value);
  if (given.op === wanted.op && order === 0) return true;
  if (given.op[0] !== wanted.op[0] || !rangeable(given.value) || !sameBracket(given.value, wanted.value)) return false;
  if (order === 0) return wanted.op.endsWith('e');
  return given.op.startsWith('g') ? order > 0 : order < 0;
}

function partialAccepts(wanted: Condition, value: RawValue): boolean {
  if (isNullish(value) || isNullish(wanted.value)) return false;
  const order = compareValues(value, wanted.value);
  switch (wanted.op) {
    case 'eq':
      return order === 0;
    case 'in':
      return elements(wanted.value).some((one) => compareValues(one, value) === 0);
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      if (!rangeable(value) || !sameBracket(value, wanted.value)) return false;
      if (order === 0) return wanted.op.endsWith('e');
      return wanted.op.startsWith('g') ? order > 0 : order < 0;
    default:
      return false;
  }
}

function usable(index: Index, filter: Filter, hinted: boolean): boolean {
  if (!index.ready || index.hidden) return false;
  if (index.partial !== undefined) {
    const { partial } = index;
    // Each part of it must be a condition that can be compared; a part of another kind ($type, $or) is never taken as implied.
    if (partial.conditions.length === 0 || !coversAll(partial)) return false;
    if (!partial.conditions.every((wanted) => implies(filter.conditions, wanted))) return false;
  }
  // A hint takes a sparse index even where it leaves documents out (manual, "Sparse Indexes").
  if (index.sparse && !hinted) {
    return index.keys.some(({ path }) =>
      filter.conditions.some((condition) => condition.path === path && demandsValue(condition)),
    );
  }
  return true;
}

/** Whether a filter consists of nothing but its conditions. */
function coversAll(partial: Filter): boolean {
  let parts = 0;
  const count = (document: RawValue): void => {
    for (const [name, value] of fields(document)) {
      if (name === '$and') for (const part of elements(value)) count(part);
      else if (name.startsWith('$')) parts = Number.NaN;
      else if (value.type === Type.object && fields(value)[0]?.[0].startsWith('$')) parts += fields(value).length;
      else parts++;
    }
  };
  count(partial.source);
  return parts === partial.conditions.length;
}

interface Candidate {
  readonly index: Index;
  readonly points: readonly (readonly RawValue[])[];
  readonly bounds: Bounds | undefined;
  readonly sorted: boolean;
  readonly reverse: boolean;
  readonly score: number;
}

/** Whether reading an index after its fixed first parts gives the order asked for; undefined: no. */
function orderOf(
  index: Index,
  fixed: ReadonlySet<string>,
  sort: readonly SortPart[],
): { reverse: boolean } | undefined {
  let reverse: boolean | undefined;
  let at = 0;
  const needed = sort.filter(({ path }) => !fixed.has(path.text));
  for (const part of needed) {
    while (at < index.keys.length && fixed.has(index.keys[at]?.path as string)) at++;
    const key = index.keys[at];
    if (key === undefined || key.path !== part.path.text || index.multikey[at] === true) return undefined;
    const opposite = key.direction !== part.direction;
    if (reverse !== undefined && reverse !== opposite) return undefined;
    reverse = opposite;
    at++;
  }
  return { reverse: reverse ?? false };
}

function candidateOf(index: Index, filter: Filter, sort: readonly SortPart[], hinted: boolean): Candidate | undefined {
  if (!usable(index, filter, hinted)) return undefined;
  const points: RawValue[][] = [];
  const fixed = new Set<string>();
  const multikey = index.multikey.some(Boolean);
  const roots = new Set<string>();
  let bounds: Bounds | undefined;
  let combinations = 1;
  for (let i = 0; i < index.keys.length; i++) {
    const { path } = index.keys[i] as Index['keys'][number];
    const root = path.split('.', 1)[0] as string;
    // Paths through one array are indexed element by element: two conditions need not meet in one element.
    if (multikey && roots.has(root)) break;
    roots.add(root);
    const conditions = filter.conditions.filter((condition) => condition.path === path);
    const list = pointsOf(conditions);
    if (list !== undefined && combinations * Math.max(1, list.length) <= MAX_INTERVALS) {
      points.push(list);
      combinations *= list.length;
      if (list.length === 1 && index.multikey[i] !== true) fixed.add(path);
      continue;
    }
    bounds = boundsOf(conditions, index.multikey[i] === true);
    break;
  }
  const several = points.some((list) => list.length !== 1);
  // With several intervals the order holds within each only.
  const order = several ? undefined : orderOf(index, fixed, sort);
  const sorted = sort.length === 0 || order !== undefined;
  const full = points.length === index.keys.length && index.unique && !several;
  const helps = points.length > 0 || bounds !== undefined || (sort.length > 0 && sorted);
  if (!helps && !hinted) return undefined;
  const score =
    (full ? 1000 : 0) +
    points.length * 20 +
    (bounds === undefined ? 0 : bounds.low !== undefined && bounds.high !== undefined ? 12 : 8) +
    (sort.length > 0 && sorted ? 9 : 0) -
    (several ? 1 : 0);
  return { index, points, bounds, sorted, reverse: order?.reverse ?? false, score };
}

function clip(key: Buffer): Buffer {
  return key.length > MAX_KEY_BYTES ? key.subarray(0, MAX_KEY_BYTES) : key;
}

function prefixes(index: Index, points: readonly (readonly RawValue[])[]): Buffer[] {
  let rows: RawValue[][] = [[]];
  for (const list of points)
    rows = rows.flatMap((row) => list.map((value) => [...row, value.type === Type.undefined ? NULL : value]));
  return rows.map((row) => encodeKey(index.id, row, index.directions));
}

const END = Buffer.alloc(MAX_KEY_BYTES + 16, 0xff);

function intervalsOf({ index, points, bounds }: Candidate): Interval[] {
  const direction = index.directions[points.length] ?? 1;
  const intervals = prefixes(index, points).map((prefix): Interval => {
    if (bounds === undefined) return { from: clip(prefix), to: successor(clip(prefix)) ?? END };
    const value = (bounds.low ?? bounds.high)?.value as RawValue;
    const bracket = Buffer.concat([prefix, Buffer.from([typeByte(value.type, direction)])]);
    let from: Buffer = bracket;
    let to = successor(bracket) ?? END;
    const edge = (side: NonNullable<Bounds['low']>): Buffer =>
      Buffer.concat([prefix, encodeKey(index.id, [side.value], [direction]).subarray(4)]);
    const [first, last] = direction < 0 ? [bounds.high, bounds.low] : [bounds.low, bounds.high];
    if (first !== undefined) {
      const key = edge(first);
      from = key.length > MAX_KEY_BYTES || !first.open ? key : (successor(key) ?? key);
    }
    if (last !== undefined) {
      const key = edge(last);
      to = last.open && key.length <= MAX_KEY_BYTES ? key : (successor(clip(key)) ?? END);
    }
    return { from: clip(from), to: clip(to) };
  });
  const useful = intervals.filter(({ from, to }) => from.compare(to) < 0);
  return useful.sort((a, b) => a.from.compare(b.from));
}

/** Chooses how to find what a filter asks for: the usable index with the longest run of equalities, then a range, then the order; else the whole
 * collection. `hint` is an index's name, `$natural` or `$natural:-1`, and is followed. Throws BadValue (2) when no index has that name, 291 when it is a partial index
 * that does not hold all of what is asked for. */
export function planQuery(collection: Collection, filter: Filter, sort: readonly SortPart[], hint?: string): Plan {
  const natural = hint === '$natural' || hint === '$natural:-1';
  if (hint !== undefined && !natural && !collection.indexes.some(({ name, hidden }) => name === hint && !hidden)) {
    throw new StoreError(2, 'BadValue', `hint provided does not correspond to an existing index: ${hint}`);
  }
  let best: Candidate | undefined;
  if (!natural) {
    for (const index of collection.indexes) {
      if (hint !== undefined && index.name !== hint) continue;
      const candidate = candidateOf(index, filter, sort, hint !== undefined);
      if (candidate === undefined) continue;
      if (best === undefined || candidate.score > best.score) best = candidate;
    }
  }
  if (best === undefined && hint !== undefined && !natural) {
    throw new StoreError(291, 'NoQueryExecutionPlans', `the hinted index ${hint} does not hold all that is asked for`);
  }
  if (best === undefined) {
    return {
      index: undefined,
      intervals: [],
      reverse: hint === '$natural:-1',
      exact: false,
      sorted: sort.length === 0,
      repeats: false,
    };
  }
  const intervals = intervalsOf(best);
  if (best.reverse) intervals.reverse();
  return {
    index: best.index,
    intervals,
    reverse: best.reverse,
    exact:
      best.index.unique &&
      best.points.length === best.index.keys.length &&
      intervals.every(({ from }) => from.length < MAX_KEY_BYTES),
    sorted: best.sorted,
    repeats: best.index.multikey.some(Boolean),
  };
}
