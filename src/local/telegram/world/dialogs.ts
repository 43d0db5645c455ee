const CHUNK_SHIFT = 12;
const CHUNK_CHATS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_CHATS - 1;
const ROW_BYTES = 4 * 8 + 1;
const INTERVALS_MAX = 256;

/** Bytes of one chunk: the private chats of 4,096 people with one bot, 33 bytes each. */
const CHUNK_BYTES = CHUNK_CHATS * ROW_BYTES;

interface Chunk {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly newest: Float64Array;
  readonly acceptedAt: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly flags: Uint8Array;
}

const STARTED = 1;
const BLOCKED = 2;

/** What a number at the head of a text turned out to be; `outOfOrder` is distinct too. */
export type NumberFinding = 'distinct' | 'duplicate' | 'outOfOrder';

/**
 * The private chats of one bot in typed arrays, by the person's index; a chunk is made when first written to.
 * A chat keeps: the journal offset of its newest message, its last acceptance (ms), the run of numbers seen last, two flags.
 * Numbers seen below that run are kept apart as intervals, 256 a chat at most: beyond that the two lowest are joined over their gap.
 */
export class Dialogs {
  readonly chunks = new Map<number, Chunk>();
  readonly #below = new Map<number, number[]>();

  /** Takes a chunk as a snapshot kept it; `bytes` are `CHUNK_BYTES` long. */
  adopt(number: number, bytes: Uint8Array): void {
    this.chunks.set(number, chunkOver(Uint8Array.from(bytes)));
  }

  /** The intervals of numbers kept apart, for a snapshot. */
  intervals(): [number, number[]][] {
    return [...this.#below];
  }

  /** Takes intervals as a snapshot kept them. */
  adoptIntervals(intervals: Iterable<[number, number[]]>): void {
    for (const [index, runs] of intervals) this.#below.set(index, runs);
  }

  /** Offset of the chat's newest message in the journal, 0 for none. */
  newest(index: number): number {
    return this.chunks.get(index >>> CHUNK_SHIFT)?.newest[index & CHUNK_MASK] ?? 0;
  }

  setNewest(index: number, offset: number): void {
    this.#chunk(index).newest[index & CHUNK_MASK] = offset;
  }

  /** When a message to the chat was accepted last, 0 for never. */
  acceptedAt(index: number): number {
    return this.chunks.get(index >>> CHUNK_SHIFT)?.acceptedAt[index & CHUNK_MASK] ?? 0;
  }

  setAccepted(index: number, at: number, offset: number): void {
    const chunk = this.#chunk(index);
    chunk.acceptedAt[index & CHUNK_MASK] = at;
    chunk.newest[index & CHUNK_MASK] = offset;
  }

  /** Whether the person wrote to the bot here (people who were made as started are not marked). */
  started(index: number): boolean {
    return this.#flag(index, STARTED);
  }

  setStarted(index: number): void {
    this.#setFlag(index, STARTED, true);
  }

  /** Whether the person blocks the bot. */
  blocked(index: number): boolean {
    return this.#flag(index, BLOCKED);
  }

  setBlocked(index: number, blocked: boolean): void {
    this.#setFlag(index, BLOCKED, blocked);
  }

  /** Forgets all numbers seen. */
  clearNumbers(): void {
    this.#below.clear();
    for (const { low, high } of this.chunks.values()) {
      low.fill(0);
      high.fill(0);
    }
  }

  /** Notes the number (≥ 0) of a text in a chat and tells what it is. */
  noteNumber(index: number, number: number): NumberFinding {
    const { low, high } = this.#chunk(index);
    const at = index & CHUNK_MASK;
    const top = high[at] ?? 0;
    const bottom = low[at] ?? 0;
    // Kept as number + 1, so that 0 means nothing seen yet.
    const value = number + 1;
    if (value > top) {
      if (top > 0 && value > top + 1) this.#keepBelow(index, bottom, top);
      if (value !== top + 1 || top === 0) low[at] = value;
      high[at] = value;
      return 'distinct';
    }
    if (value >= bottom) return 'duplicate';
    const runs = this.#below.get(index) ?? [];
    const place = findRun(runs, value);
    if (place < runs.length && value >= (runs[place] ?? 0)) return 'duplicate';
    if (value === bottom - 1) {
      const end = runs.at(-1);
      if (end === value - 1) {
        low[at] = runs.at(-2) ?? value;
        runs.length -= 2;
      } else low[at] = value;
    } else {
      insertRun(runs, place, value);
      this.#setRuns(index, runs);
    }
    return 'outOfOrder';
  }

  #keepBelow(index: number, from: number, to: number): void {
    const runs = this.#below.get(index) ?? [];
    runs.push(from, to);
    this.#setRuns(index, runs);
  }

  #setRuns(index: number, runs: number[]): void {
    if (runs.length > INTERVALS_MAX * 2) runs.splice(1, 2);
    this.#below.set(index, runs);
  }

  #flag(index: number, flag: number): boolean {
    return ((this.chunks.get(index >>> CHUNK_SHIFT)?.flags[index & CHUNK_MASK] ?? 0) & flag) !== 0;
  }

  #setFlag(index: number, flag: number, on: boolean): void {
    const { flags } = this.#chunk(index);
    const old = flags[index & CHUNK_MASK] ?? 0;
    flags[index & CHUNK_MASK] = on ? old | flag : old & ~flag;
  }

  #chunk(index: number): Chunk {
    const number = index >>> CHUNK_SHIFT;
    let chunk = this.chunks.get(number);
    if (chunk === undefined) {
      chunk = chunkOver(new Uint8Array(CHUNK_BYTES));
      this.chunks.set(number, chunk);
    }
    return chunk;
  }
}

function chunkOver(bytes: Uint8Array<ArrayBuffer>): Chunk {
  const { buffer } = bytes;
  const column = (number: number): Float64Array => new Float64Array(buffer, number * CHUNK_CHATS * 8, CHUNK_CHATS);
  return {
    bytes,
    newest: column(0),
    acceptedAt: column(1),
    low: column(2),
    high: column(3),
    flags: new Uint8Array(buffer, 4 * CHUNK_CHATS * 8, CHUNK_CHATS),
  };
}

/** Index of the first run (pairs from, to, ascending) that ends at or above the value. */
function findRun(runs: readonly number[], value: number): number {
  let low = 0;
  let high = runs.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((runs[middle * 2 + 1] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low * 2;
}

/** Puts a value that no run holds before the run at `place`, joining it with its neighbours. */
function insertRun(runs: number[], place: number, value: number): void {
  const joinsLeft = place > 0 && runs[place - 1] === value - 1;
  const joinsRight = place < runs.length && runs[place] === value + 1;
  if (joinsLeft && joinsRight) runs.splice(place - 1, 2);
  else if (joinsLeft) runs[place - 1] = value;
  else if (joinsRight) runs[place] = value;
  else runs.splice(place, 0, value, value);
}
