import { getBroadcast, isOver } from '../api/broadcast.js';
import { problemOf } from '../api/problem.js';
import type { ProcessView, Services } from '../api/services.js';
import type { BroadcastView } from '../store/broadcasts.js';
import { type Show, span } from './progress.js';

/** How often the figures are looked up, ms. */
const LOOK_MS = 500;
/** How often it is looked whether a sender is alive, and how long none may be seen before the watch gives up, ms. */
const SENDER_LOOK_MS = 2_000;
const NO_SENDER_MS = 5_000;
/** How long the store may be away before the watch gives up, ms. */
const AWAY_MS = 60_000;

/** Time as the watch needs it: monotonic ms and a wait. */
export interface WatchClock {
  now(): number;
  sleep(ms: number): Promise<void>;
}

/** How a watch ended: the broadcast is over, or nobody is there to send it. */
export interface Watched {
  readonly end: 'over' | 'no-sender';
  readonly view: BroadcastView;
}

/** One line of figures: sent and the rest, rate, time to go. Never throws. */
export function figures(view: BroadcastView): string {
  const { state, sent, total, blocked, dead, unknown, cancelled, skipped, ratePerSecond, etaMs } = view;
  const rest = Object.entries({ blocked, dead, unknown, cancelled, skipped }).filter(([, count]) => count > 0);
  const going = state === 'running' ? [`${ratePerSecond.toFixed(1)}/s`] : [state];
  if (state === 'running' && etaMs !== null) going.push(`ETA ${span(etaMs)}`);
  return [`sent ${sent} of ${total}`, ...rest.map(([name, count]) => `${name} ${count}`), ...going].join(' · ');
}

/** The counts at the end: `sent 950, blocked 50, dead 0, unknown 0, cancelled 0, skipped 0`. Never throws. */
export function counts({ sent, blocked, dead, unknown, cancelled, skipped }: BroadcastView): string {
  return Object.entries({ sent, blocked, dead, unknown, cancelled, skipped })
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

const hasSender = (processes: readonly ProcessView[]): boolean =>
  processes.some(({ roles }) => roles.includes('sender'));

/**
 * Follows a broadcast to its end, showing its figures. Gives up with `no-sender` when no live process with the role sender is seen for 5 s
 * (a killed one counts as live for 15 s more), and throws the Problem 503 when the store stays away for 60 s.
 */
export async function watchBroadcast(services: Services, id: string, clock: WatchClock, show: Show): Promise<Watched> {
  let senderSeen = clock.now();
  let lookedForSender = Number.NEGATIVE_INFINITY;
  let reachedAt = clock.now();
  for (;;) {
    try {
      const view = await getBroadcast(services, id);
      reachedAt = clock.now();
      if (isOver(view)) return { end: 'over', view };
      show(figures(view), view.total > 0 ? (view.total - view.remaining) / view.total : undefined);
      if (clock.now() - lookedForSender >= SENDER_LOOK_MS) {
        lookedForSender = clock.now();
        if (hasSender(await services.processes())) senderSeen = clock.now();
        else if (clock.now() - senderSeen >= NO_SENDER_MS) return { end: 'no-sender', view };
      }
    } catch (error) {
      if (problemOf(error)?.status !== 503 || clock.now() - reachedAt >= AWAY_MS) throw error;
      senderSeen = clock.now();
    }
    await clock.sleep(LOOK_MS);
  }
}
