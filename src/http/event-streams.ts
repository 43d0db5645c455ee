import { Readable } from 'node:stream';
import { getBroadcast, isOver } from '../api/broadcast.js';
import { Problem } from '../api/problem.js';
import type { Services } from '../api/services.js';
import type { BroadcastView } from '../store/broadcasts.js';

/** Bounds and pauses of the streams of a process; times in ms. */
export interface StreamLimits {
  /** Streams at once; one more is 503 PH_STREAMS_TOO_MANY. */
  readonly most: number;
  /** The broadcast is looked at this often, once for all streams that follow it. */
  readonly lookMs: number;
  /** A comment is sent after this long without an event, so that proxies and clients see that the stream lives. */
  readonly heartbeatMs: number;
  /** A client that takes nothing for this long is cut. */
  readonly stallMs: number;
}

const LIMITS: StreamLimits = { most: 200, lookMs: 500, heartbeatMs: 15_000, stallMs: 60_000 };
/** The id of the last event: who comes back with it is told to stay away. */
const OVER_ID = 'over';
/** What EventSource waits before it comes back, ms. */
const RETRY_MS = 2_000;

/** Follows broadcasts for clients of Server-Sent Events. */
export interface EventStreams {
  /**
   * A stream of the broadcast `id`: its object now and whenever it has changed, until it is over. Undefined when it is over and the client has had the last event.
   * `cut` ends the connection of a client that does not read. Throws a Problem 404, 503.
   */
  open(
    services: Services,
    id: string,
    lastEventId: string | undefined,
    cut: () => void,
  ): Promise<{ readonly stream: Readable } | undefined>;
}

/** One client: it is given the newest frame when it has room, never a queue of them. */
interface Client {
  offer(frame: string, last: boolean): void;
  /** Sends a heartbeat, or cuts who has not taken a frame for too long. */
  tend(now: number): void;
  end(): void;
  /** True while it has not taken the last frame. */
  readonly isBehind: boolean;
}

interface Feed {
  readonly clients: Set<Client>;
  shown: string;
  looking: boolean;
  readonly timer: NodeJS.Timeout;
}

/** The streams of one process. `draining`: all of them end. Never throws. */
export function eventStreams(draining: () => boolean, limits: Partial<StreamLimits> = {}): EventStreams {
  const { most, lookMs, heartbeatMs, stallMs } = { ...LIMITS, ...limits };
  const feeds = new Map<string, Feed>();
  let open = 0;

  function client(cut: () => void, closed: () => void): { readonly stream: Readable; readonly self: Client } {
    let hasRoom = false;
    let pending: string | undefined;
    let isLast = false;
    let tookAt = performance.now();
    const give = () => {
      if (!hasRoom) return;
      if (pending !== undefined) {
        hasRoom = false;
        tookAt = performance.now();
        const frame = pending;
        pending = undefined;
        stream.push(frame);
      } else if (isLast) {
        hasRoom = false;
        stream.push(null);
      }
    };
    const stream = new Readable({
      highWaterMark: 1,
      read() {
        hasRoom = true;
        give();
      },
      destroy(error, done) {
        closed();
        done(error);
      },
    });
    const self: Client = {
      offer(frame, last) {
        pending = frame;
        isLast = last;
        give();
      },
      tend(now) {
        if (pending !== undefined && now - tookAt > stallMs) cut();
        else if (pending === undefined && hasRoom && now - tookAt > heartbeatMs) self.offer(': alive\n\n', isLast);
      },
      end() {
        isLast = true;
        if (pending === undefined && hasRoom) give();
        else cut();
      },
      get isBehind() {
        return pending !== undefined;
      },
    };
    return { stream, self };
  }

  function show(feed: Feed, view: BroadcastView): void {
    const text = JSON.stringify(view);
    if (text === feed.shown) return;
    feed.shown = text;
    for (const one of feed.clients) one.offer(frameOf(text, isOver(view)), isOver(view));
  }

  async function look(services: Services, id: string, feed: Feed): Promise<void> {
    const now = performance.now();
    for (const one of feed.clients) one.tend(now);
    if (draining()) for (const one of feed.clients) one.end();
    // Nobody reads: the store is not asked for them.
    if (feed.looking || [...feed.clients].every((one) => one.isBehind)) return;
    feed.looking = true;
    try {
      const view = await services.findBroadcast(id);
      if (view !== undefined) show(feed, view);
      else for (const one of feed.clients) one.end();
    } catch {
      // The store is away: the next look tells.
    } finally {
      feed.looking = false;
    }
  }

  function feedOf(services: Services, id: string): Feed {
    const known = feeds.get(id);
    if (known !== undefined) return known;
    const timer = setInterval(() => void look(services, id, feed), lookMs);
    const feed: Feed = { clients: new Set(), shown: '', looking: false, timer };
    feeds.set(id, feed);
    return feed;
  }

  return {
    async open(services, id, lastEventId, cut) {
      const view = await getBroadcast(services, id);
      if (isOver(view) && lastEventId === OVER_ID) return undefined;
      if (open >= most) {
        const detail = `${most} streams are open in this process; ask for the broadcast itself.`;
        throw new Problem({ status: 503, code: 'PH_STREAMS_TOO_MANY', detail, retryAfter: 10 });
      }
      open += 1;
      const feed = feedOf(services, id);
      const { stream, self } = client(cut, () => {
        open -= 1;
        feed.clients.delete(self);
        if (feed.clients.size > 0) return;
        clearInterval(feed.timer);
        feeds.delete(id);
      });
      feed.clients.add(self);
      const text = JSON.stringify(view);
      if (feed.clients.size === 1) feed.shown = text;
      self.offer(`retry: ${RETRY_MS}\n${frameOf(text, isOver(view))}`, isOver(view));
      return { stream };
    },
  };
}

const frameOf = (text: string, last: boolean): string => `${last ? `id: ${OVER_ID}\n` : ''}data: ${text}\n\n`;
