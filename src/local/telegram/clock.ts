/**
 * The time that the local Telegram lives by: the system's, or a virtual one in tests.
 * `now` is milliseconds since the Unix epoch, with fractions, and never goes back; `after` runs once and returns its cancel, which may be called at any time.
 */
export interface LocalClock {
  now(): number;
  after(ms: number, run: () => void): () => void;
}

/** The system's clock: wall time at the process's start plus monotonic time since, so a step of the wall clock moves no window. Never throws. */
export const systemClock: LocalClock = {
  now: () => performance.timeOrigin + performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** A clock whose timers can all be dropped at once, when its user ends. */
export interface OwnedClock extends LocalClock {
  dropAll(): void;
}

/** Wraps a clock so that every timer still running can be dropped by one call. Never throws. */
export function ownClock(clock: LocalClock): OwnedClock {
  const running = new Set<() => void>();
  return {
    now: () => clock.now(),
    after(ms, run) {
      const cancel = clock.after(ms, () => {
        running.delete(cancel);
        run();
      });
      running.add(cancel);
      return () => {
        running.delete(cancel);
        cancel();
      };
    },
    dropAll() {
      for (const cancel of running) cancel();
      running.clear();
    },
  };
}
