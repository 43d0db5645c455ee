import { isEmojiId } from './parsed-text.js';

/** A MessageEntity of the Bot API, as a bot sends it: `offset` and `length` in UTF-16 units of the text. */
export interface Entity {
  readonly type: string;
  readonly offset: number;
  readonly length: number;
  /** Of a text_link. */
  readonly url?: string | undefined;
  /** Of a text_mention. */
  readonly user?: { readonly id: number } | undefined;
  /** Of a pre. */
  readonly language?: string | undefined;
  /** Of a custom_emoji. */
  readonly custom_emoji_id?: string | undefined;
}

/** Most entities of a text; Telegram itself heeds the first hundred of a message. */
export const MAX_ENTITIES = 1_000;

const TAGS: ReadonlyMap<string, string> = new Map([
  ['bold', 'b'],
  ['italic', 'i'],
  ['underline', 'u'],
  ['strikethrough', 's'],
  ['spoiler', 'tg-spoiler'],
  ['code', 'code'],
  ['pre', 'pre'],
  ['text_link', 'a'],
  ['text_mention', 'a'],
  ['custom_emoji', 'tg-emoji'],
  ['blockquote', 'blockquote'],
  ['expandable_blockquote', 'blockquote'],
]);
/** What Telegram finds in every text by itself. */
const FOUND_BY_TELEGRAM: ReadonlySet<string> = new Set([
  'mention',
  'hashtag',
  'cashtag',
  'bot_command',
  'url',
  'email',
  'phone_number',
  'bank_card_number',
]);
const ESCAPED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => ESCAPED[sign] ?? sign);

/** What is wrong with an entity: which of them, which field, and what was expected. */
interface Fault {
  readonly index: number;
  readonly field: 'type' | 'offset' | 'length' | 'url' | 'user' | 'language' | 'custom_emoji_id';
  readonly expected: string;
}

/** The marks of one entity. */
interface Tagged {
  readonly from: number;
  readonly to: number;
  readonly open: string;
  readonly close: string;
}

/**
 * A text with entities as Telegram's HTML, which says the same and can be cut, stored and shown as any other text. Entities that cross are divided, as Telegram
 * does; those that Telegram finds by itself (mentions, links, tags and the like) are left to it. A fault names the entity and its field. Never throws.
 */
export function entitiesAsHtml(text: string, entities: readonly Entity[]): { readonly html: string } | Fault {
  const tagged: Tagged[] = [];
  for (const [index, entity] of entities.entries()) {
    const fault = faultOf(text, entity);
    if (fault !== undefined) return { index, ...fault };
    if (FOUND_BY_TELEGRAM.has(entity.type)) continue;
    tagged.push({ from: entity.offset, to: entity.offset + entity.length, ...tagsOf(entity) });
  }
  return { html: rendered(text, tagged) };
}

function faultOf(text: string, entity: Entity): Omit<Fault, 'index'> | undefined {
  const { type, offset, length } = entity;
  if (!TAGS.has(type) && !FOUND_BY_TELEGRAM.has(type)) return { field: 'type', expected: 'a type of MessageEntity' };
  if (!Number.isSafeInteger(offset) || offset < 0 || offset >= text.length || dividesPair(text, offset))
    return { field: 'offset', expected: 'where a character of the text begins, in UTF-16 units' };
  if (
    !Number.isSafeInteger(length) ||
    length < 1 ||
    offset + length > text.length ||
    dividesPair(text, offset + length)
  )
    return { field: 'length', expected: 'at least 1, to the end of a character of the text, in UTF-16 units' };
  if (type === 'text_link' && !isText(entity.url)) return { field: 'url', expected: 'the address of the link' };
  if (type === 'text_mention' && !(Number.isSafeInteger(entity.user?.id) && (entity.user?.id ?? 0) > 0))
    return { field: 'user', expected: 'a user with its id' };
  if (type === 'pre' && entity.language !== undefined && typeof entity.language !== 'string')
    return { field: 'language', expected: 'a text' };
  if (type === 'custom_emoji' && !(isText(entity.custom_emoji_id) && isEmojiId(entity.custom_emoji_id)))
    return { field: 'custom_emoji_id', expected: 'the identifier of a custom emoji' };
  return undefined;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** Whether a place lies between the two units of one character. */
const dividesPair = (text: string, at: number): boolean =>
  at > 0 && (text.codePointAt(at - 1) ?? 0) > 0xffff && /[\udc00-\udfff]/.test(text[at] ?? '');

function tagsOf({
  type,
  url = '',
  user,
  language = '',
  custom_emoji_id: emoji = '',
}: Entity): Pick<Tagged, 'open' | 'close'> {
  const tag = TAGS.get(type) ?? '';
  const close = `</${tag}>`;
  switch (type) {
    case 'text_link':
      return { open: `<a href="${escaped(url)}">`, close };
    case 'text_mention':
      return { open: `<a href="tg://user?id=${user?.id}">`, close };
    case 'custom_emoji':
      return { open: `<tg-emoji emoji-id="${emoji}">`, close };
    case 'expandable_blockquote':
      return { open: '<blockquote expandable>', close };
    case 'pre':
      return language === ''
        ? { open: '<pre>', close }
        : { open: `<pre><code class="language-${escaped(language)}">`, close: '</code></pre>' };
    default:
      return { open: `<${tag}>`, close };
  }
}

function rendered(text: string, tagged: readonly Tagged[]): string {
  const begins = tagged.toSorted((a, b) => a.from - b.from || b.to - a.to);
  const places = [...new Set(tagged.flatMap(({ from, to }) => [from, to]))].toSorted((a, b) => a - b);
  const open: Tagged[] = [];
  let html = '';
  let at = 0;
  let next = 0;
  for (const place of places) {
    html += escaped(text.slice(at, place));
    at = place;
    const lowest = open.findIndex(({ to }) => to <= place);
    if (lowest >= 0) {
      const above = open.splice(lowest);
      html += above
        .toReversed()
        .map(({ close }) => close)
        .join('');
      for (const mark of above.filter(({ to }) => to > place)) {
        html += mark.open;
        open.push(mark);
      }
    }
    for (let mark = begins[next]; mark?.from === place; mark = begins[next]) {
      html += mark.open;
      open.push(mark);
      next += 1;
    }
  }
  return html + escaped(text.slice(at));
}
