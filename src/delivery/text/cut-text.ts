import { parseHtml } from './html.js';
import { parseMarkdownV2 } from './markdown-v2.js';
import type { Mark, ParsedText } from './parsed-text.js';

/** Most UTF-16 units of one message after parsing (Bot API, sendMessage). */
export const PART_UNITS = 4_096;
/** Most bytes of UTF-8 of one message before parsing: Telegram's server refuses more as too long. */
const PART_BYTES = 32_768;

/** A part of a long text: its source from `from` to before `to`, with the marks that are opened again before it and closed behind it. */
export interface TextPart {
  readonly from: number;
  readonly to: number;
  readonly before?: string;
  readonly after?: string;
}

/** How a text goes out: as it is, in parts, or not at all. */
export type TextCut =
  | { readonly kind: 'whole' }
  | { readonly kind: 'parts'; readonly parts: readonly TextPart[] }
  | { readonly kind: 'refused'; readonly code: 'PH_TEXT_MALFORMED' | 'PH_TEXT_UNSPLITTABLE'; readonly reason: string };

/** A text as it is stored with its parts, if it has any. */
export interface CutBody {
  readonly text: string;
  readonly parts?: readonly TextPart[];
}

/** How many messages a body is sent as. Never throws. */
export const partCount = ({ parts }: CutBody): number => parts?.length ?? 1;

/** What is sent as part `index` (from 0) of a body. Never throws. */
export function partText({ text, parts }: CutBody, index: number): string {
  const part = parts?.[index];
  return part === undefined ? text : `${part.before ?? ''}${text.slice(part.from, part.to)}${part.after ?? ''}`;
}

/** Where a cut may be, the best first: the end of a paragraph, line, sentence, word, a grapheme, and within what Telegram makes a link of. */
const [PARAGRAPH, LINE, SENTENCE, WORD, GRAPHEME, INSIDE] = [0, 1, 2, 3, 4, 5] as const;
type Rank = typeof PARAGRAPH | typeof LINE | typeof SENTENCE | typeof WORD | typeof GRAPHEME | typeof INSIDE;
/** Deeper marks are no text that anybody wrote, and would make the cutting slow. */
const NESTING_MAX = 64;
/** So many blanks around a cut are looked at. */
const BLANKS_SEEN = 64;
const SENTENCE_END = /[.!?…]["'»”’)\]]*$/;
const WIDE_SENTENCE_END = /[。！？]$/;
/** A text in which Telegram sees nothing. */
const INVISIBLE = /^[\s\u180e\u2000-\u200f\u202e\u2060\u2800\ufffc]*$/;

const DOMAIN = '[\\w~\\-\\u00c0-\\u167f\\u1681-\\u1fff\\u2070-\\u2fff\\u3003-\\uff00]';
const ADDRESS_SIGN = '[^\\s\\u2000-\\u200b\\u2016-\\u206f\\u3000<>"«»]';
/** What Telegram makes links of by itself, generously: addresses, mentions, tags, commands, phone numbers. */
const FOUND = new RegExp(
  [
    `[a-z][a-z0-9+.-]{0,20}://${ADDRESS_SIGN}+`,
    `[\\w.+-]{1,64}@(?:${DOMAIN}{1,64}\\.){1,8}${DOMAIN}{1,64}`,
    `${DOMAIN}{1,64}(?:\\.${DOMAIN}{1,64}){1,8}(?:[/?#:]${ADDRESS_SIGN}*)?`,
    '[@#$/][\\p{L}\\p{N}_·\\u200c]{1,256}(?:@\\w{1,32})?',
    '\\+\\d(?:[ ().-]{0,2}\\d){6,14}',
  ].join('|'),
  'giu',
);

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });

/**
 * Cuts a text into the messages that it is sent as: each at most 4,096 UTF-16 units after parsing and 32,768 bytes before, with valid marks of its own.
 * A cut lies at a paragraph's end if there is one in the second half of what fits, else at a line's, a sentence's, a word's, else between two graphemes;
 * never in a grapheme, a link, code, a custom emoji, nor in any other mark that fits a message: bold and its like and quotations that do not are closed
 * and opened again. Blanks at a cut are left out. Refused are what Telegram cannot parse (in its words) and what cannot be cut. Never throws.
 */
export function cutText(text: string, parseMode: 'HTML' | 'MarkdownV2' | undefined): TextCut {
  const fits = text.length <= PART_UNITS;
  if (fits && parseMode === undefined) return /\S/.test(text) ? { kind: 'whole' } : EMPTY;
  const parsed = parse(text, parseMode);
  if (typeof parsed === 'string') return malformed(`can't parse entities: ${parsed}`);
  if (!/\S/.test(parsed.text)) return EMPTY;
  if (parsed.text.length <= PART_UNITS && (fits || Buffer.byteLength(text) <= PART_BYTES)) return { kind: 'whole' };
  return new Cutter(text, parsed).cut();
}

const malformed = (reason: string): TextCut => ({ kind: 'refused', code: 'PH_TEXT_MALFORMED', reason });
const EMPTY = malformed('message text is empty');
const unsplittable = (reason: string): TextCut => ({ kind: 'refused', code: 'PH_TEXT_UNSPLITTABLE', reason });

function parse(text: string, parseMode: 'HTML' | 'MarkdownV2' | undefined): ParsedText | string {
  if (parseMode === 'HTML') return parseHtml(text);
  if (parseMode === 'MarkdownV2') return parseMarkdownV2(text);
  return { text, marks: [] };
}

/** The cutting of one text. Places are offsets in the visible text; a cut at `c` lies before its unit `c`. */
class Cutter {
  readonly #source: string;
  readonly #text: string;
  readonly #parsed: ParsedText;
  readonly #marks: readonly Mark[];
  /** By mark the one around it, and by unit of the text the innermost around it; −1 for none. */
  readonly #outer: Int32Array;
  readonly #inner: Int32Array;
  /** By place: within how many marks that must not be cut it lies, and whether within something that Telegram makes a link of. */
  readonly #closed: Int32Array;
  readonly #found: Uint8Array;
  readonly #segments: Intl.Segments;

  constructor(source: string, parsed: ParsedText) {
    this.#source = source;
    this.#text = parsed.text;
    this.#parsed = parsed;
    this.#marks = parsed.marks.filter(({ from, to }) => to > from);
    this.#outer = new Int32Array(this.#marks.length).fill(-1);
    this.#inner = new Int32Array(this.#text.length).fill(-1);
    this.#closed = new Int32Array(this.#text.length + 2);
    this.#found = new Uint8Array(this.#text.length + 1);
    this.#segments = graphemes.segment(this.#text);
  }

  cut(): TextCut {
    const fault = this.#nest() ?? this.#close();
    if (fault !== undefined) return unsplittable(fault);
    const parts: TextPart[] = [];
    const { length } = this.#text;
    for (let at = this.#skipBlanks(0); at < length; ) {
      const end = this.#end(at);
      if (end === undefined) {
        const what = 'one sign with its marks is longer than a message';
        return unsplittable(`${what}, at offset ${this.#startOf(at)} of the text`);
      }
      const to = this.#skipBlanksBack(end, at);
      if (!INVISIBLE.test(this.#text.slice(at, to))) parts.push(this.#part(at, to));
      at = this.#skipBlanks(end);
    }
    return parts.length === 0 ? EMPTY : { kind: 'parts', parts };
  }

  /** Finds what lies within what. Why that cannot be kept, if so. */
  #nest(): string | undefined {
    const open: number[] = [];
    for (const [index, { from, to }] of this.#marks.entries()) {
      while (open.length > 0 && (this.#marks[open.at(-1) ?? 0]?.to ?? 0) <= from) open.pop();
      this.#outer[index] = open.at(-1) ?? -1;
      open.push(index);
      if (open.length > NESTING_MAX) return `more than ${NESTING_MAX} marks lie one within another`;
      this.#inner.fill(index, from, to);
    }
    return undefined;
  }

  /** The marks around a unit of the text, the innermost first. */
  #around(unit: number): Mark[] {
    const marks: Mark[] = [];
    for (let index = this.#inner[unit] ?? -1; index >= 0; index = this.#outer[index] ?? -1) {
      const mark = this.#marks[index];
      if (mark !== undefined) marks.push(mark);
    }
    return marks;
  }

  /** Marks all places within what must not be cut. Why that cannot be kept, if so. */
  #close(): string | undefined {
    for (const { from, to, kind, open } of this.#marks) {
      const fits = to - from <= PART_UNITS && this.#fitsBytes(from, to);
      if (!fits && kind === 'whole') {
        const at = this.#source.lastIndexOf(open, this.#startOf(from));
        return `a link, code or custom emoji is longer than a message and cannot be split: ${JSON.stringify(open.slice(0, 20))} at offset ${at} of the text`;
      }
      if (!fits) continue;
      this.#closed[from + 1] = (this.#closed[from + 1] ?? 0) + 1;
      this.#closed[to] = (this.#closed[to] ?? 0) - 1;
    }
    for (let at = 1; at < this.#closed.length; at += 1)
      this.#closed[at] = (this.#closed[at] ?? 0) + (this.#closed[at - 1] ?? 0);
    for (const match of this.#text.matchAll(FOUND)) {
      if (match[0].length <= PART_UNITS) this.#found.fill(1, match.index + 1, match.index + match[0].length);
    }
    return undefined;
  }

  /** Where the part that begins at `at` ends; undefined when not even one grapheme of it fits. */
  #end(at: number): number | undefined {
    const { length } = this.#text;
    const last = this.#furthest(at);
    if (last === length) return length;
    const best: (number | undefined)[] = Array.from({ length: INSIDE + 1 });
    const half = at + Math.floor((last - at) / 2);
    for (let place = last; place > at; place -= 1) {
      if (place === half && best.slice(0, GRAPHEME).some((found) => found !== undefined)) break;
      if (this.#closed[place] !== 0) continue;
      const rank = this.#rank(place);
      if (best[rank] !== undefined || !this.#isBoundary(place)) continue;
      best[rank] = place;
      if (rank === PARAGRAPH || (place < half && rank <= WORD)) break;
    }
    return best.find((found) => found !== undefined);
  }

  /** The furthest place at which a part that begins at `at` could end by its size. */
  #furthest(at: number): number {
    let most = Math.min(this.#text.length, at + PART_UNITS);
    if (this.#fitsBytes(at, most)) return most;
    let least = at;
    while (most - least > 1) {
      const middle = (least + most) >>> 1;
      if (this.#fitsBytes(at, middle)) least = middle;
      else most = middle;
    }
    return least;
  }

  #rank(place: number): Rank {
    if (this.#found[place] === 1) return INSIDE;
    const text = this.#text;
    let from = place;
    let to = place;
    while (from > 0 && place - from < BLANKS_SEEN && isBlank(text.charCodeAt(from - 1))) from -= 1;
    while (to < text.length && to - place < BLANKS_SEEN && isBlank(text.charCodeAt(to))) to += 1;
    const before = text.slice(Math.max(0, from - 4), from);
    if (from === to) return WIDE_SENTENCE_END.test(before) ? SENTENCE : GRAPHEME;
    const first = text.slice(from, to).indexOf('\n');
    if (first >= 0) return text.slice(from + first + 1, to).includes('\n') ? PARAGRAPH : LINE;
    return SENTENCE_END.test(before) || WIDE_SENTENCE_END.test(before) ? SENTENCE : WORD;
  }

  #isBoundary(place: number): boolean {
    return place >= this.#text.length || this.#segments.containing(place)?.index === place;
  }

  /** A place behind the blanks from `at` on; blanks in code and its like stay. */
  #skipBlanks(at: number): number {
    let place = at;
    while (place < this.#text.length && isBlank(this.#text.charCodeAt(place)) && !this.#isKept(place)) place += 1;
    return place;
  }

  #skipBlanksBack(end: number, at: number): number {
    let place = end;
    while (place > at && isBlank(this.#text.charCodeAt(place - 1)) && !this.#isKept(place - 1)) place -= 1;
    return place;
  }

  #isKept(unit: number): boolean {
    return this.#around(unit).some(({ kind }) => kind === 'whole');
  }

  #startOf(unit: number): number {
    return this.#parsed.starts?.[unit] ?? unit;
  }

  #endOf(unit: number): number {
    return this.#parsed.ends?.[unit] ?? unit + 1;
  }

  #fitsBytes(from: number, to: number): boolean {
    const { before, begin, end, after } = this.#cutOut(from, to);
    if ((before.length + end - begin + after.length) * 3 <= PART_BYTES) return true;
    return Buffer.byteLength(`${before}${this.#source.slice(begin, end)}${after}`) <= PART_BYTES;
  }

  /** The source of a part, with what opens and closes the marks that it was cut out of. */
  #cutOut(from: number, to: number): { before: string; begin: number; end: number; after: string } {
    const begin = this.#startOf(from);
    const end = this.#endOf(to - 1);
    const opened = this.#around(from).reverse();
    const closed = this.#around(to - 1);
    const before = joined(
      '',
      opened.map(({ open }) => open),
    );
    // A quotation ends with its line: what is closed behind it stands on the next one.
    const closing = closed.map(({ kind, close }, index) =>
      kind === 'quote' && index < closed.length - 1 ? `${close}\n` : close,
    );
    return { before, begin, end, after: joined(this.#source.slice(end - 1, end), closing) };
  }

  #part(from: number, to: number): TextPart {
    const { before, begin, end, after } = this.#cutOut(from, to);
    return { from: begin, to: end, ...(before === '' ? {} : { before }), ...(after === '' ? {} : { after }) };
  }
}

/** Marks one behind the other; an empty bold between two that MarkdownV2 would read as another one, as Telegram advises. */
function joined(before: string, marks: readonly string[]): string {
  let text = '';
  for (const mark of marks) {
    const isAmbiguous = mark.startsWith('_') && (text === '' ? before : text).endsWith('_');
    text += isAmbiguous ? `**${mark}` : mark;
  }
  return text;
}

function isBlank(unit: number): boolean {
  return unit === 32 || unit === 10 || unit === 9 || unit === 13;
}
