import type { Test } from 'tap';

/** Numbers from a seed that is printed, so that a failure can be run again with POSTHORN_TEST_SEED. */
export interface SeededRandom {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform among the whole numbers from `low` to `high`, both included. */
  whole(low: number, high: number): number;
  /** One of these, each as likely; the list must not be empty. */
  pick<T>(list: readonly T[]): T;
  /** True so often, of 1. */
  chance(share: number): boolean;
}

/** A generator (mulberry32) that gives the same numbers for the same seed. */
export function randomFrom(seed: number): SeededRandom {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const whole = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    whole,
    pick: <T>(list: readonly T[]): T => list[whole(0, list.length - 1)] as T,
    chance: (share) => next() < share,
  };
}

/** Makes a generator and prints its seed as a comment of the test. */
export function seededRandom(t: Test): SeededRandom {
  const given = process.env.POSTHORN_TEST_SEED;
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  t.comment(`POSTHORN_TEST_SEED=${seed}`);
  return randomFrom(seed);
}
