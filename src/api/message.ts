import { z } from 'zod';
import { cutText, type TextPart } from '../delivery/text/cut-text.js';
import { type Entity, entitiesAsHtml, MAX_ENTITIES } from '../delivery/text/entities.js';
import type { NewMessage } from '../store/acceptance.js';
import { boundedText } from './bounded-text.js';

/** Most UTF-16 units of a text; what is longer than a message is sent in parts (src/delivery/text/cut-text.ts). */
export const MAX_TEXT = 32_768;
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
const ENTITIES = `a list of at most ${MAX_ENTITIES} entities as in the Bot API's MessageEntity`;
/** `entities` of a message, instead of `parseMode`; what they say is checked with the text. */
export const entities = z
  .array(
    z.object(
      {
        type: z.string('a type of MessageEntity'),
        offset: z.number('a whole number'),
        length: z.number('a whole number'),
        url: z.string('a text').optional(),
        user: z.object({ id: z.number('a whole number') }, 'a user with its id').optional(),
        language: z.string('a text').optional(),
        custom_emoji_id: z.string('a text').optional(),
      },
      'an entity: an object',
    ),
    ENTITIES,
  )
  .max(MAX_ENTITIES, ENTITIES);
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
  entities: entities.optional(),
  lane: lane.optional(),
  class: messageClass.optional(),
  botId: botId.optional(),
};

/** What of an input decides what is sent. */
interface TextInput {
  readonly text: string;
  readonly parseMode?: 'HTML' | 'MarkdownV2' | undefined;
  readonly entities?: readonly Entity[] | undefined;
}

/**
 * Adds to a checked input how its text is cut, if it is longer than a message; a text with entities becomes HTML. Refuses, by zod's issues, entities that do
 * not fit the text, a text that Telegram surely refuses, in its words (PH_TEXT_MALFORMED), and one that cannot be cut (PH_TEXT_UNSPLITTABLE). For zod's `transform`.
 */
export function withParts<T extends TextInput>(
  { entities: marks, ...input }: T,
  context: z.RefinementCtx,
): Omit<T, 'entities'> & { readonly parts?: readonly TextPart[] } {
  const sent = { ...input, ...(marks === undefined ? {} : marked(input, marks, context)) };
  const cut = cutText(sent.text, sent.parseMode);
  if (cut.kind === 'refused')
    context.addIssue({ code: 'custom', path: ['text'], message: cut.reason, params: { code: cut.code } });
  return cut.kind === 'parts' ? { ...sent, parts: cut.parts } : sent;
}

/** A text with entities as HTML; itself, with an issue, when that cannot be. */
function marked(
  { text: plain, parseMode: mode }: TextInput,
  marks: readonly Entity[],
  context: z.RefinementCtx,
): Pick<TextInput, 'text' | 'parseMode'> {
  if (mode !== undefined)
    context.addIssue({ code: 'custom', path: ['entities'], message: 'either entities or parseMode' });
  const found = entitiesAsHtml(plain, marks);
  if ('html' in found) return { text: found.html, parseMode: 'HTML' };
  context.addIssue({ code: 'custom', path: ['entities', found.index, found.field], message: found.expected });
  return { text: plain };
}

/** What is sent, as the store takes it, of a checked input. Never throws. */
export const contentOf = (input: {
  readonly text: string;
  readonly parseMode?: 'HTML' | 'MarkdownV2' | undefined;
  readonly parts?: readonly TextPart[];
}): Pick<NewMessage, 'text' | 'parseMode' | 'parts'> => ({
  text: input.text,
  ...(input.parseMode === undefined ? {} : { parseMode: input.parseMode }),
  ...(input.parts === undefined ? {} : { parts: input.parts }),
});

/** One message of POST /api/send_messages. */
export const message = z
  .strictObject({ chatId, ...content, dedupKey: dedupKey.optional() }, 'a message: an object')
  .transform(withParts);

/** The message in the form the store takes: defaults filled in, absent fields absent. Never throws. */
export function newMessage(input: z.infer<typeof message>): NewMessage {
  return {
    chatId: input.chatId,
    ...contentOf(input),
    lane: input.lane ?? 'notify',
    class: input.class ?? 'at-least-once',
    ...(input.dedupKey === undefined ? {} : { dedupKey: input.dedupKey }),
  };
}
