import { findEntities } from '../text/text-entities.js';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, isObject, jsonArgument, textArgument, UNREADABLE_JSON } from './arguments.js';
import { deliver } from './deliver.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';

const TEXT_MAX = 4096;
const PARSE_MODES = new Set(['', 'html', 'markdown', 'markdownv2']);
const CALLBACK_DATA_MAX_BYTES = 64;

/**
 * sendMessage, from its check to its acceptance: the Message in JSON, or why not, in the order in which Telegram looks.
 * Texts are measured as sent, up to 4,096 UTF-16 units: parse modes are kept, not yet parsed. Never throws.
 */
export function sendMessage(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const text = textArgument(args, 'text');
  const extra = readExtra(args, text);
  if (extra instanceof BotRefusal) return extra;
  const textJson = JSON.stringify(text);
  return deliver(
    world,
    bot,
    args,
    { ...extra, method: 'sendMessage', text, textJson, permission: 'can_send_messages' },
    now,
  );
}

/** What a message has beyond its text, checked. */
export interface Extra {
  /** Members of the record's extra object, in JSON. */
  readonly kept: readonly string[];
  /** Those that the answer shows, joined. */
  readonly shown: string;
}

const NO_EXTRA: Extra = { kept: [], shown: '' };

/** Reads and checks what a text message has beyond its text. Never throws. */
export function readExtra(args: BotArguments, text: string): Extra | BotRefusal {
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

/** What is wrong with a reply markup, if anything is. Never throws. */
export function markupFault(markup: unknown): BotRefusal | undefined {
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
