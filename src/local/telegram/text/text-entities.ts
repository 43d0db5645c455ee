/** A Bot API MessageEntity that needs no more than a place; offsets and lengths count UTF-16 units. */
export interface TextEntity {
  readonly type: 'bot_command' | 'mention' | 'hashtag' | 'url' | 'email';
  readonly offset: number;
  readonly length: number;
}

// Numbered texts (`#12 …`) are the common case of a benchmark and hold no hashtag.
const MAYBE = /[@/]|#(?!\d+(?:\s|$))|[\p{L}\p{N}]\.\p{L}/u;
const EMAIL = /(?<![\w.+-])[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}(?![\w@-])/giu;
const URL_WITH_SCHEME = /(?<![\p{L}\p{N}_])(?:https?|ftp|tg|ton):\/\/[^\s<>"«»]+/giu;
const BARE_DOMAIN =
  /(?<![\p{L}\p{N}_@./-])(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,62})\.)+([a-z]{2,24})(?![\p{L}\p{N}_@-])(?::\d{1,5})?(?:[/?#][^\s<>"«»]*)?/giu;
const MENTION = /(?<![\p{L}\p{N}_@])@(\w{2,32})(?![\p{L}\p{N}_])/gu;
const HASHTAG = /(?<![\p{L}\p{N}_#/])#([\p{L}\p{N}\p{M}_·]{1,256})(?![#\p{L}\p{N}_])/gu;
const COMMAND = /(?<![\p{L}\p{N}_/<>@])\/[a-zA-Z0-9_]{1,64}(?:@\w{3,32})?(?![\p{L}\p{N}_/<>@])/gu;
const SHORT_MENTIONS = new Set(['gif', 'wiki', 'vid', 'bing', 'pic', 'bold', 'imdb', 'coub', 'like', 'vote']);
const DOMAINS = new Set(
  'com org net edu gov int info biz name pro mobi app dev page site online store shop blog cloud tech xyz top club live news space website wiki'.split(
    ' ',
  ),
);

/**
 * The entities that Telegram's clients and server find in a plain text: commands, mentions, hashtags (with a letter), addresses of pages
 * (with a scheme, or a bare domain of a common ending or a country's), e-mail addresses. Ascending, none within another. Never throws.
 */
export function findEntities(text: string): TextEntity[] {
  if (!MAYBE.test(text)) return [];
  const found: TextEntity[] = [];
  const add = (type: TextEntity['type'], offset: number, length: number): void => {
    if (length > 0 && !found.some((other) => offset < other.offset + other.length && other.offset < offset + length)) {
      found.push({ type, offset, length });
    }
  };
  for (const match of text.matchAll(URL_WITH_SCHEME)) add('url', match.index, withoutTail(match[0]).length);
  for (const match of text.matchAll(EMAIL)) add('email', match.index, match[0].length);
  for (const match of text.matchAll(BARE_DOMAIN)) {
    const ending = (match[1] ?? '').toLowerCase();
    if (ending.length === 2 || DOMAINS.has(ending)) add('url', match.index, withoutTail(match[0]).length);
  }
  for (const match of text.matchAll(COMMAND)) add('bot_command', match.index, match[0].length);
  for (const match of text.matchAll(MENTION)) {
    const name = match[1] ?? '';
    if (name.length >= 4 || SHORT_MENTIONS.has(name.toLowerCase())) add('mention', match.index, match[0].length);
  }
  for (const match of text.matchAll(HASHTAG)) {
    if (/\D/.test(match[1] ?? '')) add('hashtag', match.index, match[0].length);
  }
  return found.sort((a, b) => a.offset - b.offset);
}

/** An address without the punctuation that ends the sentence around it. */
function withoutTail(address: string): string {
  let end = address.length;
  while (end > 0) {
    const last = address.charAt(end - 1);
    if ('.,;:!?\'"…'.includes(last)) end -= 1;
    else if (last === ')' && !address.slice(0, end).includes('(')) end -= 1;
    else break;
  }
  return address.slice(0, end);
}
