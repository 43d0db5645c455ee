import type { MessageClass } from './lanes.js';
import type { Outcome, Reach } from './outcome.js';

/** Attempts that a message may spend before it is dead. */
export const MAX_ATTEMPTS = 3;
/** How long a chat rests after a call that ended ambiguously, since a late arrival could overtake. */
export const REST_AFTER_AMBIGUOUS_MS = 2_000;

const REST_AFTER_NOT_SENT_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;

/** What went wrong, as shown to the operator; `code` is Telegram's or the HTTP status, 0 when no answer came. */
export interface DeliveryError {
  readonly code: number;
  readonly description: string;
}

/**
 * What follows from the end of a call. `restMs`: the chat gets no call for that long from the end on (beside its pacing).
 * `again`: the same item stays first in its chain; with `spendAttempt` one of its attempts is gone; with `doubt` it is open whose fault it was,
 * and `Outage.blame` is asked (since the end of this call) before the next call.
 */
export type Decision =
  | { readonly kind: 'settle'; readonly state: 'sent'; readonly messageId: number; readonly restMs: 0 }
  | {
      readonly kind: 'settle';
      readonly state: 'blocked';
      readonly reach: Reach;
      readonly error: DeliveryError;
      readonly restMs: 0;
    }
  | {
      readonly kind: 'settle';
      readonly state: 'dead' | 'unknown';
      readonly error: DeliveryError;
      readonly restMs: number;
    }
  | { readonly kind: 'again'; readonly spendAttempt: boolean; readonly doubt: boolean; readonly restMs: number }
  | { readonly kind: 'migrate'; readonly toChatId: number };

/** Pause (ms) before the next call after `attempt` spent ones: 2 s doubled each time, at most 60 s, and up to a quarter more by `random` (0 ≤ x < 1). Never throws. */
export function backoffMs(attempt: number, random: () => number): number {
  return Math.min(MAX_BACKOFF_MS, REST_AFTER_AMBIGUOUS_MS * 2 ** attempt) * (1 + random() / 4);
}

/**
 * The table of docs/protocol.md, "Ends of a call". `attempts`: spent before this call. `othersSucceededSince`: another message was delivered, or a
 * getMe answered that was asked, since this call failed; mostly not known at its end, then the decision is a `doubt`. `random` (default: none) spreads the pauses. Never throws.
 */
export function afterEnd(args: {
  readonly outcome: Outcome;
  readonly klass: MessageClass;
  readonly attempts: number;
  readonly othersSucceededSince: boolean;
  readonly random?: () => number;
}): Decision {
  const { outcome, klass, attempts, othersSucceededSince } = args;
  const random = args.random ?? (() => 0);
  switch (outcome.kind) {
    case 'sent':
      return { kind: 'settle', state: 'sent', messageId: outcome.messageId, restMs: 0 };
    case 'blocked':
      return { kind: 'settle', state: 'blocked', reach: outcome.reach, error: errorOf(outcome), restMs: 0 };
    case 'migrated':
      return { kind: 'migrate', toChatId: outcome.toChatId };
    case 'limited':
      return { kind: 'again', spendAttempt: false, doubt: false, restMs: outcome.retryAfterMs };
    case 'rejected':
      return { kind: 'settle', state: 'dead', error: errorOf(outcome), restMs: 0 };
    case 'not-sent':
      // Not a byte of the message left: it cannot be the message's fault, however often.
      return { kind: 'again', spendAttempt: false, doubt: false, restMs: REST_AFTER_NOT_SENT_MS * (1 + random() / 4) };
    case 'ambiguous':
      if (klass === 'at-most-once') {
        return { kind: 'settle', state: 'unknown', error: errorOf(outcome), restMs: REST_AFTER_AMBIGUOUS_MS };
      }
      break;
    case 'unauthorized':
      break;
  }
  if (othersSucceededSince && attempts + 1 >= MAX_ATTEMPTS) {
    return {
      kind: 'settle',
      state: 'dead',
      error: errorOf(outcome),
      restMs: outcome.kind === 'ambiguous' ? REST_AFTER_AMBIGUOUS_MS : 0,
    };
  }
  return {
    kind: 'again',
    spendAttempt: othersSucceededSince,
    doubt: !othersSucceededSince,
    restMs: backoffMs(attempts, random),
  };
}

/**
 * What to do with an item whose last failure is in doubt, when its turn has come again. `attempts`: spent so far; `blame`: from `Outage.blame`.
 * `dead`: settle it without a call; `call`: call, after spending one attempt if `spend`; `ask`: have a getMe asked (`Outage.wantProbe`) and come back. Never throws.
 */
export function beforeCall(args: {
  readonly attempts: number;
  readonly blame: 'message' | 'bot' | 'unsure';
}): { readonly kind: 'call'; readonly spend: boolean } | { readonly kind: 'dead' } | { readonly kind: 'ask' } {
  switch (args.blame) {
    case 'unsure':
      return { kind: 'ask' };
    case 'bot':
      return { kind: 'call', spend: false };
    case 'message':
      return args.attempts + 1 >= MAX_ATTEMPTS ? { kind: 'dead' } : { kind: 'call', spend: true };
  }
}

/** The error to show for a failed outcome; a success has code 0 and no words. Never throws. */
export function errorOf(outcome: Outcome): DeliveryError {
  switch (outcome.kind) {
    case 'blocked':
    case 'rejected':
    case 'unauthorized':
      return { code: outcome.code, description: outcome.description };
    case 'ambiguous':
      return { code: outcome.code, description: outcome.reason };
    case 'not-sent':
      return { code: 0, description: outcome.reason };
    case 'limited':
      return { code: 429, description: `Too Many Requests: retry after ${Math.ceil(outcome.retryAfterMs / 1000)}` };
    case 'migrated':
      return { code: 400, description: 'Bad Request: group chat was upgraded to a supergroup chat' };
    case 'sent':
      return { code: 0, description: '' };
  }
}
