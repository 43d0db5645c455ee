import { z } from 'zod';
import type { NewMessage } from '../store/acceptance.js';
import { boundedText } from './bounded-text.js';

/** Most UTF-16 units of one text that Telegram takes in one message (Bot API, sendMessage); longer texts are refused until splitting is built. */
export const MAX_TEXT = 4_096;
/** Most UTF-16 units of a dedupKey. */
const MAX_DEDUP_KEY = 128;

const TEXT = `a text of 1–${MAX_TEXT} UTF-16 units`;
const CHAT_ID = 'a non-zero integer';

/** A Telegram chat id: a safe integer other than 0. */
export const chatId = z.number(CHAT_ID).refine((id) => Number.isSafeInteger(id) && id !== 0, CHAT_ID);
/** A bot's id: an opaque text. */
export const botId = boundedText(1, 64, 'the id of a bot, a text');
/** The text of a message, counted as JavaScript and Telegram count: in UTF-16 units. */
export const text = boundedText(1, MAX_TEXT, TEXT);
/** `parseMode` of a message. */
export const parseMode = z.enum(['HTML', 'MarkdownV2'], 'HTML or MarkdownV2');
/** `lane` of a message or broadcast. */
export const lane = z.enum(['reply', 'notify', 'bulk'], 'reply, notify or bulk');
/** `class` of a message or broadcast. */
export const messageClass = z.enum(['at-least-once', 'at-most-once'], 'at-least-once or at-most-once');

const DEDUP_KEY = `a text of 1–${MAX_DEDUP_KEY} UTF-16 units`;
/** `dedupKey` of a message: 1 to 128 UTF-16 units. */
export const dedupKey = boundedText(1, MAX_DEDUP_KEY, DEDUP_KEY);

/** What every message may carry beside its recipient. */
export const content = {
  text,
  parseMode: parseMode.optional(),
  lane: lane.optional(),
  class: messageClass.optional(),
  botId: botId.optional(),
};

/** One message of POST /api/send_messages. */
export const message = z.strictObject({ chatId, ...content, dedupKey: dedupKey.optional() }, 'a message: an object');

/** The message in the form the store takes: defaults filled in, absent fields absent. Never throws. */
export function newMessage(input: z.infer<typeof message>): NewMessage {
  return {
    chatId: input.chatId,
    text: input.text,
    ...(input.parseMode === undefined ? {} : { parseMode: input.parseMode }),
    lane: input.lane ?? 'notify',
    class: input.class ?? 'at-least-once',
    ...(input.dedupKey === undefined ? {} : { dedupKey: input.dedupKey }),
  };
}
