import { compareEntities, type FormattedText, type TextEntity } from './entity.js';
import { linkEntity } from './html.js';
import { emojiOfLink } from './links.js';

const RESERVED = new Set('_*[]()~`>#+-=|{}.!\n');
const RESERVED_IN_CODE = new Set('`');

/** The kinds that can be open, by the names that tdlib's errors give them. */
type Kind =
  | 'Bold'
  | 'Italic'
  | 'Underline'
  | 'Strikethrough'
  | 'Spoiler'
  | 'Code'
  | 'Pre'
  | 'PreCode'
  | 'TextUrl'
  | 'CustomEmoji'
  | 'BlockQuote';

const SIMPLE_TYPES = {
  Bold: 'bold',
  Italic: 'italic',
  Underline: 'underline',
  Strikethrough: 'strikethrough',
  Spoiler: 'spoiler',
  Code: 'code',
} as const;

/** What ends an entity of a kind; a quotation ends with its line. */
const ENDINGS: Readonly<Record<Kind, string>> = {
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
  BlockQuote: '\0',
};

interface Open {
  readonly kind: Kind;
  /** Of a PreCode. */
  readonly language?: string;
  /** Where its mark begins in the source. */
  readonly from: number;
  /** Where its text begins in the result. */
  readonly offset: number;
}

/**
 * Parses MarkdownV2 as Telegram's server does: the text without marks, and its entities in Telegram's order, not yet joined, split or trimmed.
 * What it does not take is an error's text, in tdlib's words, with offsets in bytes of UTF-8. Never throws.
 */
export function parseMarkdownV2(source: string): FormattedText | string {
  return new MarkdownV2Parser(source).parse();
}

class MarkdownV2Parser {
  readonly #source: string;
  readonly #entities: TextEntity[] = [];
  readonly #open: Open[] = [];
  #text = '';
  #at = 0;
  #inQuote: boolean;
  #mayQuote: boolean;

  constructor(source: string) {
    this.#source = source;
    this.#inQuote = false;
    this.#mayQuote = true;
  }

  parse(): FormattedText | string {
    const source = this.#source;
    for (; this.#at < source.length; this.#at += 1) {
      const sign = source[this.#at] ?? '';
      if (sign === '\\' && isEscapable(source.charCodeAt(this.#at + 1))) {
        this.#at += 1;
        this.#plain(source[this.#at] ?? '', source[this.#at] === '\n');
        continue;
      }
      const last = this.#open.at(-1);
      const inCode = last?.kind === 'Code' || last?.kind === 'Pre' || last?.kind === 'PreCode';
      if (!(inCode ? RESERVED_IN_CODE : RESERVED).has(sign)) {
        this.#plain(sign, false);
        continue;
      }
      const fault = last !== undefined && this.#endsHere(last, sign) ? this.#end(last, sign) : this.#begin(sign);
      if (fault !== undefined) return fault;
    }
    const fault = this.#endLastQuote();
    if (fault !== undefined) return fault;
    return { text: this.#text, entities: this.#entities.sort(compareEntities) };
  }

  /** Adds a sign to the text; `mayQuote`: whether a quotation may begin behind it. */
  #plain(sign: string, mayQuote: boolean): void {
    this.#text += sign;
    if (sign !== '\r') this.#mayQuote = mayQuote;
  }

  #startsWith(mark: string): boolean {
    return this.#source.startsWith(mark, this.#at);
  }

  #endsHere({ kind }: Open, sign: string): boolean {
    if (this.#inQuote && sign === '\n' && this.#source[this.#at + 1] !== '>') return true;
    // What could be both reads as the end of an underline.
    if (kind === 'Italic' && this.#startsWith('__')) return false;
    return kind !== 'BlockQuote' && this.#startsWith(ENDINGS[kind]);
  }

  /** The sign begins an entity, or is one that has no place here. */
  #begin(sign: string): string | undefined {
    const from = this.#at;
    switch (sign) {
      case '_':
        return this.#startsWith('__') ? this.#push('Underline', from, 1) : this.#push('Italic', from);
      case '*':
        return this.#push('Bold', from);
      case '~':
        return this.#push('Strikethrough', from);
      case '|':
        return this.#startsWith('||') ? this.#push('Spoiler', from, 1) : reserved(sign);
      case '[':
        return this.#push('TextUrl', from);
      case '!':
        return this.#startsWith('![') ? this.#push('CustomEmoji', from, 1) : reserved(sign);
      case '`':
        return this.#startsWith('```') ? this.#beginPre(from) : this.#push('Code', from);
      case '\n':
        this.#plain(sign, true);
        return undefined;
      case '>':
        if (!this.#mayQuote) return reserved(sign);
        // Within a quotation the mark at a line's begin goes on with it.
        if (this.#inQuote) return undefined;
        this.#inQuote = true;
        return this.#push('BlockQuote', from);
      default:
        return reserved(sign);
    }
  }

  #push(kind: Kind, from: number, more = 0): undefined {
    this.#at += more;
    this.#open.push({ kind, from, offset: this.#text.length });
    return undefined;
  }

  #beginPre(from: number): undefined {
    const rest = this.#source.slice(from + 3);
    // A word that whitespace follows is the language; then one line break is no text.
    const language = /^[^ \t\r\n\v\0`]+(?=[ \t\r\n\v\0])/.exec(rest)?.[0];
    const lineBreak = /^(?:\r\n|\n\r|\r|\n)/.exec(rest.slice(language?.length ?? 0))?.[0] ?? '';
    this.#at = from + 2 + (language?.length ?? 0) + lineBreak.length;
    const kind = language === undefined ? 'Pre' : 'PreCode';
    this.#open.push({ kind, from, offset: this.#text.length, ...(language !== undefined && { language }) });
    return undefined;
  }

  /** The sign ends the innermost entity. */
  #end(last: Open, sign: string): string | undefined {
    if (sign === '\n') return this.#endQuoteLine(last);
    this.#open.pop();
    const place = { offset: last.offset, length: this.#text.length - last.offset };
    const isEmpty = place.length === 0;
    this.#at += ENDINGS[last.kind].length - 1;
    switch (last.kind) {
      case 'TextUrl': {
        const url = this.#source[this.#at + 1] === '(' ? this.#target() : this.#text.slice(last.offset);
        if (typeof url !== 'string') return this.#missingEnd('a URL', url.from);
        const link = linkEntity(place, url);
        if (link !== undefined && !isEmpty) this.#entities.push(link);
        return undefined;
      }
      case 'CustomEmoji': {
        if (this.#source[this.#at + 1] !== '(') return 'Custom emoji entity must contain a tg://emoji URL';
        const url = this.#target();
        if (typeof url !== 'string') return this.#missingEnd('a custom emoji URL', url.from);
        const emoji = emojiOfLink(url);
        if ('fault' in emoji) return emoji.fault;
        if (!isEmpty) this.#entities.push({ ...place, type: 'custom_emoji', custom_emoji_id: emoji.id });
        return undefined;
      }
      case 'Pre':
      case 'PreCode':
        if (!isEmpty) {
          const { language } = last;
          this.#entities.push({ ...place, type: 'pre', ...(language !== undefined && { language }) });
        }
        return undefined;
      case 'BlockQuote':
        return undefined;
      default:
        if (!isEmpty) this.#entities.push({ ...place, type: SIMPLE_TYPES[last.kind] });
        return undefined;
    }
  }

  /** The link in parentheses behind a bracket, unescaped; where its end is missing, where it begins. */
  #target(): string | { readonly from: number } {
    const from = this.#at + 2;
    let url = '';
    for (this.#at = from; this.#at < this.#source.length; this.#at += 1) {
      const sign = this.#source[this.#at] ?? '';
      if (sign === ')') return url;
      if (sign === '\\' && isEscapable(this.#source.charCodeAt(this.#at + 1))) {
        this.#at += 1;
        url += this.#source[this.#at] ?? '';
      } else url += sign;
    }
    return { from };
  }

  /** A line ends that no `>` follows: the quotation ends, and with it must everything in it; `||` just before makes it expandable. */
  #endQuoteLine(innermost: Open): string | undefined {
    let last = innermost;
    let type: 'blockquote' | 'expandable_blockquote' = 'blockquote';
    if (last.kind !== 'BlockQuote') {
      const gap = this.#at - last.from;
      const isMark = last.kind === 'Spoiler' && (gap === 2 || (gap === 3 && this.#text.endsWith('\r')));
      if (!isMark) return this.#unclosed(last);
      this.#open.pop();
      type = 'expandable_blockquote';
      last = this.#open.at(-1) ?? last;
      if (last.kind !== 'BlockQuote') return this.#unclosed(last);
    }
    this.#open.pop();
    this.#inQuote = false;
    this.#plain('\n', true);
    this.#entities.push({ offset: last.offset, length: this.#text.length - last.offset, type });
    return undefined;
  }

  /** The text ends: a quotation may be open, and nothing else. */
  #endLastQuote(): string | undefined {
    let last = this.#open.at(-1);
    if (this.#inQuote && last !== undefined) {
      let type: 'blockquote' | 'expandable_blockquote' = 'blockquote';
      if (last.kind === 'Spoiler' && last.from === this.#source.length - 2) {
        this.#open.pop();
        type = 'expandable_blockquote';
        last = this.#open.at(-1) ?? last;
      }
      if (last.kind === 'BlockQuote') {
        this.#open.pop();
        const length = this.#text.length - last.offset;
        if (length > 0) this.#entities.push({ offset: last.offset, length, type });
        last = this.#open.at(-1);
      }
    }
    return last === undefined ? undefined : this.#unclosed(last);
  }

  #unclosed({ kind, from }: Open): string {
    return `Can't find end of ${kind} entity at byte offset ${this.#bytes(from)}`;
  }

  #missingEnd(what: string, from: number): string {
    return `Can't find end of ${what} at byte offset ${this.#bytes(from)}`;
  }

  #bytes(at: number): number {
    return Buffer.byteLength(this.#source.slice(0, at));
  }
}

function isEscapable(code: number): boolean {
  return code > 0 && code <= 126;
}

function reserved(sign: string): string {
  return `Character '${sign}' is reserved and must be escaped with the preceding '\\'`;
}
