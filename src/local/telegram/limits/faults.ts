import { isObject } from '../bot-api/arguments.js';
import { LIMIT_MODELS, type LimitModel } from './rate-limits.js';

const DELAY_MAX_MS = 600_000;
const RETRY_AFTER_MAX_S = 86_400;

/** What goes wrong on purpose. Shares are 0–1; `retryAfter` is in whole seconds; times in ms. */
export interface Faults {
  readonly limits: LimitModel;
  readonly latencyMs: number;
  readonly jitterMs: number;
  readonly errorShare: number;
  readonly loseAnswerShare: number;
  readonly blockedShare: number;
  readonly tooMany: { readonly share: number; readonly retryAfter: number };
}

/** Nothing goes wrong, and Telegram's limits hold. */
export const NO_FAULTS: Faults = {
  limits: 'telegram',
  latencyMs: 0,
  jitterMs: 0,
  errorShare: 0,
  loseAnswerShare: 0,
  blockedShare: 0,
  tooMany: { share: 0, retryAfter: 1 },
};

/** Lays the fields of a request over the faults that hold; a wrong or unknown field gives the error's text, which names it. Never throws. */
export function changeFaults(now: Faults, wish: unknown): Faults | string {
  if (!isObject(wish)) return 'body: expected an object';
  const next = { ...now };
  for (const [name, value] of Object.entries(wish)) {
    switch (name) {
      case 'limits': {
        const model = LIMIT_MODELS.find((known) => known === value);
        if (model === undefined) return `limits: expected one of ${LIMIT_MODELS.join(', ')}`;
        next.limits = model;
        break;
      }
      case 'latencyMs':
      case 'jitterMs':
        if (!inRange(value, 0, DELAY_MAX_MS)) return `${name}: expected a number of 0 to ${DELAY_MAX_MS}`;
        next[name] = value;
        break;
      case 'errorShare':
      case 'loseAnswerShare':
      case 'blockedShare':
        if (!inRange(value, 0, 1)) return `${name}: expected a number of 0 to 1`;
        next[name] = value;
        break;
      case 'tooMany': {
        const tooMany = changeTooMany(now.tooMany, value);
        if (typeof tooMany === 'string') return tooMany;
        next.tooMany = tooMany;
        break;
      }
      default:
        return `${name}: no such field`;
    }
  }
  return next;
}

function changeTooMany(now: Faults['tooMany'], wish: unknown): Faults['tooMany'] | string {
  if (wish === null) return NO_FAULTS.tooMany;
  if (!isObject(wish)) return 'tooMany: expected an object';
  let { share, retryAfter } = now;
  for (const [name, value] of Object.entries(wish)) {
    if (name === 'share') {
      if (!inRange(value, 0, 1)) return 'tooMany.share: expected a number of 0 to 1';
      share = value;
    } else if (name === 'retryAfter') {
      if (!inRange(value, 1, RETRY_AFTER_MAX_S) || !Number.isInteger(value)) {
        return `tooMany.retryAfter: expected a whole number of 1 to ${RETRY_AFTER_MAX_S}`;
      }
      retryAfter = value;
    } else return `tooMany.${name}: no such field`;
  }
  return { share, retryAfter };
}

function inRange(value: unknown, low: number, high: number): value is number {
  return typeof value === 'number' && value >= low && value <= high;
}

/** Whether `blockedShare` takes this chat: by a hash of its id, so always the same ones, and those of a smaller share are among those of a larger. Never throws. */
export function isBlockedByFault(share: number, chatId: number): boolean {
  if (share <= 0) return false;
  let hash = (chatId ^ Math.floor(chatId / 0x1_0000_0000)) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9_f3b) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9_f3b) >>> 0;
  return ((hash ^ (hash >>> 16)) >>> 0) / 0x1_0000_0000 < share;
}
