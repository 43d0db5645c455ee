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

/** What is added to each limit's period for network jitter (docs/protocol.md: no 429 at jitter ≤ 20 ms). */
export const JITTER_MS = 25;

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
/** R bulk messages spread over this share of a second, so that a reply finds a gap. */
const BULK_SPREAD_MS = 900;
/** A rate above this cannot be reached by one process and is taken as lifted: it bounds the memory. */
const MAX_RATE = 100_000;

/** The pace of one bot's calls: rate, spacing of the bulk lane, slots. Times are ms of one monotonic clock. */
export interface BotPacing {
  /** When a call of that lane may start: ≥ `now`; Infinity while no slot is free or the bot is paused (wait for an event then). Never throws. */
  earliest(lane: Lane, now: number): number;
  /** Notes a call that starts now and takes a slot; throws PH_PACING_EARLY when `earliest` is later than `now`. */
  take(lane: Lane, now: number): void;
  /** Gives a slot back, once the outcome is durable; throws PH_PACING_SLOT when none is taken. */
  release(): void;
  /** Takes a slot without a send: a call of an earlier incarnation is still in the air. May pass the concurrency. Never throws. */
  adopt(): void;
  readonly inFlight: number;
  /** Changes the rate from now on; 0 lifts it. The last sends count against the new rate. Never throws. */
  setRate(perSecond: number): void;
  readonly rate: number;
  /** No call of any lane before `at`; never shortens an earlier word. Never throws. */
  quietUntil(at: number): void;
  /** No calls until `resume`. Never throws. */
  pause(): void;
  resume(): void;
}

/**
 * The period (ms) in which at most `sends` calls may start, by the bot's rate: R in 1000 + J ms, or one in 1000/R + J ms when R is below 1;
 * `sends` is 0 when the rule is lifted. Never throws.
 */
export function windowOf(perSecond: number): { readonly sends: number; readonly ms: number } {
  if (!(perSecond > 0) || perSecond > MAX_RATE) return { sends: 0, ms: 0 };
  if (perSecond < 1) return { sends: 1, ms: SECOND_MS / perSecond + JITTER_MS };
  return { sends: Math.floor(perSecond), ms: SECOND_MS + JITTER_MS };
}

/** How long (ms) a chat waits from one send to the next: 1000/R + J for a private chat, 60000/R + J for a group; 0 when lifted. Never throws. */
export function chatSpacingMs(chatId: number, rates: Rates): number {
  const group = chatId < 0;
  const rate = group ? rates.perGroupMinute : rates.perChatSecond;
  if (!(rate > 0)) return 0;
  return (group ? MINUTE_MS : SECOND_MS) / (rate < 1 ? rate : Math.floor(rate)) + JITTER_MS;
}

/** The pacing of one bot; `concurrency` (≥ 1) is the number of slots. A send starts when the Rth last one is ≥ 1000 + J ms ago (docs/protocol.md, Pacing). Never throws. */
export function botPacing(rates: Rates, concurrency: number): BotPacing {
  let rate = rates.perSecond;
  let window = windowOf(rate);
  /** The starts of the last sends; `newest` is the place of the last one. Long enough for the highest rate seen. */
  let ring = new Float64Array(Math.max(1, window.sends)).fill(Number.NEGATIVE_INFINITY);
  let newest = 0;
  let lastBulk = Number.NEGATIVE_INFINITY;
  let quiet = Number.NEGATIVE_INFINITY;
  let inFlight = 0;
  let paused = false;

  function earliest(lane: Lane, now: number): number {
    if (paused || inFlight >= concurrency) return Number.POSITIVE_INFINITY;
    let at = Math.max(now, quiet);
    if (window.sends === 0) return at;
    const place = (newest - window.sends + 1 + ring.length) % ring.length;
    at = Math.max(at, (ring[place] ?? Number.NEGATIVE_INFINITY) + window.ms);
    if (lane === 'bulk') at = Math.max(at, lastBulk + BULK_SPREAD_MS / Math.max(1, window.sends));
    return at;
  }

  return {
    earliest,
    take(lane, now) {
      const at = earliest(lane, now);
      if (at > now) throw bug('PH_PACING_EARLY', `a ${lane} call at ${now}, allowed at ${at}`);
      newest = (newest + 1) % ring.length;
      ring[newest] = now;
      if (lane === 'bulk') lastBulk = now;
      inFlight += 1;
    },
    release() {
      if (inFlight === 0) throw bug('PH_PACING_SLOT', 'a slot was given back twice');
      inFlight -= 1;
    },
    adopt() {
      inFlight += 1;
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
      // Sends older than the ring are not known any more: they are taken to be as young as the oldest that is known.
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
