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
