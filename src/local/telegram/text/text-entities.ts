import { compareEntities, type EntityType, type TextEntity, withoutOverlaps } from './entity.js';
import { findUrls } from './urls.js';

// Numbered texts (`#12 …`) are the common case of a benchmark and hold no hashtag.
const MAYBE = /[@/]|#(?!\d+(?:\s|$))|\$[A-Z1]|\+\d|\.[^\s.]/;
const MENTION = /(?<![\p{L}\p{N}_])@(\w{2,32})(?![\p{L}\p{N}_])/gu;
const COMMAND = /(?<![\p{L}\p{N}_/<>])\/(?:\w{1,64}@\w{3,32}(?![\p{L}\p{N}_/<>])|\w{1,64}(?![\p{L}\p{N}_/<>@]))/gu;
const TAG_SIGN = '\\p{L}\\p{Nd}_\\u200c\\u00b7\\u0d80-\\u0dff';
const HASHTAG = new RegExp(`(?<![${TAG_SIGN}])#([${TAG_SIGN}]+)(?![${TAG_SIGN}])(@\\w{3,32})?(?!#)`, 'gu');
const CASHTAG = new RegExp(`(?<![$${TAG_SIGN}])\\$(?:1INCH|[A-Z]{1,8})(?:@\\w{3,32})?(?![$${TAG_SIGN}])`, 'gu');
const PHONE = /(?<![\p{L}\p{N}_+])\+\d(?:[ ().-]{0,2}\d){6,14}(?![\p{L}\p{N}_])/gu;
const HASHTAG_MAX = 256;
const SHORT_NAME = 4;
const SHORT_NAMES = new Set(['gif', 'nft', 'pic', 'ufc', 'vid']);

/**
 * The entities that Telegram finds in a plain text, by tdlib's rules: commands, mentions, hashtags, cashtags, addresses of pages and mailboxes;
 * and phone numbers in the international form (the rule for these is a guess). Ascending, none within another. Never throws.
 */
export function findEntities(text: string): TextEntity[] {
  if (!MAYBE.test(text)) return [];
  const found: TextEntity[] = [];
  const add = (type: EntityType, offset: number, length: number): void => {
    found.push({ offset, length, type });
  };
  for (const match of text.matchAll(MENTION)) {
    const name = match[1] ?? '';
    if (name.length >= SHORT_NAME || SHORT_NAMES.has(name.toLowerCase())) add('mention', match.index, match[0].length);
  }
  for (const match of text.matchAll(COMMAND)) add('bot_command', match.index, match[0].length);
  for (const match of text.matchAll(HASHTAG)) addHashtag(add, match);
  for (const match of text.matchAll(CASHTAG)) add('cashtag', match.index, match[0].length);
  for (const match of text.matchAll(PHONE)) add('phone_number', match.index, match[0].length);
  for (const { offset, length, isEmail } of findUrls(text)) add(isEmail ? 'email' : 'url', offset, length);
  return withoutOverlaps(found.sort(compareEntities));
}

/** A hashtag has a letter within its first 256 signs, and ends behind them. */
function addHashtag(add: (type: EntityType, offset: number, length: number) => void, match: RegExpExecArray): void {
  const [whole, tag = ''] = match;
  const signs = tag.length > HASHTAG_MAX ? [...tag].slice(0, HASHTAG_MAX) : [tag];
  const kept = signs.join('');
  if (/\p{L}/u.test(kept)) add('hashtag', match.index, kept.length === tag.length ? whole.length : kept.length + 1);
}
