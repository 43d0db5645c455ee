/** "No item" and "no chat" in the pointer arrays. */
export const NONE = 0xffffffff;

const FIRST_CAPACITY = 256;
/** An empty pool larger than this gives its memory back. */
const KEEP_CAPACITY = 65_536;
const LANE_BITS = 2;
const LANE_MASK = 3;
/** The highest count of attempts that fits beside the lane; more stays there. */
const MAX_COUNT = 63;

/**
 * Items (13 bytes each) linked into chains. A chain is named by its tail, whose link is the head: so an empty one is `NONE` and both ends are at
 * hand with one pointer. Items are u32 handles, good until the item is removed. No method throws; handles are not checked.
 */
export interface Chains {
  /** Adds an item at the end of the chain; returns the new tail. */
  append(tail: number, source: number, index: number, laneCode: number, attempts: number): number;
  /** Adds an item behind `before`, or as the head when that is `NONE`; returns the new tail. */
  insertAfter(tail: number, before: number, source: number, index: number, laneCode: number, attempts: number): number;
  /** Removes what follows `before` (the head, when that is the tail); returns the new tail. */
  removeAfter(tail: number, before: number): number;
  /** The item behind this one; behind the tail comes the head. */
  after(item: number): number;
  source(item: number): number;
  index(item: number): number;
  laneCode(item: number): number;
  attempts(item: number): number;
  spend(item: number): void;
  /** No attempt of the item is spent any more. */
  refresh(item: number): void;
  readonly size: number;
}

/** An empty pool of items that grows as needed. Never throws. */
export function chains(): Chains {
  let capacity = 0;
  let next = new Uint32Array(0);
  let sources = new Uint32Array(0);
  let indexes = new Uint32Array(0);
  let flags = new Uint8Array(0);
  let free = NONE;
  let used = 0;
  let size = 0;

  function resize(to: number): void {
    const keep = Math.min(used, to);
    const grown = [new Uint32Array(to), new Uint32Array(to), new Uint32Array(to)] as const;
    grown[0].set(next.subarray(0, keep));
    grown[1].set(sources.subarray(0, keep));
    grown[2].set(indexes.subarray(0, keep));
    const grownFlags = new Uint8Array(to);
    grownFlags.set(flags.subarray(0, keep));
    [next, sources, indexes] = grown;
    flags = grownFlags;
    capacity = to;
  }

  function allocate(source: number, index: number, laneCode: number, attempts: number): number {
    let item = free;
    if (item === NONE) {
      if (used === capacity) resize(Math.max(FIRST_CAPACITY, Math.ceil(capacity * 1.5)));
      item = used;
      used += 1;
    } else {
      free = next[item] as number;
    }
    sources[item] = source;
    indexes[item] = index;
    flags[item] = laneCode | (Math.min(attempts, MAX_COUNT) << LANE_BITS);
    size += 1;
    return item;
  }

  function release(item: number): void {
    next[item] = free;
    free = item;
    size -= 1;
    if (size > 0) return;
    free = NONE;
    used = 0;
    if (capacity > KEEP_CAPACITY) resize(FIRST_CAPACITY);
  }

  function insertAfter(
    tail: number,
    before: number,
    source: number,
    index: number,
    laneCode: number,
    attempts: number,
  ): number {
    const item = allocate(source, index, laneCode, attempts);
    if (tail === NONE) {
      next[item] = item;
      return item;
    }
    const place = before === NONE ? tail : before;
    next[item] = next[place] as number;
    next[place] = item;
    return before === tail ? item : tail;
  }

  return {
    append: (tail, source, index, laneCode, attempts) => insertAfter(tail, tail, source, index, laneCode, attempts),
    insertAfter,
    removeAfter(tail, before) {
      const item = next[before] as number;
      next[before] = next[item] as number;
      const newTail = item === before ? NONE : item === tail ? before : tail;
      release(item);
      return newTail;
    },
    after: (item) => next[item] as number,
    source: (item) => sources[item] as number,
    index: (item) => indexes[item] as number,
    laneCode: (item) => (flags[item] as number) & LANE_MASK,
    attempts: (item) => (flags[item] as number) >> LANE_BITS,
    spend(item) {
      if ((flags[item] as number) >> LANE_BITS < MAX_COUNT) flags[item] = (flags[item] as number) + (1 << LANE_BITS);
    },
    refresh(item) {
      flags[item] = (flags[item] as number) & LANE_MASK;
    },
    get size() {
      return size;
    },
  };
}
