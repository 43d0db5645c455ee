/**
 * How Telegram's limits are played (docs/contract.md, `PUT /local/faults`): `telegram` a sliding second with 50 ms tolerance, a 429 refuses that call only;
 * `strict` an exact sliding second, after a 429 that scope stays shut for `retry_after`; `bucket` a burst of 30, then 30 a second; `off`.
 */
export type LimitModel = 'telegram' | 'strict' | 'bucket' | 'off';

/** All models, the default first. */
export const LIMIT_MODELS: readonly LimitModel[] = ['telegram', 'strict', 'bucket', 'off'];

const TOLERANCE_MS = 50;
const BOT_CALLS = 30;
const SECOND_MS = 1000;
const ROUNDING_MS = 1e-6;

/** Calls and period of a group's limit: 20 a minute. */
export const GROUP_LIMIT = { calls: 20, periodMs: 60_000 } as const;

/** What is known of one scope (a bot, a group): its last `calls` takings, its bucket, and until when it is shut. Times in ms. */
export interface Pace {
  readonly calls: number;
  readonly periodMs: number;
  readonly taken: Float64Array;
  next: number;
  tokens: number;
  tokensAt: number;
  shutUntil: number;
}

/** A scope that has taken nothing yet; default: a bot's, 30 a second. Never throws. */
export function newPace(calls: number = BOT_CALLS, periodMs: number = SECOND_MS): Pace {
  const taken = new Float64Array(calls).fill(Number.NEGATIVE_INFINITY);
  return { calls, periodMs, taken, next: 0, tokens: calls, tokensAt: 0, shutUntil: 0 };
}

/** Seconds (whole, ≥ 1) until the scope takes a call again, 0 when it takes one now; `strict` shuts the scope by asking in vain. Never throws. */
export function paceWait(model: LimitModel, pace: Pace, now: number): number {
  if (model === 'off') return 0;
  if (model === 'bucket' && pace.periodMs === SECOND_MS) {
    refill(pace, now);
    return pace.tokens >= 1 - ROUNDING_MS ? 0 : 1;
  }
  if (model === 'strict' && now < pace.shutUntil) return wholeSeconds(pace.shutUntil - now);
  const oldest = pace.taken[pace.next] ?? Number.NEGATIVE_INFINITY;
  const wait = oldest + windowOf(model, pace.periodMs) - now;
  if (wait <= ROUNDING_MS) return 0;
  const seconds = wholeSeconds(wait);
  if (model === 'strict') pace.shutUntil = now + seconds * SECOND_MS;
  return seconds;
}

/** Notes a call that was let through. Never throws. */
export function paceTake(pace: Pace, now: number): void {
  pace.taken[pace.next] = now;
  pace.next = (pace.next + 1) % pace.calls;
  refill(pace, now);
  pace.tokens = Math.max(0, pace.tokens - 1);
}

/**
 * The same for a private chat, 1 a second, whose state its owner keeps: `last` is its last acceptance (0: none), `shutUntil` 0 or the end of a shut time.
 * Returns 0 or whole seconds ≥ 1; under `strict` the owner keeps the chat shut for them. Never throws.
 */
export function privateChatWait(model: LimitModel, last: number, shutUntil: number, now: number): number {
  if (model === 'off') return 0;
  if (model === 'strict' && now < shutUntil) return wholeSeconds(shutUntil - now);
  const wait = last + windowOf(model, SECOND_MS) - now;
  return last === 0 || wait <= ROUNDING_MS ? 0 : wholeSeconds(wait);
}

function windowOf(model: LimitModel, periodMs: number): number {
  return model === 'strict' ? periodMs : periodMs - TOLERANCE_MS;
}

function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / SECOND_MS));
}

function refill(pace: Pace, now: number): void {
  const gained = (Math.max(0, now - pace.tokensAt) * pace.calls) / pace.periodMs;
  pace.tokens = Math.min(pace.calls, pace.tokens + gained);
  pace.tokensAt = now;
}
