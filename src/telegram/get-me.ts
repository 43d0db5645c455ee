import type { Answer } from '../delivery/outcome.js';
import { pollEnd } from '../ingress/poll-answer.js';
import { telegramClient } from './client.js';

/** What getMe says of a token. */
export type Met =
  | { readonly kind: 'ok'; readonly username?: string }
  /** Telegram refuses the token; only an operator can help. */
  | { readonly kind: 'refused'; readonly description: string }
  /** Nothing is known: Telegram cannot be reached, or is not well. */
  | { readonly kind: 'failed'; readonly reason: string };

const TIMEOUT_MS = 10_000;

/** What an answer to getMe means. A 429 shows the bot at work. Never throws. */
export function metOf(answer: Answer): Met {
  const end = pollEnd(answer);
  switch (end.kind) {
    case 'ok': {
      const username: unknown = (end.result as { username?: unknown } | undefined)?.username;
      return { kind: 'ok', ...(typeof username === 'string' ? { username } : {}) };
    }
    case 'limited':
      return { kind: 'ok' };
    case 'unauthorized':
      return { kind: 'refused', description: end.description };
    case 'conflict':
      return { kind: 'failed', reason: end.description };
    default:
      return { kind: 'failed', reason: end.reason };
  }
}

/** Asks getMe for a token once, within 10 s. Never rejects. */
export async function getMe(apiRoot: string, token: string): Promise<Met> {
  const client = telegramClient(apiRoot, token, 1);
  try {
    return metOf(await client.call('getMe', {}, { timeoutMs: TIMEOUT_MS }));
  } finally {
    await client.destroy();
  }
}
