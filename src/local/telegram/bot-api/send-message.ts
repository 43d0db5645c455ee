import { history, messageJson } from '../control/message-view.js';
import { isBlockedByFault } from '../limits/faults.js';
import { privateChatWait } from '../limits/rate-limits.js';
import { findEntities } from '../text/text-entities.js';
import type { Bot } from '../world/bot.js';
import { chatJson, FIRST_PERSON_ID, type PeopleRange } from '../world/people.js';
import type { SentRecord, WrittenRecord } from '../world/record.js';
import type { World } from '../world/world.js';
import {
  type BotArguments,
  flagArgument,
  integerArgument,
  isObject,
  jsonArgument,
  textArgument,
  UNREADABLE_JSON,
} from './arguments.js';
import { BotRefusal, badRequest, REFUSALS, tooManyRequests } from './refusal.js';

const TEXT_MAX = 4096;
const PARSE_MODES = new Set(['', 'html', 'markdown', 'markdownv2']);
const CALLBACK_DATA_MAX_BYTES = 64;
const SECOND_MS = 1000;

/**
 * sendMessage to a private chat, from its check to its acceptance: the Message in JSON, or why not, in the order in which Telegram looks.
 * A refusal takes nothing of the chat's limit. Texts are measured as sent, up to 4,096 UTF-16 units: parse modes are kept, not yet parsed. Never throws.
 */
export function sendMessage(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const text = textArgument(args, 'text');
  const extra = readExtra(args, text);
  if (extra instanceof BotRefusal) return extra;
  const chat = findChat(world, bot, args);
  if (chat instanceof BotRefusal) return chat;
  const { id, range } = chat;
  const index = id - FIRST_PERSON_ID;
  const { faults } = world.state;
  if (!range.started && !bot.dialogs.started(index)) return REFUSALS.notStarted;
  if (bot.dialogs.blocked(index) || isBlockedByFault(faults.blockedShare, id)) return REFUSALS.blocked;
  const reply = readReply(world, bot, id, args);
  if (reply instanceof BotRefusal) return reply;

  const wait = privateChatWait(faults.limits, bot.dialogs.acceptedAt(index), bot.shutChats.get(index) ?? 0, now);
  if (wait > 0) {
    if (faults.limits === 'strict') shutChat(bot, index, now, wait);
    return tooManyRequests(wait);
  }
  const textJson = JSON.stringify(text);
  const person = world.state.people.person(range, id);
  const kept = reply === undefined ? extra.kept : [...extra.kept, `"reply_to":${reply[3]}`];
  const extraJson = kept.length === 0 ? '' : `{${kept.join(',')}}`;
  const messageId = world.accept(bot, id, text, textJson, extraJson, now);
  const shown = extra.shown === '' ? '' : `,${extra.shown}`;
  const answered = reply === undefined ? '' : `,"reply_to_message":${messageJson(world, { bot, person }, reply, 1)}`;
  return (
    `{"message_id":${messageId},"from":${bot.userJson},"chat":${chatJson(person)},"date":${Math.floor(now / SECOND_MS)}` +
    `${answered},"text":${textJson}${shown}}`
  );
}

interface Extra {
  /** Members of the record's extra object, in JSON. */
  readonly kept: readonly string[];
  /** Those that the answer shows, joined. */
  readonly shown: string;
}

const NO_EXTRA: Extra = { kept: [], shown: '' };

function readExtra(args: BotArguments, text: string): Extra | BotRefusal {
  const parseMode = textArgument(args, 'parse_mode');
  if (!PARSE_MODES.has(parseMode.toLowerCase())) return REFUSALS.parseModeUnknown;
  if (text.trim() === '') return REFUSALS.textEmpty;
  const given = jsonArgument(args, 'entities');
  const markup = jsonArgument(args, 'reply_markup');
  const fault = entitiesFault(given) ?? markupFault(markup);
  if (fault !== undefined) return fault;
  if (text.length > TEXT_MAX) return REFUSALS.textTooLong;
  const entities = parseMode === '' ? ((given as unknown[] | undefined) ?? findEntities(text)) : [];
  if (parseMode === '' && markup === undefined && entities.length === 0) return NO_EXTRA;

  const shown: string[] = [];
  if (entities.length > 0) shown.push(`"entities":${JSON.stringify(entities)}`);
  const kept = [...shown];
  if (isObject(markup)) {
    kept.push(`"reply_markup":${JSON.stringify(markup)}`);
    // A keyboard below the input field is the client's; the Message shows inline ones only.
    if ('inline_keyboard' in markup) shown.push(`"reply_markup":${JSON.stringify(markup)}`);
  }
  if (parseMode !== '') kept.push(`"parse_mode":${JSON.stringify(parseMode)}`);
  return { kept, shown: shown.join(',') };
}

function entitiesFault(given: unknown): BotRefusal | undefined {
  if (given === undefined) return undefined;
  if (given === UNREADABLE_JSON) return badRequest("can't parse entities JSON object");
  if (!Array.isArray(given)) return badRequest("can't parse entities: expected an Array of MessageEntity");
  const whole = given.every(
    (entity) =>
      isObject(entity) &&
      typeof entity.type === 'string' &&
      Number.isInteger(entity.offset) &&
      Number.isInteger(entity.length),
  );
  return whole ? undefined : badRequest("can't parse entities: expected type, offset and length of a MessageEntity");
}

function markupFault(markup: unknown): BotRefusal | undefined {
  if (markup === undefined) return undefined;
  if (markup === UNREADABLE_JSON) return badRequest("can't parse reply keyboard markup JSON object");
  if (!isObject(markup)) return badRequest('object expected as reply markup');
  const rows = markup.inline_keyboard;
  if (rows === undefined) return undefined;
  if (!Array.isArray(rows))
    return badRequest('field "inline_keyboard" of the InlineKeyboardMarkup must be of type Array');
  for (const row of rows as unknown[]) {
    if (!Array.isArray(row)) return badRequest("can't parse inline keyboard button row: it must be an Array");
    for (const button of row as unknown[]) {
      if (!isObject(button) || typeof button.text !== 'string') {
        return badRequest("can't parse inline keyboard button: it must be an Object with a text");
      }
      const data = button.callback_data;
      if (data === undefined) continue;
      const bytes = typeof data === 'string' ? Buffer.byteLength(data) : 0;
      if (bytes < 1 || bytes > CALLBACK_DATA_MAX_BYTES) return REFUSALS.buttonData;
    }
  }
  return undefined;
}

/** The person of a private chat that `chat_id` names, or Telegram's refusal. Never throws. */
export function findChat(world: World, bot: Bot, args: BotArguments): { id: number; range: PeopleRange } | BotRefusal {
  const id = integerArgument(args, 'chat_id');
  if (id === undefined) return textArgument(args, 'chat_id') === '' ? REFUSALS.chatEmpty : REFUSALS.chatNotFound;
  const range = world.state.people.find(id);
  if (range !== undefined) return { id, range };
  return world.state.bots.has(id) && id !== bot.making.id ? REFUSALS.toBot : REFUSALS.chatNotFound;
}

/** The message to reply to; undefined for none, or for one that is gone where that is allowed. */
function readReply(
  world: World,
  bot: Bot,
  person: number,
  args: BotArguments,
): SentRecord | WrittenRecord | undefined | BotRefusal {
  const given = jsonArgument(args, 'reply_parameters');
  if (given === UNREADABLE_JSON) return badRequest("can't parse reply parameters JSON object");
  if (given !== undefined && !isObject(given)) return badRequest("can't parse reply parameters: expected an Object");
  const id = integerArgument(given ?? args, given === undefined ? 'reply_to_message_id' : 'message_id');
  if (id === undefined || id === 0) return undefined;
  const original = history(world, bot, person).find((record) => record[3] === id);
  if (original !== undefined) return original;
  return flagArgument(given ?? args, 'allow_sending_without_reply') ? undefined : REFUSALS.replyNotFound;
}

const SHUT_CHATS_SWEEP = 10_000;

function shutChat(bot: Bot, index: number, now: number, seconds: number): void {
  if ((bot.shutChats.get(index) ?? 0) > now) return;
  if (bot.shutChats.size >= SHUT_CHATS_SWEEP) {
    for (const [other, until] of bot.shutChats) if (until <= now) bot.shutChats.delete(other);
  }
  bot.shutChats.set(index, now + seconds * SECOND_MS);
}
