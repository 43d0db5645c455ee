import type { Answer } from '../delivery/outcome.js';

/** One update as Telegram sent it. */
export interface RawUpdate {
  readonly update_id: number;
  readonly [field: string]: unknown;
}

/** The closed union of ends of a call that serves the receiving side (getUpdates, deleteWebhook, getMe). */
export type PollEnd =
  | { readonly kind: 'ok'; readonly result: unknown }
  /** Another poller, or a webhook, has the bot's updates. */
  | { readonly kind: 'conflict'; readonly webhook: boolean; readonly description: string }
  /** The token is refused. */
  | { readonly kind: 'unauthorized'; readonly description: string }
  | { readonly kind: 'limited'; readonly retryAfterMs: number }
  | { readonly kind: 'failed'; readonly reason: string };

/** The end of a call by its status and Telegram's exact descriptions; whatever the body is, never throws. */
export function pollEnd(answer: Answer): PollEnd {
  if (answer.kind === 'failure') return { kind: 'failed', reason: answer.reason };
  const body = record(answer.body);
  if (answer.status === 200 && body?.ok === true) return { kind: 'ok', result: body.result };
  const description = typeof body?.description === 'string' ? body.description : `status ${answer.status}`;
  switch (answer.status) {
    case 401:
      return { kind: 'unauthorized', description };
    case 404:
      // A proxy's page is no word of Telegram's: only its own 404 means that there is no such bot.
      return body?.ok === false ? { kind: 'unauthorized', description } : { kind: 'failed', reason: description };
    case 409:
      return { kind: 'conflict', webhook: /webhook is active/.test(description), description };
    case 429: {
      const seconds = Number(record(body?.parameters)?.retry_after ?? answer.retryAfterHeader ?? 1);
      return { kind: 'limited', retryAfterMs: Math.max(1, Number.isFinite(seconds) ? seconds : 1) * 1_000 };
    }
    default:
      return { kind: 'failed', reason: description };
  }
}

/** The updates in a result of getUpdates by ascending id, each id once, and how many entries were none (without a whole update_id). Never throws. */
export function updatesOf(result: unknown): { updates: RawUpdate[]; malformed: number } {
  const entries: unknown[] = Array.isArray(result) ? result : [result];
  const found = entries.filter(isUpdate);
  const byId = new Map(found.map((update) => [update.update_id, update]));
  const updates = [...byId.values()].sort((a, b) => a.update_id - b.update_id);
  return { updates, malformed: entries.length - found.length };
}

function isUpdate(entry: unknown): entry is RawUpdate {
  return Number.isSafeInteger(record(entry)?.update_id);
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}
