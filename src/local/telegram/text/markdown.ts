import type { FormattedText, TextEntity } from './entity.js';
import { linkEntity } from './html.js';

const MARKS = new Set('_*`[');

/**
 * Parses the legacy Markdown as Telegram's server does, whose entities hold no others: the text without marks, and its entities in their order,
 * not yet trimmed. What it does not take is an error's text, in tdlib's words, with offsets in bytes of UTF-8. Never throws.
 */
export function parseMarkdown(source: string): FormattedText | string {
  const entities: TextEntity[] = [];
  let text = '';
  for (let at = 0; at < source.length; at += 1) {
    const sign = source[at] ?? '';
    if (!MARKS.has(sign)) {
      if (sign === '\\' && MARKS.has(source[at + 1] ?? '')) at += 1;
      text += source[at] ?? '';
      continue;
    }
    const from = at;
    const isPre = source.startsWith('```', at);
    let language: string | undefined;
    at += 1;
    if (isPre) {
      const rest = source.slice(from + 3);
      language = /^[^ \t\r\n\v\0`]+(?=[ \t\r\n\v\0])/.exec(rest)?.[0];
      const lineBreak = /^(?:\r\n|\n\r|\r|\n)/.exec(rest.slice(language?.length ?? 0))?.[0] ?? '';
      at = from + 3 + (language?.length ?? 0) + lineBreak.length;
    }
    const ending = isPre ? '```' : sign === '[' ? ']' : sign;
    const end = source.indexOf(ending, at);
    if (end < 0) {
      return `Can't find end of the entity starting at byte offset ${Buffer.byteLength(source.slice(0, from))}`;
    }
    const place = { offset: text.length, length: end - at };
    const inner = source.slice(at, end);
    text += inner;
    at = end + ending.length - 1;
    if (sign === '[') {
      // Without text in the brackets the parentheses are text like any other.
      if (inner === '') continue;
      let url = inner;
      if (source[at + 1] === '(') {
        const close = source.indexOf(')', at + 2);
        url = source.slice(at + 2, close < 0 ? undefined : close);
        at = close < 0 ? source.length : close;
      }
      const link = linkEntity(place, url);
      if (link !== undefined) entities.push(link);
    } else if (inner !== '') {
      if (isPre) entities.push({ ...place, type: 'pre', ...(language !== undefined && { language }) });
      else entities.push({ ...place, type: sign === '_' ? 'italic' : sign === '*' ? 'bold' : 'code' });
    }
  }
  return { text, entities };
}
