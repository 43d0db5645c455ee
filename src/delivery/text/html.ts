import {
  byteOffset,
  INVALID_EMOJI_ID,
  isEmojiId,
  type MarkKind,
  type OpenMark,
  type ParsedText,
} from './parsed-text.js';

/** Telegram's tags, and whether what they mark may be cut. */
const TAGS: ReadonlyMap<string, MarkKind> = new Map<string, MarkKind>([
  ['b', 'style'],
  ['strong', 'style'],
  ['i', 'style'],
  ['em', 'style'],
  ['u', 'style'],
  ['ins', 'style'],
  ['s', 'style'],
  ['strike', 'style'],
  ['del', 'style'],
  ['tg-spoiler', 'style'],
  ['span', 'style'],
  ['blockquote', 'style'],
  ['tg-emoji', 'whole'],
  ['a', 'whole'],
  ['pre', 'whole'],
  ['code', 'whole'],
]);
const NAMED: ReadonlyMap<string, string> = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['quot', '"'],
]);
const REFERENCE = /&(?:#x([0-9a-fA-F]*)|#(\d*)|([a-zA-Z]+));?/y;
/** Telegram reads no longer reference by number. */
const REFERENCE_MAX = 10;
const CODE_POINT_MAX = 0x10_fffe;
const SPACE = /[ \t\r\n\v\0]*/y;
const TAG_NAME = /[^ \t\r\n\v\0>]*/y;
const ATTRIBUTE_NAME = /[^ \t\r\n\v\0=>/"']*/y;
const UNQUOTED = /[A-Za-z0-9.-]*/y;
const PLAIN = /[^&<]*/y;
const BROKEN_UNICODE =
  'Text contains invalid Unicode characters after decoding HTML entities, check for unmatched surrogate code units';

interface OpenTag {
  readonly name: string;
  /** The class of a span, the id of a custom emoji. */
  readonly argument: string;
  readonly mark: OpenMark;
}

/**
 * Parses Telegram's HTML (core.telegram.org/bots/api#html-style). What Telegram refuses is answered as a string, in its words with offsets in bytes
 * of UTF-8. Never throws.
 */
export function parseHtml(source: string): ParsedText | string {
  const starts: number[] = [];
  const ends: number[] = [];
  const marks: OpenMark[] = [];
  const open: OpenTag[] = [];
  let text = '';
  let at = 0;
  let hasSurrogate = false;

  function match(pattern: RegExp): string {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0] ?? '';
    at += found.length;
    return found;
  }

  /** Passes over a character reference and returns what it stands for; undefined, and stays, where there is none. */
  function reference(): string | undefined {
    REFERENCE.lastIndex = at;
    const [whole, hex, decimal, name = ''] = REFERENCE.exec(source) ?? [];
    if (whole === undefined) return undefined;
    let value = NAMED.get(name);
    if (hex !== undefined || decimal !== undefined) {
      const code = Number.parseInt(hex ?? decimal ?? '', hex === undefined ? 10 : 16);
      const length = whole.endsWith(';') ? whole.length - 1 : whole.length;
      if (!(code > 0 && code <= CODE_POINT_MAX) || length >= REFERENCE_MAX) return undefined;
      if (code >= 0xd800 && code <= 0xdfff) hasSurrogate = true;
      value = String.fromCodePoint(code);
    }
    if (value !== undefined) at += whole.length;
    return value;
  }

  function see(shown: string, from: number, perUnit: boolean): void {
    text += shown;
    for (let unit = 0; unit < shown.length; unit += 1) {
      starts.push(perUnit ? from + unit : from);
      ends.push(perUnit ? from + unit + 1 : at);
    }
  }

  function attribute(tag: string, begin: number): { readonly name: string; readonly value?: string } | string {
    const unclosed = (): string => `Unclosed start tag "${tag}" at byte offset ${byteOffset(source, begin)}`;
    const name = match(ATTRIBUTE_NAME);
    if (name === '') return `Empty attribute name in the tag "${tag}" at byte offset ${byteOffset(source, begin)}`;
    match(SPACE);
    if (source[at] !== '=') return at >= source.length ? unclosed() : { name };
    at += 1;
    match(SPACE);
    const quote = source[at];
    if (quote === undefined) return unclosed();
    let value = '';
    if (quote === '"' || quote === "'") {
      at += 1;
      while (at < source.length && source[at] !== quote) {
        const known = source[at] === '&' ? reference() : undefined;
        value += known ?? source[at] ?? '';
        if (known === undefined) at += 1;
      }
      at += 1;
    } else {
      const from = at;
      value = lower(match(UNQUOTED));
      if (!/[ \t\r\n\v>]/.test(source[at] ?? ' '))
        return `Unexpected end of name token at byte offset ${byteOffset(source, from)}`;
    }
    if (at >= source.length) return `Unclosed start tag at byte offset ${byteOffset(source, begin)}`;
    return { name, value };
  }

  function startTag(): string | undefined {
    const begin = at;
    at += 1;
    const name = lower(match(TAG_NAME));
    if (at >= source.length) return `Unclosed start tag at byte offset ${byteOffset(source, begin)}`;
    const kind = TAGS.get(name);
    if (kind === undefined) return `Unsupported start tag "${name}" at byte offset ${byteOffset(source, begin)}`;
    let argument = '';
    for (;;) {
      match(SPACE);
      if (source[at] === '>') break;
      const found = attribute(name, begin);
      if (typeof found === 'string') return found;
      argument = argumentOf(name, found) ?? argument;
    }
    at += 1;
    if (name === 'span' && argument !== 'spoiler')
      return `Tag "span" must have class "tg-spoiler" at byte offset ${byteOffset(source, begin)}`;
    const mark = { from: text.length, to: text.length, kind, open: source.slice(begin, at), close: `</${name}>` };
    marks.push(mark);
    open.push({ name, argument, mark });
    return undefined;
  }

  function endTag(): string | undefined {
    const begin = at;
    const last = open.pop();
    if (last === undefined) return `Unexpected end tag at byte offset ${byteOffset(source, begin)}`;
    at += 2;
    const name = lower(match(TAG_NAME));
    match(SPACE);
    if (source[at] !== '>') return `Unclosed end tag at byte offset ${byteOffset(source, begin)}`;
    at += 1;
    if (name !== '' && name !== last.name)
      return `Unmatched end tag at byte offset ${byteOffset(source, begin)}, expected "</${last.name}>", found "</${name}>"`;
    last.mark.to = text.length;
    const isEmpty = last.mark.to === last.mark.from;
    return last.name === 'tg-emoji' && !isEmpty && !isEmojiId(last.argument) ? INVALID_EMOJI_ID : undefined;
  }

  while (at < source.length) {
    const from = at;
    if (source[at] === '&') {
      const shown = reference();
      if (shown === undefined) at += 1;
      see(shown ?? '&', from, false);
    } else if (source[at] === '<') {
      const fault = source[at + 1] === '/' ? endTag() : startTag();
      if (fault !== undefined) return fault;
    } else see(match(PLAIN), from, true);
  }
  const last = open.at(-1);
  if (last !== undefined) return `Can't find end tag corresponding to start tag "${last.name}"`;
  if (hasSurrogate) return BROKEN_UNICODE;
  return { text, starts, ends, marks };
}

/** What an attribute tells that decides whether its tag is taken. */
function argumentOf(tag: string, { name, value }: { name: string; value?: string }): string | undefined {
  if (value === undefined) return undefined;
  if (tag === 'tg-emoji' && name === 'emoji-id') return value;
  return tag === 'span' && name === 'class' && value.startsWith('tg-') ? value.slice(3) : undefined;
}

function lower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
