import { bug } from './bug.js';
import type { Lane } from './lanes.js';

/** The set rates; 0 lifts a rule (and its spacing). Fractions are allowed; above 1 the part behind the point is dropped, so that no sliding window ever holds more. */
export interface Rates {
  /** Messages a second of the bot. */
  readonly perSecond: number;
  /** Messages a second to one private chat. */
  readonly perChatSecond: number;
  /** Messages a minute to one group (a negative chat id). */
  readonly perGroupMinute: number;
}

/** What is added to each limit's period, ms: what no answer tells of how differently two calls travel, and a clock that runs a little faster. */
export const SLACK_MS = 5;
/** So many answers tell how long the way is at least; before, it counts as nothing, which is safe and costs rate. */
const KNOWN_WAY_ANSWERS = 50;
/** For so long, up to twice that, an answer counts for how long the way is at least, ms. */
const WAY_MEMORY_MS = 30_000;

/** The shortest call need not have had both of its halves shortest: so many times what the jitter lets expect of that, for so many answers, is taken off. */
const UNSEEN = 3;

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
/** How many bulk calls may make up for late turns, back to back: without it each lateness of a timer would slow a bot down for good. */
const BULK_CATCH_UP = 3;
/** A rate above this cannot be reached by one process and is taken as lifted: it bounds the memory. */
const MAX_RATE = 100_000;

/** The pace of one bot's calls: rate, spacing of the bulk lane, slots. Times are ms of one monotonic clock. */
export interface BotPacing {
  /** When a call of that lane may start: ≥ `now`; Infinity while no slot is free, R calls are unanswered or the bot is paused (wait for an event then). Never throws. */
  earliest(lane: Lane, now: number): number;
  /** Notes a call that starts now and takes a slot; throws PH_PACING_EARLY when `earliest` is later than `now`. */
  take(lane: Lane, now: number): void;
  /** The call that started at `startedAt` is over: `heard` when Telegram answered it. Until it is said the call counts as one that has yet to arrive. Never throws. */
  answered(startedAt: number, now: number, heard: boolean): void;
  /** From when a call that was answered at `answeredAt` counts against a limit: it arrived no later than one that starts then. ≤ `answeredAt`. Never throws. */
  countsFrom(answeredAt: number): number;
  /** Gives a slot back, once the outcome is durable; throws PH_PACING_SLOT when none is taken. */
  release(): void;
  readonly inFlight: number;
  /** Changes the rate from now on; 0 lifts it. The last calls count against the new rate. Never throws. */
  setRate(perSecond: number): void;
  readonly rate: number;
  /** No call of any lane before `at`; never shortens an earlier word. Never throws. */
  quietUntil(at: number): void;
  /** No calls until `resume`. Never throws. */
  pause(): void;
  resume(): void;
}

/**
 * The period (ms) in which at most `sends` calls may arrive, by the bot's rate: R in 1000 + S ms, or one in 1000/R + S ms when R is below 1 (S = 5);
 * `sends` is 0 when the rule is lifted. Never throws.
 */
export function windowOf(perSecond: number): { readonly sends: number; readonly ms: number } {
  if (!(perSecond > 0) || perSecond > MAX_RATE) return { sends: 0, ms: 0 };
  if (perSecond < 1) return { sends: 1, ms: SECOND_MS / perSecond + SLACK_MS };
  return { sends: Math.floor(perSecond), ms: SECOND_MS + SLACK_MS };
}

/** How long (ms) a chat waits from one send to the next: 1000/R + S for a private chat, 60000/R + S for a group; 0 when lifted. Never throws. */
export function chatSpacingMs(chatId: number, rates: Rates): number {
  const group = chatId < 0;
  const rate = group ? rates.perGroupMinute : rates.perChatSecond;
  if (!(rate > 0)) return 0;
  return (group ? MINUTE_MS : SECOND_MS) / (rate < 1 ? rate : Math.floor(rate)) + SLACK_MS;
}

/** The shortest way of a call, from start to answer, that was met lately: ms, 0 as long as too few are known. */
function shortestWay(): { note(ms: number, now: number): void; readonly ms: number } {
  const NONE = { shortest: Number.POSITIVE_INFINITY, count: 0, sum: 0 };
  let since = Number.NEGATIVE_INFINITY;
  let recent = NONE;
  let before = NONE;
  return {
    note(ms, now) {
      if (now - since >= WAY_MEMORY_MS) {
        before = now - since < 2 * WAY_MEMORY_MS ? recent : NONE;
        recent = { ...NONE };
        since = now;
      }
      recent.shortest = Math.min(recent.shortest, ms);
      recent.count += 1;
      recent.sum += ms;
    },
    get ms() {
      const answers = recent.count + before.count;
      if (answers < KNOWN_WAY_ANSWERS) return 0;
      const shortest = Math.min(recent.shortest, before.shortest);
      const jitter = (recent.sum + before.sum) / answers - shortest;
      return Math.max(0, shortest - UNSEEN * jitter * Math.sqrt(2 / answers));
    },
  };
}

/**
 * The pacing of one bot; `concurrency` (≥ 1) is the number of slots. When a call arrives at Telegram is not known, but it lies between its start and its answer,
 * and what its way took beyond the shortest one bounds how late it was. So a call starts when fewer than R of the others are unanswered, or were answered less than
 * 1000 + S ms and the shortest way ago (docs/decisions/0019): no sliding second at Telegram holds more, whatever the network or the machine does. Never throws.
 */
export function botPacing(rates: Rates, concurrency: number): BotPacing {
  let rate = rates.perSecond;
  let window = windowOf(rate);
  /** The ends of the last calls, each no earlier than the one before; `newest` is the place of the last. Long enough for the highest rate seen. */
  let ring = new Float64Array(Math.max(1, window.sends)).fill(Number.NEGATIVE_INFINITY);
  let newest = 0;
  let unanswered = 0;
  const way = shortestWay();
  /** When the last bulk call was due, at most so many spacings before it started. */
  let lastBulk = Number.NEGATIVE_INFINITY;
  let quiet = Number.NEGATIVE_INFINITY;
  let inFlight = 0;
  let paused = false;

  const bulkSpacing = () => SECOND_MS / Math.max(1, window.sends);
  const countsFrom = (answeredAt: number) => answeredAt - Math.min(way.ms, SECOND_MS);

  /** When the rules allow a call of that lane, whatever time it is now. */
  function due(lane: Lane): number {
    if (window.sends === 0) return quiet;
    const free = window.sends - unanswered;
    if (free <= 0) return Number.POSITIVE_INFINITY;
    const end = ring[(newest - free + 1 + ring.length) % ring.length] ?? Number.NEGATIVE_INFINITY;
    const at = Math.max(quiet, countsFrom(end) + window.ms);
    return lane === 'bulk' ? Math.max(at, lastBulk + bulkSpacing()) : at;
  }

  function earliest(lane: Lane, now: number): number {
    return paused || inFlight >= concurrency ? Number.POSITIVE_INFINITY : Math.max(now, due(lane));
  }

  return {
    earliest,
    take(lane, now) {
      const at = earliest(lane, now);
      if (at > now) throw bug('PH_PACING_EARLY', `a ${lane} call at ${now}, allowed at ${at}`);
      if (lane === 'bulk') lastBulk = Math.max(due(lane), now - BULK_CATCH_UP * bulkSpacing());
      unanswered += 1;
      inFlight += 1;
    },
    answered(startedAt, now, heard) {
      if (heard) way.note(now - startedAt, now);
      unanswered -= 1;
      newest = (newest + 1) % ring.length;
      ring[newest] = now;
    },
    countsFrom,
    release() {
      if (inFlight === 0) throw bug('PH_PACING_SLOT', 'a slot was given back twice');
      inFlight -= 1;
    },
    get inFlight() {
      return inFlight;
    },
    get rate() {
      return rate;
    },
    setRate(perSecond) {
      rate = perSecond;
      window = windowOf(perSecond);
      if (window.sends <= ring.length) return;
      // Ends older than the ring are not known any more: they are taken to be as young as the oldest that is known.
      const oldest = ring[(newest + 1) % ring.length] ?? Number.NEGATIVE_INFINITY;
      const longer = new Float64Array(window.sends).fill(oldest);
      for (let age = 0; age < ring.length; age += 1) {
        longer[longer.length - 1 - age] = ring[(newest - age + ring.length) % ring.length] ?? oldest;
      }
      ring = longer;
      newest = ring.length - 1;
    },
    quietUntil(at) {
      if (at > quiet) quiet = at;
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
    },
  };
}
