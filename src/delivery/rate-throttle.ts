/** Chats refused with 429 within the window that make it the bot's limit, and a wait of one refusal that does so alone. */
const STORM_CHATS = 3;
const STORM_WINDOW_MS = 5_000;
export const LONG_WAIT_MS = 10_000;
/** Refusals this soon after a cut belong to calls that were under way before it. */
const DEAF_AFTER_CUT_MS = 2_000;
/** Silence before the rate grows, and the time of a step. */
const GROW_AFTER_MS = 5_000;
const STEP_MS = 1_000;
/** Where a bot without a set rate starts from (docs/telegram.md: about 30 a second overall). */
const TELEGRAM_RATE = 30;

/**
 * The bot's rate under 429s: halved (never below 1 a second, or the set rate when that is lower) when 3 different chats are refused within 5 s or
 * one refusal asks for more than 10 s; after 5 s without a refusal it grows each second by a thirtieth of the set rate, at least 1 a second, up to it.
 * A lifted rate (0) falls to 30 and is lifted again past 60. When 3 different chats in a row are told to wait for more than 10 s and no message gets
 * through between, it is the bot that has to wait: until the first of these waits is over. No method throws.
 */
export interface RateThrottle {
  /** Takes a 429 in; true when it cut the rate. */
  onLimited(chatId: number, retryAfterMs: number, now: number): boolean;
  /** A message got through: Telegram does not make the bot as a whole wait. */
  onAccepted(): void;
  /** No call of the bot before that time; −Infinity when it never had to wait. */
  readonly waitUntil: number;
  /** The wait that an earlier owner had been told. */
  wait(until: number): void;
  /** Messages a second that hold now; 0 = lifted. */
  rateAt(now: number): number;
  /** When `rateAt` may next be higher; Infinity at the full rate. */
  nextStepAt(): number;
}

/** A throttle under the set rate; `current` (default: the set rate) is where an earlier owner had come to. Never throws. */
export function rateThrottle(perSecond: number, now: number, current = perSecond): RateThrottle {
  const lifted = !(perSecond > 0);
  const ceiling = lifted ? 2 * TELEGRAM_RATE : perSecond;
  const floor = Math.min(1, ceiling);
  const step = Math.max(1, ceiling / 30);
  let rate = lifted && !(current > 0) ? ceiling : Math.min(ceiling, Math.max(floor, current));
  let deafUntil = Number.NEGATIVE_INFINITY;
  let growAt = now + GROW_AFTER_MS;
  const recent = new Map<number, number>();
  /** Chats with a long wait since a message got through last, with the end of each. */
  const shut = new Map<number, number>();
  let waitUntil = Number.NEGATIVE_INFINITY;

  function wait(until: number): void {
    waitUntil = Math.max(waitUntil, until);
    // Silence while nothing is sent is no sign that more would be taken.
    growAt = Math.max(growAt, waitUntil + GROW_AFTER_MS);
  }

  function noteLongWait(chatId: number, until: number, at: number): void {
    for (const [chat, end] of shut) if (end <= at) shut.delete(chat);
    shut.set(chatId, until);
    if (shut.size >= STORM_CHATS && waitUntil <= at) wait(Math.min(...shut.values()));
  }

  function grow(at: number): void {
    if (rate >= ceiling || at < growAt) return;
    const steps = Math.floor((at - growAt) / STEP_MS) + 1;
    rate = Math.min(ceiling, rate + steps * step);
    growAt += steps * STEP_MS;
  }

  return {
    onLimited(chatId, retryAfterMs, at) {
      grow(at);
      growAt = Math.max(at, waitUntil) + GROW_AFTER_MS;
      if (retryAfterMs > LONG_WAIT_MS) noteLongWait(chatId, at + retryAfterMs, at);
      if (at < deafUntil) return false;
      recent.set(chatId, at);
      for (const [chat, when] of recent) if (at - when > STORM_WINDOW_MS) recent.delete(chat);
      if (recent.size < STORM_CHATS && retryAfterMs <= LONG_WAIT_MS) return false;
      recent.clear();
      deafUntil = at + DEAF_AFTER_CUT_MS;
      // Whole rates above 1: the part behind the point would be dropped by the pacing anyway.
      const half = rate / 2;
      rate = Math.max(floor, half > 1 ? Math.floor(half) : half);
      return true;
    },
    onAccepted: () => shut.clear(),
    get waitUntil() {
      return waitUntil;
    },
    wait,
    rateAt(at) {
      grow(at);
      return lifted && rate >= ceiling ? 0 : rate;
    },
    nextStepAt: () => (rate >= ceiling ? Number.POSITIVE_INFINITY : growAt),
  };
}
