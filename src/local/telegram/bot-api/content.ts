import type { TextEntity } from '../text/entity.js';
import { fixText } from '../text/formatted-text.js';
import { parseHtml } from '../text/html.js';
import { checkLink, INVALID_EMOJI_ID, isEmojiId, linkFault, userOfLink } from '../text/links.js';
import { parseMarkdown } from '../text/markdown.js';
import { parseMarkdownV2 } from '../text/markdown-v2.js';
import type { World } from '../world/world.js';
import { type BotArguments, flagArgument, isObject, jsonArgument, textArgument, UNREADABLE_JSON } from './arguments.js';
import { JsonFields } from './json-fields.js';
import { userJsonOf } from './message-json.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';
import type { ReplyMarkup } from './reply-markup.js';

const TEXT_MAX = 4096;
const CAPTION_MAX = 1024;
const PARSERS = new Map([
  ['html', parseHtml],
  ['markdownv2', parseMarkdownV2],
  ['markdown', parseMarkdown],
]);
const SIMPLE_TYPES: ReadonlySet<string> = new Set<TextEntity['type']>([
  'bold',
  'italic',
  'underline',
  'strikethrough',
  'spoiler',
  'code',
  'blockquote',
  'expandable_blockquote',
]);
/** Telegram finds these by itself, and takes none from a bot. */
const FOUND_TYPES: ReadonlySet<string> = new Set<string>([
  'mention',
  'hashtag',
  'cashtag',
  'bot_command',
  'url',
  'email',
  'phone_number',
  'bank_card_number',
]);

/** A text or caption as Telegram keeps it; the entities are the Bot API's MessageEntity, in Telegram's order. */
export interface Content {
  readonly text: string;
  readonly entities: readonly Readonly<Record<string, unknown>>[];
}

/**
 * The argument `text` with `parse_mode` or `entities` (1 to 4,096 UTF-16 units after parsing), or `caption` with `parse_mode` or `caption_entities`
 * (at most 1,024; '' for none); or Telegram's refusal. Never throws.
 */
export function readContent(world: World, args: BotArguments, name: 'text' | 'caption'): Content | BotRefusal {
  const content = parseContent(world, args, name);
  if (content instanceof BotRefusal) return content;
  const { length } = content.text;
  if (name === 'caption') return length > CAPTION_MAX ? REFUSALS.captionTooLong : content;
  if (length === 0) return REFUSALS.textEmpty;
  return length > TEXT_MAX ? REFUSALS.textTooLong : content;
}

/** Fields of a message beyond its text, in JSON, for speed. */
export interface Members {
  /** Members of the record's extra object, each `"name":value`. */
  readonly kept: readonly string[];
  /** Those of them that the answer shows, joined by commas. */
  readonly shown: string;
}

const NO_MEMBERS: Members = { kept: [], shown: '' };

/** Fields (undefined ones are none) and the reply markup of a message as members of its record. Never throws. */
export function membersOf(fields: Readonly<Record<string, unknown>>, markup: ReplyMarkup | undefined): Members {
  const shown: string[] = [];
  for (const name of Object.keys(fields)) {
    if (fields[name] !== undefined) shown.push(`"${name}":${JSON.stringify(fields[name])}`);
  }
  if (markup === undefined) return shown.length === 0 ? NO_MEMBERS : { kept: shown, shown: shown.join(',') };
  const json = `"reply_markup":${JSON.stringify(markup.value)}`;
  // A keyboard below the input field is the client's; the Message shows inline ones only.
  return { kept: [...shown, json], shown: (markup.isInline ? [...shown, json] : shown).join(',') };
}

/** The Message's `link_preview_options` that the arguments ask for, or the older `disable_web_page_preview`; undefined for the default ones. Never throws. */
export function readLinkPreview(args: BotArguments): Readonly<Record<string, unknown>> | undefined | BotRefusal {
  const given = jsonArgument(args, 'link_preview_options');
  if (given === undefined) {
    return flagArgument(args, 'disable_web_page_preview') ? { is_disabled: true } : undefined;
  }
  if (given === UNREADABLE_JSON) return badRequest("Can't parse link preview options JSON object");
  if (!isObject(given)) return badRequest('Object expected as link preview options');
  const fields = new JsonFields(given);
  const options: Record<string, unknown> = {};
  if (fields.flag('is_disabled')) options.is_disabled = true;
  const url = fields.text('url');
  if (url !== '') options.url = url;
  for (const name of ['prefer_small_media', 'prefer_large_media', 'show_above_text']) {
    if (fields.flag(name)) options[name] = true;
  }
  if (fields.fault !== undefined) return badRequest(fields.fault);
  return Object.keys(options).length === 0 ? undefined : options;
}

function parseContent(world: World, args: BotArguments, name: 'text' | 'caption'): Content | BotRefusal {
  const source = textArgument(args, name);
  if (source === '') return { text: '', entities: [] };
  const mode = textArgument(args, 'parse_mode').toLowerCase();
  if (mode === '' || mode === 'none') {
    const own = readEntities(jsonArgument(args, name === 'text' ? 'entities' : 'caption_entities'));
    return own instanceof BotRefusal ? own : fixed(world, source, own);
  }
  const parse = PARSERS.get(mode);
  if (parse === undefined) return REFUSALS.parseModeUnknown;
  const parsed = parse(source);
  if (typeof parsed === 'string') return badRequest(`can't parse entities: ${parsed}`);
  return fixed(world, parsed.text, parsed.entities);
}

function fixed(world: World, source: string, own: readonly TextEntity[] | undefined): Content | BotRefusal {
  // Users whom nobody made can't be mentioned: their names stay plain.
  const known = own?.filter(({ userId }) => userId === undefined || isKnown(world, userId));
  const result = fixText(source, known);
  if (typeof result === 'string') return badRequest(result);
  return { text: result.text, entities: result.entities.map((entity) => shownEntity(world, entity)) };
}

function isKnown({ state }: World, user: number): boolean {
  return state.bots.has(user) || state.people.find(user) !== undefined;
}

function shownEntity(world: World, { userId, ...entity }: TextEntity): Readonly<Record<string, unknown>> {
  if (userId === undefined) return entity;
  return { ...entity, user: JSON.parse(userJsonOf(world, userId)) as unknown };
}

/** Entities given directly. Telegram passes over what is no array of them; here it is refused, since nobody means that. */
function readEntities(given: unknown): TextEntity[] | undefined | BotRefusal {
  if (given === undefined) return undefined;
  if (given === UNREADABLE_JSON) return badRequest("Can't parse entities JSON object");
  if (!Array.isArray(given)) return badRequest('Expected an Array of MessageEntity');
  const entities: TextEntity[] = [];
  for (const value of given as unknown[]) {
    const entity = readEntity(value);
    if (entity instanceof BotRefusal) return entity;
    if (entity !== undefined) entities.push(entity);
  }
  return entities;
}

/** One MessageEntity; undefined for a kind that Telegram finds by itself. */
function readEntity(value: unknown): TextEntity | undefined | BotRefusal {
  if (!isObject(value)) return badRequest("Can't parse MessageEntity: expected an Object");
  const fields = new JsonFields(value);
  const place = { offset: fields.requiredInteger('offset'), length: fields.requiredInteger('length') };
  const type = fields.requiredText('type');
  if (fields.fault === undefined && type === '') fields.fault = 'Type is not specified';
  let entity: TextEntity | undefined | BotRefusal;
  if (SIMPLE_TYPES.has(type)) entity = { ...place, type: type as TextEntity['type'] };
  else if (!FOUND_TYPES.has(type)) entity = readDetailed(fields, type, place);
  return fields.fault === undefined ? entity : badRequest(`Can't parse MessageEntity: ${fields.fault}`);
}

function readDetailed(
  fields: JsonFields,
  type: string,
  place: { readonly offset: number; readonly length: number },
): TextEntity | undefined | BotRefusal {
  switch (type) {
    case 'pre': {
      const language = fields.text('language');
      return { ...place, type, ...(language !== '' && { language }) };
    }
    case 'text_link': {
      const link = fields.requiredText('url');
      if (fields.fault !== undefined) return undefined;
      const userId = userOfLink(link);
      if (userId !== undefined) return { ...place, type: 'text_mention', userId };
      const checked = checkLink(link);
      if ('fault' in checked) return badRequest(`Entity ${linkFault(link, checked.fault)}`);
      return { ...place, type, url: checked.url };
    }
    case 'text_mention': {
      const user = fields.requiredObject('user');
      const userId = user.requiredLong('id');
      fields.adopt(user);
      return { ...place, type, userId };
    }
    case 'custom_emoji': {
      const id = fields.requiredText('custom_emoji_id');
      if (fields.fault !== undefined) return undefined;
      if (id !== '0' && !isEmojiId(id)) fields.fault = 'Field "custom_emoji_id" must be a valid Number';
      return id === '0' ? badRequest(INVALID_EMOJI_ID) : { ...place, type, custom_emoji_id: id };
    }
    default:
      fields.fault ??= 'Unsupported type specified';
      return undefined;
  }
}
