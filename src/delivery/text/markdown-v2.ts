import { byteOffset, INVALID_EMOJI_ID, isEmojiId, type OpenMark, type ParsedText } from './parsed-text.js';

const RESERVED = new Set('_*[]()~`>#+-=|{}.!\n');

/** What can be open, by the names that Telegram's errors give it, with what ends it; a quotation ends with its line. */
const ENDINGS = {
  Bold: '*',
  Italic: '_',
  Underline: '__',
  Strikethrough: '~',
  Spoiler: '||',
  Code: '`',
  Pre: '```',
  PreCode: '```',
  TextUrl: ']',
  CustomEmoji: ']',
  BlockQuote: '',
} as const;
type Kind = keyof typeof ENDINGS;

const WHOLE: ReadonlySet<Kind> = new Set<Kind>(['Code', 'Pre', 'PreCode', 'TextUrl', 'CustomEmoji']);

interface Open {
  readonly kind: Kind;
  /** Where its mark begins in the source. */
  readonly from: number;
  readonly mark: OpenMark;
}

/**
 * Parses MarkdownV2 (core.telegram.org/bots/api#markdownv2-style). What Telegram refuses is answered as a string, in its words with offsets in bytes
 * of UTF-8. Never throws.
 */
export function parseMarkdownV2(source: string): ParsedText | string {
  const starts: number[] = [];
  const ends: number[] = [];
  const marks: OpenMark[] = [];
  const open: Open[] = [];
  let text = '';
  let at = 0;
  let inQuote = false;
  let mayQuote = true;

  function see(from: number, mayQuoteBehind: boolean): void {
    const sign = source[at] ?? '';
    text += sign;
    starts.push(from);
    ends.push(at + 1);
    if (sign !== '\r') mayQuote = mayQuoteBehind;
  }

  /** An entity begins whose mark goes from `from` to before `to`. */
  function push(kind: Kind, from: number, to: number): undefined {
    const mark: OpenMark = {
      from: text.length,
      to: text.length,
      kind: kind === 'BlockQuote' ? 'quote' : WHOLE.has(kind) ? 'whole' : 'style',
      open: source.slice(from, to),
      close: ENDINGS[kind],
    };
    marks.push(mark);
    open.push({ kind, from, mark });
    at = to - 1;
    return undefined;
  }

  function begin(sign: string): string | undefined {
    const isDouble = source[at + 1] === sign;
    switch (sign) {
      case '_':
        return isDouble ? push('Underline', at, at + 2) : push('Italic', at, at + 1);
      case '*':
        return push('Bold', at, at + 1);
      case '~':
        return push('Strikethrough', at, at + 1);
      case '|':
        return isDouble ? push('Spoiler', at, at + 2) : reserved(sign);
      case '[':
        return push('TextUrl', at, at + 1);
      case '!':
        return source[at + 1] === '[' ? push('CustomEmoji', at, at + 2) : reserved(sign);
      case '`':
        return source.startsWith('```', at) ? beginPre() : push('Code', at, at + 1);
      case '\n':
        see(at, true);
        return undefined;
      case '>':
        if (!mayQuote) return reserved(sign);
        // Within a quotation the mark at a line's begin goes on with it.
        if (inQuote) return undefined;
        inQuote = true;
        return push('BlockQuote', at, at + 1);
      default:
        return reserved(sign);
    }
  }

  function beginPre(): undefined {
    const rest = source.slice(at + 3, at + 3 + 512);
    // A word that whitespace follows is the language; then one line break is no text.
    const language = /^[^ \t\r\n\v\0`]+(?=[ \t\r\n\v\0])/.exec(rest)?.[0];
    const lineBreak = /^(?:\r\n|\n\r|\r|\n)/.exec(rest.slice(language?.length ?? 0))?.[0] ?? '';
    return push(language === undefined ? 'Pre' : 'PreCode', at, at + 3 + (language?.length ?? 0) + lineBreak.length);
  }

  function endsHere({ kind }: Open, sign: string): boolean {
    if (inQuote && sign === '\n' && source[at + 1] !== '>') return true;
    // What could be both reads as the end of an underline.
    if (kind === 'Italic' && source[at + 1] === '_' && sign === '_') return false;
    return kind !== 'BlockQuote' && source.startsWith(ENDINGS[kind], at);
  }

  function end(last: Open, sign: string): string | undefined {
    if (sign === '\n') return endQuoteLine(last);
    open.pop();
    const { kind, mark } = last;
    mark.to = text.length;
    const from = at;
    at += ENDINGS[kind].length - 1;
    if (kind !== 'TextUrl' && kind !== 'CustomEmoji') return undefined;
    const hasTarget = source[at + 1] === '(';
    if (kind === 'CustomEmoji' && !hasTarget) return 'Custom emoji entity must contain a tg://emoji URL';
    if (hasTarget) {
      const url = target();
      if (typeof url !== 'string') {
        const what = kind === 'TextUrl' ? 'a URL' : 'a custom emoji URL';
        return `Can't find end of ${what} at byte offset ${byteOffset(source, url.from)}`;
      }
      const fault = kind === 'CustomEmoji' ? emojiFault(url) : undefined;
      if (fault !== undefined) return fault;
    }
    mark.close = source.slice(from, at + 1);
    return undefined;
  }

  /** The link in parentheses behind a bracket; where its end is missing, where it begins. */
  function target(): string | { readonly from: number } {
    const from = at + 2;
    let url = '';
    for (at = from; at < source.length; at += 1) {
      const sign = source[at] ?? '';
      if (sign === ')') return url;
      if (sign === '\\' && isEscapable(source.charCodeAt(at + 1))) {
        at += 1;
        url += source[at] ?? '';
      } else url += sign;
    }
    return { from };
  }

  /** Takes an expandable quotation's last mark (`||`), which looked like the begin of a spoiler, for what it is; the innermost one otherwise. */
  function withoutExpandMark(last: Open, isMark: boolean): Open {
    const outer = open.at(-2);
    if (!isMark || outer?.kind !== 'BlockQuote') return last;
    open.pop();
    outer.mark.close = '||';
    return outer;
  }

  /** A line ends that no `>` follows: the quotation ends, and with it must everything in it. */
  function endQuoteLine(innermost: Open): string | undefined {
    const gap = at - innermost.from;
    const isMark = innermost.kind === 'Spoiler' && (gap === 2 || (gap === 3 && text.endsWith('\r')));
    const last = withoutExpandMark(innermost, isMark);
    if (last.kind !== 'BlockQuote') return unclosed(isMark ? (open.at(-2) ?? last) : last);
    open.pop();
    inQuote = false;
    see(at, true);
    last.mark.to = text.length;
    return undefined;
  }

  /** The text ends: a quotation may be open, and nothing else. */
  function endOfText(): string | undefined {
    let last = open.at(-1);
    if (inQuote && last !== undefined) {
      const isMark = last.kind === 'Spoiler' && last.from === source.length - 2;
      const innermost = withoutExpandMark(last, isMark);
      if (innermost.kind === 'BlockQuote') {
        open.pop();
        innermost.mark.to = text.length;
        last = open.at(-1);
      } else if (isMark) last = open.at(-2) ?? last;
    }
    return last === undefined ? undefined : unclosed(last);
  }

  const unclosed = ({ kind, from }: Open): string =>
    `Can't find end of ${kind} entity at byte offset ${byteOffset(source, from)}`;

  for (; at < source.length; at += 1) {
    const sign = source[at] ?? '';
    if (sign === '\\' && isEscapable(source.charCodeAt(at + 1))) {
      at += 1;
      see(at - 1, source[at] === '\n');
      continue;
    }
    const last = open.at(-1);
    const inCode = last?.kind === 'Code' || last?.kind === 'Pre' || last?.kind === 'PreCode';
    if (inCode ? sign !== '`' : !RESERVED.has(sign)) {
      see(at, false);
      continue;
    }
    const fault = last !== undefined && endsHere(last, sign) ? end(last, sign) : begin(sign);
    if (fault !== undefined) return fault;
  }
  const fault = endOfText();
  return fault ?? { text, starts, ends, marks };
}

function isEscapable(code: number): boolean {
  return code > 0 && code <= 126;
}

function reserved(sign: string): string {
  return `Character '${sign}' is reserved and must be escaped with the preceding '\\'`;
}

/** Why a link names no custom emoji, in Telegram's words. */
function emojiFault(url: string): string | undefined {
  const link = url.toLowerCase();
  if (!link.startsWith('tg:')) return 'Custom emoji URL must have scheme tg';
  const match = /^tg:(?:\/\/)?emoji(?![^/?#])\/?(?:\?([^#]*))?/.exec(link);
  if (match === null) return 'Custom emoji URL must have host "emoji"';
  const ids = (match[1] ?? '').split('&').filter((parameter) => parameter.split('=')[0] === 'id');
  if (ids[0] === undefined) return 'Custom emoji URL must have an emoji identifier';
  return isEmojiId(ids[0].slice(3)) ? undefined : INVALID_EMOJI_ID;
}
