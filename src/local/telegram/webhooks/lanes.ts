import { isObject } from '../bot-api/arguments.js';

const RESEND_MAX_S = 60;
const RETRY_AFTER_MAX_S = 3600;

/**
 * What an update is delivered in order with, as in Telegram's server: messages and posts by chat, a bot's own standing by chat, callback queries
 * by person, and other people's standings and join requests by person. Never throws.
 */
export function laneOf(update: Readonly<Record<string, unknown>>): string {
  const [kind = '', value] = Object.entries(update).find(([name]) => name !== 'update_id') ?? [];
  switch (kind) {
    case 'callback_query':
      return `press ${idIn(value, 'from')}`;
    case 'my_chat_member':
      return `own ${idIn(value, 'chat')}`;
    case 'chat_member':
      return `person ${idIn(isObject(value) ? value.new_chat_member : undefined, 'user')}`;
    case 'chat_join_request':
      return `person ${idIn(value, 'from')}`;
    default:
      return `chat ${idIn(value, 'chat')}`;
  }
}

function idIn(value: unknown, name: string): unknown {
  const inner = isObject(value) ? value[name] : undefined;
  return isObject(inner) ? inner.id : undefined;
}

/** What failed deliveries have made of a lane: how many there were of its first update, and the last pause (s). */
export interface Backoff {
  readonly failures: number;
  readonly delayS: number;
}

/** Nothing failed yet. */
export const NO_BACKOFF: Backoff = { failures: 0, delayS: 1 };

/**
 * How long to wait (whole seconds) after one more failure, and what it makes of the lane: none after the first, then 2, 4, 8 … up to a chance
 * of 60 to 120; `retryAfter`, where the answer gave one (0: none), counts instead, up to 3600. `random` is in [0, 1). Never throws.
 */
export function nextBackoff(
  { failures, delayS }: Backoff,
  retryAfter: number,
  random: number,
): { readonly waitS: number; readonly backoff: Backoff } {
  if (retryAfter > 0) {
    return { waitS: Math.min(RETRY_AFTER_MAX_S, retryAfter), backoff: { failures: failures + 1, delayS } };
  }
  if (failures === 0) return { waitS: 0, backoff: { failures: 1, delayS } };
  const waitS = Math.min(RESEND_MAX_S + Math.floor(random * (RESEND_MAX_S + 1)), delayS * 2);
  return { waitS, backoff: { failures: failures + 1, delayS: waitS } };
}
