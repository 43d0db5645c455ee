import { compareEntities, type EntityType, type FormattedText, type TextEntity } from './entity.js';
import { checkLink, INVALID_EMOJI_ID, isEmojiId, userOfLink } from './links.js';

/** The tags that Telegram knows, and the kind of entity that a tag makes where it is that simple. */
const TAGS: ReadonlyMap<string, EntityType | undefined> = new Map<string, EntityType | undefined>([
  ['b', 'bold'],
  ['strong', 'bold'],
  ['i', 'italic'],
  ['em', 'italic'],
  ['u', 'underline'],
  ['ins', 'underline'],
  ['s', 'strikethrough'],
  ['strike', 'strikethrough'],
  ['del', 'strikethrough'],
  ['tg-spoiler', 'spoiler'],
  ['span', 'spoiler'],
  ['tg-emoji', undefined],
  ['a', undefined],
  ['pre', undefined],
  ['code', undefined],
  ['blockquote', undefined],
]);
const NAMED_REFERENCES: ReadonlyMap<string, string> = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['quot', '"'],
]);
const REFERENCE = /&(?:#x([0-9a-fA-F]*)|#(\d*)|([a-zA-Z]+));?/y;
const REFERENCE_MAX = 10;
const CODE_POINT_MAX = 0x10_fffe;
const SPACE = /[ \t\r\n\v\0]*/y;
const TAG_NAME = /[^ \t\r\n\v\0>]*/y;
const ATTRIBUTE_NAME = /[^ \t\r\n\v\0=>/"']*/y;
const NAME_TOKEN = /[A-Za-z0-9.-]*/y;
const LANGUAGE_CLASS = 'language-';
const BROKEN_UNICODE =
  'Text contains invalid Unicode characters after decoding HTML entities, check for unmatched surrogate code units';

/** A tag that is open: `argument` is its attribute's value as far as Telegram reads it, '' for none. */
interface OpenTag {
  readonly name: string;
  readonly argument: string;
  /** Where its text begins in the result. */
  readonly offset: number;
}

/** A code's entity keeps its tag's class until the end, for a pre around it; a pre's language alone is shown. */
type Marked = TextEntity & { readonly classLanguage?: string };

/**
 * Parses Telegram's HTML as its server does: the text without tags and references, and its entities in Telegram's order, not yet joined, split
 * or trimmed. What it does not take is an error's text, in tdlib's words, with offsets in bytes of UTF-8. Never throws.
 */
export function parseHtml(source: string): FormattedText | string {
  return new HtmlParser(source).parse();
}

class HtmlParser {
  readonly #source: string;
  readonly #entities: Marked[] = [];
  readonly #open: OpenTag[] = [];
  #text = '';
  #at = 0;
  #hasSurrogate: boolean;

  constructor(source: string) {
    this.#source = source;
    this.#hasSurrogate = false;
  }

  parse(): FormattedText | string {
    const source = this.#source;
    if (source.includes('\0')) return 'Text must not contain null bytes';
    while (this.#at < source.length) {
      const sign = source[this.#at];
      if (sign === '&') this.#text += this.#reference() ?? this.#take('&');
      else if (sign === '<') {
        const fault = source[this.#at + 1] === '/' ? this.#endTag() : this.#startTag();
        if (fault !== undefined) return fault;
      } else {
        const next = source.slice(this.#at).search(/[&<]/);
        this.#text += this.#take(next < 0 ? source.slice(this.#at) : source.slice(this.#at, this.#at + next));
      }
    }
    const last = this.#open.at(-1);
    if (last !== undefined) return `Can't find end tag corresponding to start tag "${last.name}"`;
    if (this.#hasSurrogate) return BROKEN_UNICODE;
    const entities = this.#entities.map(({ classLanguage: _own, ...entity }): TextEntity => entity);
    return { text: this.#text, entities: entities.sort(compareEntities) };
  }

  #take(text: string): string {
    this.#at += text.length;
    return text;
  }

  /** Passes over what a sticky pattern matches here, and returns it. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    return this.#take(pattern.exec(this.#source)?.[0] ?? '');
  }

  /** Passes over a character reference and returns what it stands for; undefined, and stays, where there is none. */
  #reference(): string | undefined {
    REFERENCE.lastIndex = this.#at;
    const [whole, hex, decimal, name = ''] = REFERENCE.exec(this.#source) ?? [];
    if (whole === undefined) return undefined;
    let value = NAMED_REFERENCES.get(name);
    if (hex !== undefined || decimal !== undefined) {
      const code = Number.parseInt(hex ?? decimal ?? '', hex === undefined ? 10 : 16);
      const length = whole.endsWith(';') ? whole.length - 1 : whole.length;
      if (!(code > 0 && code <= CODE_POINT_MAX) || length >= REFERENCE_MAX) return undefined;
      if (code >= 0xd800 && code <= 0xdfff) this.#hasSurrogate = true;
      value = String.fromCodePoint(code);
    }
    if (value !== undefined) this.#at += whole.length;
    return value;
  }

  #startTag(): string | undefined {
    const begin = this.#at;
    this.#at += 1;
    const name = lower(this.#match(TAG_NAME));
    if (this.#at >= this.#source.length) return `Unclosed start tag at byte offset ${this.#bytes(begin)}`;
    if (!TAGS.has(name)) return `Unsupported start tag "${name}" at byte offset ${this.#bytes(begin)}`;
    let argument = '';
    for (;;) {
      this.#match(SPACE);
      if (this.#source[this.#at] === '>') break;
      const attribute = this.#attribute(name, begin);
      if (typeof attribute === 'string') return attribute;
      argument = argumentOf(name, attribute) ?? argument;
    }
    this.#at += 1;
    if (name === 'span' && argument !== 'spoiler') {
      return `Tag "span" must have class "tg-spoiler" at byte offset ${this.#bytes(begin)}`;
    }
    this.#open.push({ name, argument, offset: this.#text.length });
    return undefined;
  }

  /** An attribute of the tag that begins at `begin`, or why there is none. A string without a value is ''. */
  #attribute(tag: string, begin: number): { readonly name: string; readonly value?: string } | string {
    const unclosed = (): string => `Unclosed start tag "${tag}" at byte offset ${this.#bytes(begin)}`;
    const name = this.#match(ATTRIBUTE_NAME);
    if (name === '') return `Empty attribute name in the tag "${tag}" at byte offset ${this.#bytes(begin)}`;
    this.#match(SPACE);
    if (this.#source[this.#at] !== '=') return this.#at >= this.#source.length ? unclosed() : { name };
    this.#at += 1;
    this.#match(SPACE);
    const quote = this.#source[this.#at];
    if (quote === undefined) return unclosed();
    let value = '';
    if (quote === '"' || quote === "'") {
      this.#at += 1;
      while (this.#at < this.#source.length && this.#source[this.#at] !== quote) {
        const sign = this.#source[this.#at] ?? '';
        value += (sign === '&' ? this.#reference() : undefined) ?? this.#take(sign);
      }
      this.#at += 1;
    } else {
      const from = this.#at;
      value = lower(this.#match(NAME_TOKEN));
      if (!/[ \t\r\n\v>]/.test(this.#source[this.#at] ?? ' ')) {
        return `Unexpected end of name token at byte offset ${this.#bytes(from)}`;
      }
    }
    if (this.#at >= this.#source.length) return `Unclosed start tag at byte offset ${this.#bytes(begin)}`;
    return { name, value };
  }

  #endTag(): string | undefined {
    const begin = this.#at;
    const open = this.#open.pop();
    if (open === undefined) return `Unexpected end tag at byte offset ${this.#bytes(begin)}`;
    this.#at += 2;
    const name = lower(this.#match(TAG_NAME));
    this.#match(SPACE);
    if (this.#source[this.#at] !== '>') return `Unclosed end tag at byte offset ${this.#bytes(begin)}`;
    this.#at += 1;
    if (name !== '' && name !== open.name) {
      return `Unmatched end tag at byte offset ${this.#bytes(begin)}, expected "</${open.name}>", found "</${name}>"`;
    }
    return this.#text.length > open.offset ? this.#mark(open) : undefined;
  }

  /** Adds the entity of a tag that ends here, with text in it. */
  #mark({ name, argument, offset }: OpenTag): string | undefined {
    const place = { offset, length: this.#text.length - offset };
    const last = this.#entities.at(-1);
    const isLastHere = last !== undefined && last.offset === offset && last.length === place.length;
    switch (name) {
      case 'tg-emoji':
        if (!isEmojiId(argument)) return INVALID_EMOJI_ID;
        this.#entities.push({ ...place, type: 'custom_emoji', custom_emoji_id: argument });
        break;
      case 'a': {
        const link = linkEntity(place, argument === '' ? this.#text.slice(offset) : argument);
        if (link !== undefined) this.#entities.push(link);
        break;
      }
      case 'pre':
        // A language counts where pre and code mark the same text, whichever is the outer one.
        if (isLastHere && last.type === 'code' && last.classLanguage !== undefined) {
          this.#entities[this.#entities.length - 1] = { ...place, type: 'pre', language: last.classLanguage };
        } else this.#entities.push({ ...place, type: 'pre' });
        break;
      case 'code':
        if (isLastHere && last.type === 'pre' && last.language === undefined && argument !== '') {
          this.#entities[this.#entities.length - 1] = { ...place, type: 'pre', language: argument };
        } else this.#entities.push({ ...place, type: 'code', ...(argument !== '' && { classLanguage: argument }) });
        break;
      case 'blockquote':
        this.#entities.push({ ...place, type: argument === '' ? 'blockquote' : 'expandable_blockquote' });
        break;
      default: {
        const type = TAGS.get(name);
        if (type !== undefined) this.#entities.push({ ...place, type });
      }
    }
    return undefined;
  }

  #bytes(at: number): number {
    return Buffer.byteLength(this.#source.slice(0, at));
  }
}

/** What an attribute tells of its tag; undefined for one that Telegram passes over. */
function argumentOf(tag: string, { name, value }: { name: string; value?: string }): string | undefined {
  if (tag === 'blockquote' && name === 'expandable') return '1';
  if (value === undefined) return undefined;
  if (tag === 'a' && name === 'href') return value;
  if (tag === 'tg-emoji' && name === 'emoji-id') return value;
  if (tag === 'code' && name === 'class' && value.startsWith(LANGUAGE_CLASS)) return value.slice(LANGUAGE_CLASS.length);
  return tag === 'span' && name === 'class' && value.startsWith('tg-') ? value.slice(3) : undefined;
}

/** A text_link or text_mention; undefined for a link that is none, whose text stays plain. Never throws. */
export function linkEntity(place: { offset: number; length: number }, link: string): TextEntity | undefined {
  const userId = userOfLink(link);
  if (userId !== undefined) return { ...place, type: 'text_mention', userId };
  const checked = checkLink(link);
  return 'url' in checked ? { ...place, type: 'text_link', url: checked.url } : undefined;
}

function lower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
