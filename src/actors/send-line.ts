import { LRUCache } from 'lru-cache';
import { lastPlace } from '../delivery/chat-moves.js';
import { COMMIT_STALL_MS } from '../delivery/lease-clock.js';
import { type Outage, outage } from '../delivery/outage.js';
import { type BotPacing, botPacing, type Rates } from '../delivery/pacing.js';
import type { Holding } from '../store/lease-keeper.js';
import type { PageBodies, SendStore } from '../store/send-store.js';
import { type CallRegistry, callRegistry } from '../telegram/call-registry.js';
import type { TelegramClient } from '../telegram/client.js';
import type { Clock } from './clock.js';

/** Bodies kept in memory per bot, bytes of text and heads: more than the largest page of 14 MiB weighs. */
const BODIES_BYTES = 32 * 1_048_576;

/**
 * What the sending of one bot keeps outside of its actors, so that a restarted pool or shard goes on where the calls are: the registry of calls,
 * the pace and its slots, the lease, the state of the outage, the bodies at hand, and the end of the last commit. It decides nothing by itself.
 */
export interface SendLine {
  readonly bot: string;
  readonly rates: Rates;
  readonly concurrency: number;
  readonly client: TelegramClient;
  readonly registry: CallRegistry;
  readonly pacing: BotPacing;
  outage: Outage;
  /** Until when Telegram makes the whole bot wait (monotonic ms); −Infinity when it never did. */
  waitUntil: number;
  holding: Holding | undefined;
  /** Ids of at-most-once calls that are begun and not settled. */
  readonly begun: Set<string>;
  /** Of these, those whose entry in the lease is durable: they may be called. */
  readonly begunDurable: Set<string>;
  /** The commit under way: of which tenure, when it began (monotonic ms), and its end. */
  commit: { readonly tenure: number; readonly since: number; readonly done: Promise<void> } | undefined;
  draining: boolean;
  /** Chats that became others, as far as that was met and is durable. */
  readonly moved: Map<number, number>;
  /** By chat: how many handovers of items from its old ids are under way; it gets no call meanwhile. */
  readonly moving: Map<number, number>;
  /** The chat that a chat has become, itself if none. Never throws. */
  whereIs(chatId: number): number;
  /** By shard, then by lane (its code): chats that could go now, as the shard last published. */
  readonly ready: (readonly number[])[];
  /** Gives the next handle of a page or number of a tenure: none is given twice, so a late word of an earlier life hits nothing. */
  nextSource(): number;
  /** True while a call may start, apart from pace and slots. */
  mayStart(now: number): boolean;
  /** The bodies of page `n` when they are at hand. */
  bodiesAtHand(n: number): PageBodies | undefined;
  /** Fetches the bodies of page `n`; callers that want the same page share one read. Resolves undefined when there is no such page. */
  fetchBodies(n: number): Promise<PageBodies | undefined>;
  keepBodies(page: PageBodies): void;
}

/** Makes the line of a bot. */
export function sendLine(options: {
  readonly bot: string;
  readonly rates: Rates;
  readonly concurrency: number;
  readonly client: TelegramClient;
  readonly store: SendStore;
  readonly clock: Clock;
}): SendLine {
  const { bot, rates, concurrency, client, store, clock } = options;
  const pacing = botPacing(rates, concurrency);
  const bodies = new LRUCache<number, PageBodies>({ maxSize: BODIES_BYTES, sizeCalculation: weight });
  const fetches = new Map<number, Promise<PageBodies | undefined>>();

  let sources = 0;

  const line: SendLine = {
    bot,
    rates,
    concurrency,
    client,
    registry: callRegistry(
      ({ startedAt }, answer) => pacing.answered(startedAt, clock.now(), answer?.kind === 'answer'),
      () => pacing.release(),
    ),
    pacing,
    outage: outage(),
    waitUntil: Number.NEGATIVE_INFINITY,
    holding: undefined,
    begun: new Set(),
    begunDurable: new Set(),
    commit: undefined,
    draining: false,
    moved: new Map(),
    moving: new Map(),
    whereIs: (chatId) => lastPlace(chatId, (place) => line.moved.get(place)),
    ready: [],
    nextSource: () => {
      sources += 1;
      return sources;
    },
    mayStart: (now) =>
      !line.draining &&
      !line.outage.paused &&
      (line.holding?.mayCall() ?? false) &&
      (line.commit === undefined || now - line.commit.since < COMMIT_STALL_MS) &&
      (!line.outage.halfOpen || line.registry.size === 0),
    bodiesAtHand: (n) => bodies.get(n),
    async fetchBodies(n) {
      const known = bodies.get(n);
      if (known !== undefined) return known;
      let fetch = fetches.get(n);
      if (fetch === undefined) {
        fetch = store
          .bodies(n)
          .then((page) => {
            if (page !== undefined) bodies.set(n, page);
            return page;
          })
          .finally(() => fetches.delete(n));
        fetches.set(n, fetch);
      }
      return fetch;
    },
    keepBodies(page) {
      bodies.set(page.n, page);
    },
  };
  return line;
}

function weight(page: PageBodies): number {
  return page.bodies.reduce(
    (sum, body) => sum + body.text.length * 2 + (body.parts?.length ?? 0) * 64 + 64,
    page.heads.length + 256,
  );
}
