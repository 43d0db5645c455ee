import type { Clock } from './actors/clock.js';
import { type Backoff, backoffDelay } from './actors/supervision.js';
import { isFull } from './store/failure.js';
import { isConnectionError } from './store/store.js';

/** The pauses between two tries: no longer than a probe of the store takes to find that there is room. */
const BACKOFF: Backoff = { minMs: 500, maxMs: 5_000, jitter: 0.2 };

/** What waiting for room needs. */
export interface RoomWait {
  readonly clock: Pick<Clock, 'setTimer'>;
  readonly random: () => number;
  /** Told of each failure: `full`, or `lost` when the store has gone since. */
  onFailed(store: 'full' | 'lost'): void;
  /** Ends the wait. */
  readonly stopping: AbortSignal;
}

/**
 * Does a write that a start cannot do without, again with growing pauses (0.5 s to 5 s) as long as the store is full or its disk has failed; from then on a lost
 * store is waited for too. Rejects with any other error of it, and with the last one once `stopping` is aborted.
 */
export async function untilRoom<T>(write: () => Promise<T>, wait: RoomWait): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await write();
    } catch (error) {
      const full = isFull(error);
      if (!full && (tries === 1 || !isConnectionError(error))) throw error;
      wait.onFailed(full ? 'full' : 'lost');
      if (!(await paused(backoffDelay(BACKOFF, tries, wait.random), wait))) throw error;
    }
  }
}

/** Resolves after `delayMs` to true, to false as soon as the wait is to end. */
function paused(delayMs: number, { clock, stopping }: RoomWait): Promise<boolean> {
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      stopping.removeEventListener('abort', end);
      resolve(!stopping.aborted);
    };
    const cancel = clock.setTimer(delayMs, end);
    stopping.addEventListener('abort', end);
    if (stopping.aborted) end();
  });
}
