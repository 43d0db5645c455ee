import { StoreError } from '../errors.js';

/** How long a command, and the cursor that it opens, may work in all (maxTimeMS); the time between two batches does not count. */
export interface TimeLimit {
  /** Throws MaxTimeMSExpired (50) when it is used up. */
  check(): void;
  /** When it will be used up if nothing pauses it, by performance.now(). */
  end(): number;
  pause(): void;
  resume(): void;
}

/** A limit of so many ms, running from now on; 0 and undefined are no limit. `now`: monotonic ms. Never throws. */
export function timeLimit(ms: number | undefined, now: () => number = () => performance.now()): TimeLimit {
  let left = ms === undefined || ms === 0 ? Number.POSITIVE_INFINITY : ms;
  let since: number | undefined = now();
  const end = (): number => (since ?? now()) + left;
  return {
    check() {
      if (now() > end()) throw new StoreError(50, 'MaxTimeMSExpired', 'operation exceeded time limit');
    },
    end,
    pause() {
      left = end() - now();
      since = undefined;
    },
    resume() {
      since ??= now();
    },
  };
}
