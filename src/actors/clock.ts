/** Time as actors see it; injected, so that a test or a simulation can hold the hands. */
export interface Clock {
  /** Milliseconds that only go forward, from an arbitrary zero; may have fractions. */
  now(): number;
  /** Milliseconds since 1970-01-01 UTC; may jump. */
  wallNow(): number;
  /** Runs `run` once after `delayMs` (negative counts as 0, any size up to Infinity); the answer cancels it. Throws a RangeError for NaN. */
  setTimer(delayMs: number, run: () => void): () => void;
}

/** The timers of the host that `timersOf` builds on: those of Node, or those of a test. */
export interface HostTimers {
  now(): number;
  set(run: () => void, delayMs: number): unknown;
  clear(handle: unknown): void;
}

/** Node keeps a delay in 32 signed bits and fires at once what is longer (documentation of setTimeout). */
const MAX_HOST_DELAY_MS = 2 ** 31 - 1;

/** Makes `setTimer` of a clock out of host timers: a delay above 2^31 - 1 ms becomes a chain of them. Never throws. */
export const timersOf =
  (host: HostTimers): Clock['setTimer'] =>
  (delayMs, run) => {
    if (Number.isNaN(delayMs)) throw new RangeError('A timer needs a delay in milliseconds, not NaN');
    const dueAt = host.now() + Math.max(0, delayMs);
    let handle: unknown;
    const arm = (leftMs: number): void => {
      handle =
        leftMs > MAX_HOST_DELAY_MS
          ? host.set(() => arm(dueAt - host.now()), MAX_HOST_DELAY_MS)
          : host.set(run, Math.max(0, leftMs));
    };
    arm(delayMs);
    return () => host.clear(handle);
  };

/** The clock of the machine: `performance.now()`, `Date.now()` and Node's timers, chained where they are longer than 2^31 - 1 ms. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  setTimer: timersOf({
    now: () => performance.now(),
    set: (run, delayMs) => setTimeout(run, delayMs),
    clear: (handle) => clearTimeout(handle as NodeJS.Timeout),
  }),
};
