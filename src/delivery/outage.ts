import type { Outcome } from './outcome.js';

/** Failures in a row, and the different chats they must be spread over, that make it the bot's fault. */
const OUTAGE_FAILURES = 5;
const OUTAGE_CHATS = 3;

const FIRST_PROBE_MS = 1_000;
const MAX_PROBE_MS = 60_000;
const UNAUTHORIZED_PROBE_MS = 60_000;
/** A pause this long ago is no reason for suspicion any more. */
const HALF_OPEN_MS = 120_000;

/**
 * The failures of one bot as a whole. A probe is a getMe; the caller asks it when `probeAt()` has come, says `probing` as it starts and `onProbe`
 * when it ended. Times are ms of one monotonic clock. No method throws.
 *
 * Running → paused: 5 counted ends in a row (ambiguous, not-sent, unauthorized) over 3 or more chats. Over fewer chats (a bot with one or two
 * waiting) a getMe is due instead, and a failed getMe pauses. Paused → running: a probe that answers, or a late success of a call that was in
 * the air. After that the bot is `halfOpen` until a message gets through, at most 2 minutes: one counted failure pauses it again, and the pauses go on doubling
 * where they were, so a Telegram that answers getMe but takes no messages is met with few calls.
 */
export interface Outage {
  /** Takes the end of a call in; tells what changed. */
  onEnd(chatId: number, outcome: Outcome, now: number): 'none' | 'paused' | 'resumed';
  readonly paused: boolean;
  /** True after a pause until a message got through: better one call at a time. */
  readonly halfOpen: boolean;
  /** When the next probe is due; Infinity when none is, or one is under way. Paused: 1 s, doubled to 60 s; after a 401 each 60 s. */
  probeAt(): number;
  probing(now: number): void;
  /** `unauthorized`: the probe was answered with 401. Tells what changed. */
  onProbe(ok: boolean, now: number, unauthorized?: boolean): 'none' | 'paused' | 'resumed';
  /** Nobody will tell of the probe that is under way, if one is: another is due now. */
  probeLost(now: number): void;
  /** A probe is wanted now, since `blame` was unsure. */
  wantProbe(now: number): void;
  /**
   * Whose fault a call was that ended with a counted failure at `since`: the `bot`'s when an outage that a probe confirmed lasted beyond `since`,
   * the `message`'s when others got through since or a getMe asked since was answered, else `unsure`.
   */
  blame(since: number): 'message' | 'bot' | 'unsure';
  /** Whether a message got through, or a getMe asked since was answered, at `since` or later. */
  succeededSince(since: number): boolean;
  /** Why the bot is paused; undefined while it runs. */
  readonly reason: string | undefined;
  /** The token is refused: an operator must act. */
  readonly alert: boolean;
}

/** A bot that runs and has failed nothing yet. Never throws. */
export function outage(): Outage {
  let paused = false;
  let halfOpen = false;
  let halfOpenUntil = Number.NEGATIVE_INFINITY;
  let unauthorized = false;
  let reason: string | undefined;
  let streak = 0;
  const streakChats = new Set<number>();
  let probeAt = Number.POSITIVE_INFINITY;
  let askedAt: number | undefined;
  let waitMs = FIRST_PROBE_MS;
  let lastSuccess = Number.NEGATIVE_INFINITY;
  /** Whether a probe of the present pause failed, and until when such a confirmed outage lasted. */
  let confirmed = false;
  let confirmedUntil = Number.NEGATIVE_INFINITY;

  function calm(): void {
    streak = 0;
    streakChats.clear();
  }

  function pause(why: string, refused: boolean, now: number): 'paused' {
    paused = true;
    reason = why;
    unauthorized = refused;
    calm();
    schedule(now);
    return 'paused';
  }

  function schedule(now: number): void {
    probeAt = now + (unauthorized ? UNAUTHORIZED_PROBE_MS : waitMs);
    waitMs = Math.min(MAX_PROBE_MS, waitMs * 2);
  }

  function resume(now: number): 'resumed' {
    if (confirmed) confirmedUntil = now;
    confirmed = false;
    paused = false;
    halfOpen = true;
    halfOpenUntil = now + HALF_OPEN_MS;
    unauthorized = false;
    reason = undefined;
    probeAt = Number.POSITIVE_INFINITY;
    return 'resumed';
  }

  function close(): void {
    halfOpen = false;
    waitMs = FIRST_PROBE_MS;
  }

  function onSuccess(now: number): 'none' | 'resumed' {
    const change = paused ? resume(now) : 'none';
    close();
    lastSuccess = now;
    calm();
    return change;
  }

  return {
    onEnd(chatId, outcome, now) {
      if (outcome.kind === 'limited') return 'none';
      const why = failureOf(outcome);
      if (why === undefined) return onSuccess(now);
      const refused = outcome.kind === 'unauthorized' && outcome.code === 401;
      if (paused) {
        if (refused) unauthorized = true;
        return 'none';
      }
      if (halfOpen && now > halfOpenUntil) close();
      streak += 1;
      if (streakChats.size < OUTAGE_CHATS) streakChats.add(chatId);
      if (halfOpen || (streak >= OUTAGE_FAILURES && streakChats.size >= OUTAGE_CHATS)) return pause(why, refused, now);
      if (streak >= OUTAGE_FAILURES && askedAt === undefined) probeAt = Math.min(probeAt, now);
      return 'none';
    },
    get paused() {
      return paused;
    },
    get halfOpen() {
      return halfOpen;
    },
    probeAt() {
      return askedAt === undefined ? probeAt : Number.POSITIVE_INFINITY;
    },
    probing(now) {
      askedAt = now;
      probeAt = Number.POSITIVE_INFINITY;
    },
    onProbe(ok, now, refused = false) {
      const asked = askedAt ?? now;
      askedAt = undefined;
      if (ok) {
        if (asked > lastSuccess) lastSuccess = asked;
        calm();
        probeAt = Number.POSITIVE_INFINITY;
        return paused ? resume(now) : 'none';
      }
      confirmed = true;
      const why = refused ? 'getMe: 401' : 'getMe failed';
      if (!paused) return pause(why, refused, now);
      reason = why;
      unauthorized = refused;
      schedule(now);
      return 'none';
    },
    probeLost(now) {
      if (askedAt === undefined) return;
      askedAt = undefined;
      probeAt = now;
    },
    wantProbe(now) {
      if (!paused && askedAt === undefined) probeAt = Math.min(probeAt, now);
    },
    blame(since) {
      if ((paused && confirmed) || confirmedUntil >= since) return 'bot';
      return lastSuccess >= since ? 'message' : 'unsure';
    },
    succeededSince(since) {
      return lastSuccess >= since;
    },
    get reason() {
      return reason;
    },
    get alert() {
      return unauthorized;
    },
  };
}

/** The words of an end that counts against the bot; undefined for any answer that shows the bot at work. */
function failureOf(outcome: Outcome): string | undefined {
  switch (outcome.kind) {
    case 'ambiguous':
    case 'not-sent':
      return outcome.reason;
    case 'unauthorized':
      return outcome.description;
    default:
      return undefined;
  }
}
