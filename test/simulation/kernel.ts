import { createRequire } from 'node:module';
import type { Clock } from '../../src/actors/clock.js';
import { randomFrom, type SeededRandom } from '../support/seeded-random.js';

/** What of the model has a life of its own: a killed one hears nothing more, a suspended one hears later. */
export interface Host {
  dead: boolean;
  /** Virtual time until which it stands still. */
  suspendedUntil: number;
  /** How far its monotonic clock is behind, since it stood still with the machine, ms. */
  behindMs: number;
  /** How far its wall clock is ahead of true time (behind when negative), ms. */
  wallAheadMs: number;
}

interface Event {
  at: number;
  readonly order: number;
  readonly run: () => void;
  readonly host: Host | undefined;
  /** Of a timer: when it is due by the host's monotonic clock. */
  readonly localAt: number | undefined;
  cancelled: boolean;
}

/** Virtual time: one event after another, all that follows from one happens before the next. */
export interface Kernel {
  /** Virtual ms since the start. */
  readonly now: number;
  readonly random: SeededRandom;
  /** Runs `run` after `delayMs`, for `host` only while that lives and does not stand still. */
  after(delayMs: number, run: () => void, host?: Host): void;
  clockOf(host: Host): Clock;
  /** Goes on until `until` holds; false when `limitMs` of virtual time or `events` passed before. */
  run(until: () => boolean, limitMs: number): Promise<boolean>;
  /** Adds a line to the trace, of which the hash is always kept. */
  trace(line: () => string): void;
  /** A hash of the whole trace, and its lines when they are kept. */
  readonly hash: number;
  readonly lines: readonly string[];
  readonly events: number;
  /** Counts an injected fault. */
  fault(kind: string): void;
  readonly faults: ReadonlyMap<string, number>;
}

/** Wall time at virtual 0. */
export const WALL_START = Date.UTC(2026, 0, 1);
/** More events than any seed needs: a loop without progress ends here. */
const MOST_EVENTS = 400_000;

/** All times are whole multiples of this many a ms: sums and differences are exact, so a timer never fires a hair too early, again and again. */
const GRID = 1_024;
export const onGrid = (ms: number): number => Math.ceil(ms * GRID) / GRID;

const realImmediate = globalThis.setImmediate;

/** nact keeps each system until it is stopped: those of killed processes for ever, a megabyte a seed. */
const nactSystems = createRequire(import.meta.url)('nact/lib/system-map') as {
  add(system: { readonly name: string }): void;
  remove(name: string): void;
};

/**
 * Runs `body` with `setImmediate` counted, so that "nothing is pending" can be known: nact runs its turns by it, and everything else of the code
 * under simulation by promises. One simulation at a time in a process.
 */
export async function withKernel<T>(
  seed: number,
  keepLines: boolean,
  body: (kernel: Kernel) => Promise<T>,
): Promise<T> {
  let pending = 0;
  let loose = 0;
  const counted = (run: (...args: unknown[]) => void, ...args: unknown[]): NodeJS.Immediate => {
    pending += 1;
    return realImmediate(() => {
      pending -= 1;
      run(...args);
    });
  };
  globalThis.setImmediate = counted as unknown as typeof setImmediate;
  const { add } = nactSystems;
  const made: string[] = [];
  nactSystems.add = (system) => {
    made.push(system.name);
    add(system);
  };
  const turn = () => new Promise<void>((resolve) => realImmediate(resolve));
  const quiet = async (): Promise<void> => {
    do {
      await turn();
      loose += 1;
      if (loose > 5_000) throw new Error('the actors never come to rest: a loop that needs no time');
    } while (pending > 0);
    loose = 0;
  };
  try {
    return await body(kernelOf(seed, keepLines, quiet));
  } finally {
    globalThis.setImmediate = realImmediate;
    nactSystems.add = add;
    for (const name of made) nactSystems.remove(name);
  }
}

function kernelOf(seed: number, keepLines: boolean, quiet: () => Promise<void>): Kernel {
  const random = randomFrom(seed);
  const heap: Event[] = [];
  const faults = new Map<string, number>();
  const lines: string[] = [];
  let now = 0;
  let order = 0;
  let events = 0;
  let hash = 0x811c9dc5;

  const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

  function push(event: Event): void {
    let at = heap.push(event) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const other = heap[above] as Event;
      if (!before(event, other)) break;
      heap[at] = other;
      at = above;
    }
    heap[at] = event;
  }

  function pop(): Event | undefined {
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && before(heap[below + 1] as Event, heap[below] as Event)) below += 1;
      if (!before(heap[below] as Event, last)) break;
      heap[at] = heap[below] as Event;
      at = below;
    }
    heap[at] = last;
    return first;
  }

  function add(at: number, run: () => void, host: Host | undefined, localAt: number | undefined): Event {
    order += 1;
    const event = { at: Math.max(at, now), order, run, host, localAt, cancelled: false };
    push(event);
    return event;
  }

  /** When an event may really happen: a suspended host hears later, timers go by the host's clock. */
  function dueAt({ at, host, localAt }: Event): number {
    if (host === undefined) return at;
    const due = localAt === undefined ? at : localAt + host.behindMs;
    return Math.max(due, host.suspendedUntil);
  }

  const kernel: Kernel = {
    get now() {
      return now;
    },
    random,
    after(delayMs, run, host) {
      add(onGrid(now + delayMs), run, host, undefined);
    },
    clockOf: (host) => ({
      now: () => now - host.behindMs,
      wallNow: () => WALL_START + now + host.wallAheadMs,
      setTimer(delayMs, run) {
        const localAt = onGrid(now - host.behindMs + Math.max(0, delayMs));
        const event = add(localAt + host.behindMs, run, host, localAt);
        return () => {
          event.cancelled = true;
        };
      },
    }),
    async run(until, limitMs) {
      const end = now + limitMs;
      await quiet();
      while (!until()) {
        const event = pop();
        if (event === undefined || event.at > end) {
          if (event !== undefined) push(event);
          now = Math.max(now, end);
          return false;
        }
        if (event.cancelled || event.host?.dead === true) continue;
        const due = dueAt(event);
        if (due > event.at && due > now) {
          event.at = due;
          push(event);
          continue;
        }
        now = event.at;
        events += 1;
        if (events > MOST_EVENTS) throw new Error(`more than ${MOST_EVENTS} events`);
        event.run();
        await quiet();
      }
      return true;
    },
    trace(line) {
      const text = line();
      for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
      hash = Math.imul(hash ^ Math.round(now * 1000), 0x01000193);
      if (keepLines) lines.push(`${now.toFixed(1).padStart(10)} ${text}`);
    },
    get hash() {
      return hash >>> 0;
    },
    lines,
    get events() {
      return events;
    },
    fault(kind) {
      faults.set(kind, (faults.get(kind) ?? 0) + 1);
      kernel.trace(() => `! ${kind}`);
    },
    faults,
  };
  return kernel;
}
