import { isObject, parseJson } from '../bot-api/arguments.js';
import type { AnswerPlace } from '../http/listener.js';
import type { WireFlood, WireTold } from '../page/browser/wire.js';
import type { Bot } from '../world/bot.js';

/** Entries kept; the chat page shows as many. */
const ENTRIES_MAX = 50;
const JSON_MAX = 2000;
const SUMMARY_MAX = 160;
const WHAT_MAX = 64;

/** What the bots were told last, all of them together: updates, and calls with their answers. Made into text once a turn. Never throws. */
export class BotLog {
  #kept: WireTold[] = [];
  #pending: (() => WireTold | undefined)[] = [];
  #lastFlood: WireFlood['last'];

  /** The newest refusal for too many requests that was noted. */
  get lastFlood(): WireFlood['last'] {
    return this.#lastFlood;
  }

  /** All that is kept, oldest first. */
  get entries(): readonly WireTold[] {
    return this.#kept;
  }

  /** Notes an update; `json` gives it as JSON when it is to be shown, undefined when it is gone by then. */
  noteUpdate(at: number, bot: Bot, json: () => string | undefined): void {
    this.#note(() => {
      const text = json();
      return text === undefined ? undefined : showUpdate(at, bot.making.id, text);
    });
  }

  /** Notes a call once it is answered; getUpdates only when it is refused. */
  noteCall(
    now: () => number,
    bot: Bot,
    method: string,
    args: Readonly<Record<string, unknown>>,
    exchange: AnswerPlace,
  ): void {
    const { answer } = exchange;
    exchange.answer = (code, body, ...rest) => {
      const at = now();
      const botId = bot.making.id;
      if (code === 429) this.#lastFlood = { at, botId, method, retryAfter: retryAfterOf(body) };
      if (code !== 200 || method !== 'getUpdates') {
        this.#note(() => ({ at, botId, kind: 'call', what: clip(method, WHAT_MAX), ...showCall(args, code, body) }));
      }
      answer.call(exchange, code, body, ...rest);
    };
  }

  /** Notes that a webhook did not take an update, and why. */
  noteWebhook(at: number, bot: Bot, description: string): void {
    const what = clip(bot.settings.webhook?.url ?? 'webhook', WHAT_MAX);
    this.#note(() => ({
      at,
      botId: bot.making.id,
      kind: 'webhook',
      what,
      summary: '',
      json: '',
      code: 0,
      description,
    }));
  }

  /** What was noted since the last call, oldest first. */
  takeFresh(): WireTold[] {
    if (this.#pending.length === 0) return [];
    const fresh = this.#pending.map((show) => show()).filter((entry) => entry !== undefined);
    this.#pending = [];
    this.#kept = [...this.#kept, ...fresh].slice(-ENTRIES_MAX);
    return fresh;
  }

  #note(show: () => WireTold | undefined): void {
    this.#pending.push(show);
    if (this.#pending.length > ENTRIES_MAX) this.#pending.shift();
  }
}

function showUpdate(at: number, botId: number, json: string): WireTold {
  const update = parseJson(json);
  const what = isObject(update) ? (Object.keys(update).find((name) => name !== 'update_id') ?? '') : '';
  const content = isObject(update) ? update[what] : undefined;
  return {
    at,
    botId,
    kind: 'update',
    what,
    summary: isObject(content) ? clip(updateSummary(content), SUMMARY_MAX) : '',
    json: clip(json, JSON_MAX),
    code: 0,
  };
}

function updateSummary(content: Record<string, unknown>): string {
  const { text, caption, data, new_chat_member: member } = content;
  for (const words of [text, caption, data]) if (typeof words === 'string') return words;
  return isObject(member) ? String(member.status) : '';
}

function showCall(
  args: Readonly<Record<string, unknown>>,
  code: number,
  body: string,
): Pick<WireTold, 'chat' | 'summary' | 'json' | 'code' | 'description'> {
  const { description } = code === 200 ? {} : readAnswer(body);
  const { chat_id: chat } = args;
  return {
    code,
    ...((typeof chat === 'number' || typeof chat === 'string') && { chat: clip(String(chat), SUMMARY_MAX) }),
    summary: clip(callSummary(args), SUMMARY_MAX),
    json: clip(JSON.stringify(args, withoutBytes), JSON_MAX),
    ...(description !== undefined && { description }),
  };
}

function callSummary({ text, caption, commands }: Readonly<Record<string, unknown>>): string {
  for (const words of [text, caption]) if (typeof words === 'string') return words;
  return Array.isArray(commands) ? `${commands.length} commands` : '';
}

function readAnswer(body: string): { description?: string; retryAfter?: number } {
  const answer = parseJson(body);
  if (!isObject(answer)) return {};
  const { description, parameters } = answer;
  const retryAfter = isObject(parameters) ? parameters.retry_after : undefined;
  return {
    ...(typeof description === 'string' && { description }),
    ...(typeof retryAfter === 'number' && { retryAfter }),
  };
}

function retryAfterOf(body: string): number {
  return readAnswer(body).retryAfter ?? 0;
}

/** Contents of files are told by their size. */
function withoutBytes(_name: string, value: unknown): unknown {
  return value instanceof Uint8Array ? `${value.length} bytes` : value;
}

function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
