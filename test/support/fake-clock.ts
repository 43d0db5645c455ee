import type { Clock } from '../../src/actors/clock.js';

/** A clock that stands still until it is told to go; `pending` counts the timers that are armed. */
export interface FakeClock extends Clock {
  readonly pending: number;
  /**
   * Goes forward by `ms`, firing what falls due in order of time (ties in order of arming), and lets everything that
   * follows from each timer happen before the next one fires. Default `rounds` of the event loop after each timer: 12.
   */
  advance(ms: number, rounds?: number): Promise<void>;
  /** Goes forward by `ms` and fires what falls due, without letting anything else run in between. */
  jump(ms: number): void;
  /** Goes from timer to timer until none is armed; throws after `limit` (default 10,000) timers. Answers how many fired. */
  drain(limit?: number): Promise<number>;
}

/** Lets everything that needs no timer happen: `rounds` (default 12) turns of the event loop. */
export const settle = async (rounds = 12): Promise<void> => {
  for (let i = 0; i < rounds; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** Makes a clock that starts at `now` 0 ms and at `wallMs` (default 2026-01-01 UTC) of wall time. */
export const fakeClock = (wallMs = Date.UTC(2026, 0, 1)): FakeClock => {
  let now = 0;
  let armed = 0;
  const timers = new Map<number, { dueAt: number; run: () => void }>();

  const fireNext = (limit: number): boolean => {
    let first: number | undefined;
    let dueAt = Number.POSITIVE_INFINITY;
    for (const [id, timer] of timers) {
      if (timer.dueAt < dueAt) {
        first = id;
        dueAt = timer.dueAt;
      }
    }
    const timer = first === undefined ? undefined : timers.get(first);
    if (first === undefined || timer === undefined || timer.dueAt > limit) return false;
    timers.delete(first);
    now = Math.max(now, timer.dueAt);
    timer.run();
    return true;
  };

  return {
    now: () => now,
    wallNow: () => wallMs + now,
    setTimer(delayMs, run) {
      if (Number.isNaN(delayMs)) throw new RangeError('A timer needs a delay in milliseconds, not NaN');
      const id = armed++;
      timers.set(id, { dueAt: now + Math.max(0, delayMs), run });
      return () => {
        timers.delete(id);
      };
    },
    get pending() {
      return timers.size;
    },
    async advance(ms, rounds) {
      const end = now + ms;
      await settle(rounds);
      while (fireNext(end)) await settle(rounds);
      now = end;
      await settle(rounds);
    },
    jump(ms) {
      const end = now + ms;
      while (fireNext(end));
      now = end;
    },
    async drain(limit = 10_000) {
      await settle();
      let fired = 0;
      while (fireNext(Number.MAX_VALUE)) {
        if (++fired > limit) throw new Error(`Timers are armed again and again: ${limit} have fired`);
        await settle();
      }
      return fired;
    },
  };
};
