import { Context, Telegram } from 'telegraf';
import type { UserFromGetMe } from 'telegraf/types';
import { cutText } from '../delivery/text/cut-text.js';
import { type Entity, entitiesAsHtml, MAX_ENTITIES } from '../delivery/text/entities.js';
import type { HandlerContext } from '../feature.js';
import type { RawUpdate } from '../ingress/poll-answer.js';
import type { NewMessage } from '../store/acceptance.js';

/** A handler's context with the messages that it has collected. */
export interface Collecting {
  readonly context: HandlerContext;
  /** Ends the collecting and answers what was collected, in order; later calls of the handler throw PH_HANDLER_LATE. */
  close(): readonly NewMessage[];
}

/** Most UTF-16 units of a text; what is longer than a message is sent in parts. */
const TEXT_UNITS = 32_768;
/** The thread of a forum is set by Telegraf itself in each reply; a message of the outbox has none, so it goes to the chat's main thread. */
const LEFT_OUT: ReadonlySet<string> = new Set(['message_thread_id']);
const TAKEN: ReadonlySet<string> = new Set(['chat_id', 'text', 'parse_mode', 'entities']);

/**
 * Makes the context of one update. Nothing reaches the network: `reply` and `sendMessage` are collected as messages of the lane `reply`,
 * at-least-once, and answer a stand-in without a message id (0), for the message is only sent later. Everything else rejects:
 * PH_HANDLER_METHOD (a method that is not built), PH_HANDLER_OPTION (an option of sendMessage that a message of the outbox cannot carry),
 * PH_HANDLER_TEXT (empty, over 32,768 units, or what Telegram cannot parse or no cut can split), PH_HANDLER_LATE.
 */
export function collectingContext(update: RawUpdate, me: UserFromGetMe, receivedAt: Date): Collecting {
  const collected: NewMessage[] = [];
  let open = true;
  const telegram = new Telegram('');
  const callApi = async (method: string, payload: Readonly<Record<string, unknown>>) => {
    if (!open) throw refusal('PH_HANDLER_LATE', `${method} was called after the handler had ended: await every call`);
    if (method !== 'sendMessage') {
      throw refusal(
        'PH_HANDLER_METHOD',
        `a handler cannot call ${method}: only sendMessage is built, which is collected and sent by the outbox`,
      );
    }
    const message = messageOf(payload);
    collected.push(message);
    return { message_id: 0, date: 0, chat: { id: message.chatId }, text: message.text };
  };
  Object.assign(telegram, { callApi });
  const context = new Context(update as unknown as ConstructorParameters<typeof Context>[0], telegram, me);
  return {
    context: Object.assign(context, { receivedAt }),
    close() {
      open = false;
      return collected;
    },
  };
}

function messageOf(payload: Readonly<Record<string, unknown>>): NewMessage {
  const { chat_id: chatId, text: plain, parse_mode: mode, entities } = payload;
  if (typeof chatId !== 'number' || !Number.isSafeInteger(chatId) || chatId === 0) {
    throw refusal('PH_HANDLER_OPTION', 'sendMessage in a handler needs a numeric chat_id');
  }
  if (typeof plain !== 'string' || plain.trim() === '' || plain.length > TEXT_UNITS) {
    throw refusal('PH_HANDLER_TEXT', `a text has 1 to ${TEXT_UNITS} UTF-16 units`);
  }
  if (mode !== undefined && mode !== 'HTML' && mode !== 'MarkdownV2') {
    throw refusal('PH_HANDLER_OPTION', `parse_mode is HTML or MarkdownV2, not ${String(mode)}`);
  }
  const isPlain = entities === undefined || mode !== undefined; // as Telegram does: with parse_mode, entities count for nothing
  const text = isPlain ? plain : htmlOf(plain, entities);
  const parseMode = isPlain ? mode : 'HTML';
  const cut = cutText(text, parseMode);
  if (cut.kind === 'refused') throw refusal('PH_HANDLER_TEXT', cut.reason);
  for (const [name, value] of Object.entries(payload)) {
    if (value !== undefined && !TAKEN.has(name) && !LEFT_OUT.has(name)) {
      throw refusal('PH_HANDLER_OPTION', `sendMessage in a handler cannot have ${name} yet`);
    }
  }
  return {
    chatId,
    text,
    ...(parseMode === undefined ? {} : { parseMode }),
    ...(cut.kind === 'parts' ? { parts: cut.parts } : {}),
    lane: 'reply',
    class: 'at-least-once',
  };
}

/** A text with the entities that a handler gave, as HTML. Throws PH_HANDLER_OPTION for entities that do not fit it. */
function htmlOf(text: string, entities: unknown): string {
  const fits =
    Array.isArray(entities) && entities.length <= MAX_ENTITIES && entities.every((one) => one instanceof Object);
  if (!fits) throw refusal('PH_HANDLER_OPTION', `entities are a list of at most ${MAX_ENTITIES} MessageEntity`);
  const found = entitiesAsHtml(text, entities as readonly Entity[]);
  if ('html' in found) return found.html;
  throw refusal('PH_HANDLER_OPTION', `entities[${found.index}].${found.field}: ${found.expected}`);
}

function refusal(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
