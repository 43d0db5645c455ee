/**
 * What came back from one call of the Bot API. `body` is the parsed JSON, or undefined when there was none or it could not be parsed;
 * `retryAfterHeader` is in seconds. `beforeFirstByte`: the failure came before the first byte of the request was written.
 */
export type Answer =
  | { readonly kind: 'answer'; readonly status: number; readonly body: unknown; readonly retryAfterHeader?: number }
  | { readonly kind: 'failure'; readonly beforeFirstByte: boolean; readonly reason: string };

/** Why a recipient cannot be reached: `blocked` may come back by itself, `gone` is deleted or was never there. */
export type Reach = 'blocked' | 'gone';

/** The closed union of ends of a call that sends a message. */
export type Outcome =
  | { readonly kind: 'sent'; readonly messageId: number }
  /** The recipient cannot be reached. */
  | { readonly kind: 'blocked'; readonly code: number; readonly description: string; readonly reach: Reach }
  /** The group became a supergroup with this id. */
  | { readonly kind: 'migrated'; readonly toChatId: number }
  /** 429: nothing of this chat before that many ms have passed (1 s to 24 h). */
  | { readonly kind: 'limited'; readonly retryAfterMs: number }
  /** Telegram will never take this message. */
  | { readonly kind: 'rejected'; readonly code: number; readonly description: string }
  /** The bot itself was refused: counts against the bot. */
  | { readonly kind: 'unauthorized'; readonly code: 401 | 404; readonly description: string }
  /** Certainly not sent, and not the message's fault: counts against the bot. */
  | { readonly kind: 'not-sent'; readonly reason: string }
  /** May or may not have been sent; `code` is the HTTP status, 0 when no answer came. Counts against the bot. */
  | { readonly kind: 'ambiguous'; readonly code: number; readonly reason: string };

const DEFAULT_RETRY_AFTER_S = 1;
const MAX_RETRY_AFTER_S = 86_400;

/** The 403 and 400 descriptions (docs/telegram.md) after which there is nobody left to write to; any other 403 means `blocked`. */
const GONE: ReadonlySet<string> = new Set([
  'forbidden: user is deactivated',
  'forbidden: the group chat was deleted',
  'bad request: chat not found',
]);

/** What is kept of a description, UTF-16 units: Telegram's are a line, and those of a page of deliveries are written as one document. */
const DESCRIPTION_UNITS = 500;

/** Statuses that mean a broken request even when the answer is not in Telegram's form (a proxy's page). */
const BROKEN_REQUEST: ReadonlySet<number> = new Set([400, 413, 414, 431]);

/** The end of a sending call, by status and Telegram's exact descriptions; whatever the body is, never throws. */
export function classify(answer: Answer): Outcome {
  if (answer.kind === 'failure') {
    return answer.beforeFirstByte
      ? { kind: 'not-sent', reason: answer.reason }
      : { kind: 'ambiguous', code: 0, reason: answer.reason };
  }
  const body = record(answer.body);
  const refusal = body !== undefined && body.ok === false;
  const code = refusal && isErrorCode(body.error_code) ? body.error_code : answer.status;
  if (code >= 200 && code < 300) return accepted(code, refusal ? undefined : body);
  if (!(code >= 400 && code < 500)) return { kind: 'ambiguous', code: finite(code), reason: `status ${code}` };
  const given = refusal ? body.description : undefined;
  const description = typeof given === 'string' ? given.slice(0, DESCRIPTION_UNITS) : undefined;
  return refused(code, description, refusal ? record(body.parameters) : undefined, answer.retryAfterHeader);
}

/** Whether an answer to `getMe` shows that the bot works: a 2xx with `ok: true`. Never throws. */
export function isAlive(answer: Answer): boolean {
  return answer.kind === 'answer' && answer.status >= 200 && answer.status < 300 && record(answer.body)?.ok === true;
}

function accepted(code: number, body: Record<string, unknown> | undefined): Outcome {
  const messageId = body?.ok === true ? record(body.result)?.message_id : undefined;
  return typeof messageId === 'number' && Number.isSafeInteger(messageId)
    ? { kind: 'sent', messageId }
    : { kind: 'ambiguous', code, reason: `status ${code} with an unreadable body` };
}

function refused(
  code: number,
  given: string | undefined,
  parameters: Record<string, unknown> | undefined,
  retryAfterHeader: number | undefined,
): Outcome {
  const description = given ?? `status ${code}`;
  if (code === 429) return { kind: 'limited', retryAfterMs: retryAfterMs(parameters?.retry_after, retryAfterHeader) };
  if (code === 401 || code === 404) return { kind: 'unauthorized', code, description };
  if (given === undefined && !BROKEN_REQUEST.has(code)) {
    // Not Telegram's words: a proxy's page. It must neither mark a person as unreachable nor kill the message.
    return { kind: 'not-sent', reason: `status ${code} without an answer of Telegram` };
  }
  const moved = parameters?.migrate_to_chat_id;
  if (code === 400 && typeof moved === 'number' && Number.isSafeInteger(moved) && moved !== 0) {
    return { kind: 'migrated', toChatId: moved };
  }
  const words = description.toLowerCase();
  if (code === 403 || (code === 400 && words === 'bad request: chat not found')) {
    return { kind: 'blocked', code, description, reach: GONE.has(words) ? 'gone' : 'blocked' };
  }
  return { kind: 'rejected', code, description };
}

function retryAfterMs(parameter: unknown, header: number | undefined): number {
  const seconds = positive(parameter) ?? positive(header) ?? DEFAULT_RETRY_AFTER_S;
  return Math.ceil(Math.min(Math.max(seconds, 1), MAX_RETRY_AFTER_S) * 1000);
}

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && value > 0 ? value : undefined;
}

function isErrorCode(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 400 && value < 600;
}

function finite(code: number): number {
  return Number.isFinite(code) ? code : 0;
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}
