/** Most bytes of an answer's head, of a line between chunks, and of the trailers. */
export const HEAD_MAX_BYTES = 16_384;

const CR = 13;
const LF = 10;
const HEAD_END_BYTES = 4;
const BEGINNING = 'HTTP/1.';
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\0\r\n]*)?$/;
const HEADER = /^([!#-'*+\-.^`|~\w]+):[ \t]*([^\0\r\n]*)$/;
const CHUNK_LINE = /^0*([\da-f]{1,12})[ \t]*(?:;.*)?$/i;

/** What an answer said, without its body. */
export interface AnswerHead {
  readonly status: number;
  /** Whether the connection may be used again. */
  readonly keepAlive: boolean;
  /** The first Retry-After, as it was written. */
  readonly retryAfter: string | undefined;
  /** For how long the server keeps an idle connection, s, when it says so. */
  readonly keepAliveSeconds: number | undefined;
}

/** Where a parser is: it needs `more` bytes, the answer is `done`, or it is no good HTTP (`malformed`) or longer than allowed (`too-large`). */
export type ParserState = 'more' | 'done' | 'malformed' | 'too-large';

type Part = 'head' | 'length' | 'until-close' | 'chunk-line' | 'chunk' | 'chunk-end' | 'trailers';

/** What the headers of one head say, as they are read. */
interface Said {
  length: number;
  /** Whether there is a Transfer-Encoding, and whether its last coding is chunked. */
  coded: boolean;
  chunked: boolean;
  keepAlive: boolean;
  retryAfter: string | undefined;
  keepAliveSeconds: number | undefined;
}

/**
 * Takes one answer after another out of the bytes of a connection, however they are cut: status line, head, and a body by length, in chunks or until the close.
 * Interim answers (1xx) are passed over. Keeps no reference to the bytes that it is fed. Never throws; its work is linear in the bytes, its memory at most twice the body.
 */
export class AnswerParser {
  readonly #maxBytes: number;
  #state: ParserState = 'more';
  #part: Part = 'head';
  #head: AnswerHead | undefined;
  /** The beginning of a head or a line that did not come whole. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  /** Bytes of the body or the chunk that are still to come; of the trailers, those that may. */
  #left = 0;
  /** What has come of a body that did not come whole. */
  #body: Buffer | undefined;
  #size = 0;
  /** A body that came whole. */
  #text: string | undefined;

  /** Bodies of more than `maxBytes` are refused. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get state(): ParserState {
    return this.#state;
  }

  /** The head of the answer; undefined before it was read. */
  get head(): AnswerHead | undefined {
    return this.#head;
  }

  /** The body of an answer that is done, as UTF-8. */
  text(): string {
    return this.#text ?? this.#body?.toString('utf8', 0, this.#size) ?? '';
  }

  /** Gets ready for the next answer. */
  reset(): void {
    this.#state = 'more';
    this.#part = 'head';
    this.#head = undefined;
    this.#heldBytes = 0;
    this.#left = 0;
    this.#body = undefined;
    this.#size = 0;
    this.#text = undefined;
  }

  /** Takes the first `length` of these bytes. Returns how many of them belong to this answer: fewer than `length` only when it ended before them, well or not. */
  feed(bytes: Buffer, length: number): number {
    let at = 0;
    while (at < length && this.#state === 'more') at = this.#take(bytes, at, length);
    return at;
  }

  /** The other side has closed the connection: that ends a body without a length, and breaks off any other answer. */
  close(): void {
    if (this.#state === 'more') this.#state = this.#part === 'until-close' ? 'done' : 'malformed';
  }

  /** Takes some bytes from `at` on, at least one, and returns where it stopped. */
  #take(bytes: Buffer, at: number, end: number): number {
    switch (this.#part) {
      case 'head':
        return this.#takeHead(bytes, at, end);
      case 'until-close':
        this.#keep(bytes, at, end);
        return end;
      case 'length':
      case 'chunk': {
        const until = Math.min(end, at + this.#left);
        this.#left -= until - at;
        this.#keep(bytes, at, until);
        if (this.#left > 0 || this.#state !== 'more') return until;
        if (this.#part === 'length') this.#state = 'done';
        else this.#part = 'chunk-end';
        return until;
      }
      default:
        return this.#takeLine(bytes, at, end);
    }
  }

  #takeHead(bytes: Buffer, at: number, end: number): number {
    const before = this.#heldBytes;
    const whole = before === 0 ? headEnd(bytes, at, Math.min(end, at + HEAD_MAX_BYTES)) : -1;
    if (whole >= 0) {
      this.#readHead(bytes.toString('latin1', at, whole));
      return this.#takeWholeBody(bytes, whole + HEAD_END_BYTES, end);
    }
    const held = this.#hold(bytes, at, end);
    const found = headEnd(held, Math.max(0, before - HEAD_END_BYTES + 1), this.#heldBytes);
    if (found < 0) {
      if (this.#heldBytes === HEAD_MAX_BYTES || !mayBeHead(held, before, this.#heldBytes)) this.#state = 'malformed';
      return end;
    }
    this.#heldBytes = 0;
    this.#readHead(held.toString('latin1', 0, found));
    return this.#takeWholeBody(bytes, at + found + HEAD_END_BYTES - before, end);
  }

  /** What most answers come to: the body is there with the head, and needs no copy. */
  #takeWholeBody(bytes: Buffer, at: number, end: number): number {
    const until = at + this.#left;
    if (this.#state !== 'more' || this.#part !== 'length' || until > end) return at;
    this.#text = bytes.toString('utf8', at, until);
    this.#state = 'done';
    return until;
  }

  #readHead(text: string): void {
    const lines = text.split('\r\n');
    const [, minor, digits] = STATUS_LINE.exec(lines[0] ?? '') ?? [];
    const said: Said = {
      length: -1,
      coded: false,
      chunked: false,
      keepAlive: minor === '1',
      retryAfter: undefined,
      keepAliveSeconds: undefined,
    };
    const status = Number(digits);
    // Nobody asked for another protocol (101); a length beside a coding is how answers are smuggled.
    if (!readHeaders(lines, said) || digits === undefined || status === 101 || (said.coded && said.length >= 0)) {
      this.#state = 'malformed';
      return;
    }
    if (status < 200) return; // the answer itself is still to come
    const empty = status === 204 || status === 304 || said.length === 0;
    const endless = !(empty || said.chunked || said.length > 0);
    this.#head = {
      status,
      keepAlive: said.keepAlive && !endless,
      retryAfter: said.retryAfter,
      keepAliveSeconds: said.keepAliveSeconds,
    };
    if (empty) this.#state = 'done';
    else if (said.chunked) this.#part = 'chunk-line';
    else if (endless) this.#part = 'until-close';
    else if (said.length > this.#maxBytes) this.#state = 'too-large';
    else {
      this.#part = 'length';
      this.#left = said.length;
    }
  }

  /** A line of the chunked coding: the size of a chunk, the empty line after its bytes, a trailer. */
  #takeLine(bytes: Buffer, at: number, end: number): number {
    let lineEnd = at;
    while (lineEnd < end && bytes[lineEnd] !== LF) lineEnd += 1;
    const whole = lineEnd < end;
    if (whole) lineEnd += 1;
    if (this.#heldBytes + lineEnd - at > HEAD_MAX_BYTES) {
      this.#state = 'malformed';
      return lineEnd;
    }
    const held = this.#hold(bytes, at, lineEnd);
    if (!whole) return lineEnd;
    const length = this.#heldBytes - 2;
    this.#heldBytes = 0;
    if (length < 0 || held[length] !== CR) this.#state = 'malformed';
    else this.#readLine(held.toString('latin1', 0, length));
    return lineEnd;
  }

  #readLine(line: string): void {
    switch (this.#part) {
      case 'chunk-line': {
        const [, digits] = CHUNK_LINE.exec(line) ?? [];
        this.#left = digits === undefined ? -1 : Number.parseInt(digits, 16);
        if (this.#left < 0) this.#state = 'malformed';
        else if (this.#size + this.#left > this.#maxBytes) this.#state = 'too-large';
        else if (this.#left > 0) this.#part = 'chunk';
        else {
          this.#part = 'trailers';
          this.#left = HEAD_MAX_BYTES;
        }
        return;
      }
      case 'chunk-end':
        if (line === '') this.#part = 'chunk-line';
        else this.#state = 'malformed';
        return;
      default:
        this.#left -= line.length;
        if (line === '') this.#state = 'done';
        else if (this.#left < 0 || !HEADER.test(line)) this.#state = 'malformed';
    }
  }

  /** Puts bytes behind those of the body that have come. */
  #keep(bytes: Buffer, at: number, end: number): void {
    const size = this.#size + end - at;
    if (size > this.#maxBytes) {
      this.#state = 'too-large';
      return;
    }
    if (this.#body === undefined || this.#body.length < size) {
      const wanted = this.#part === 'length' ? size + this.#left : Math.max(size * 2, HEAD_MAX_BYTES);
      const room = Buffer.allocUnsafeSlow(wanted);
      this.#body?.copy(room, 0, 0, this.#size);
      this.#body = room;
    }
    bytes.copy(this.#body, this.#size, at, end);
    this.#size = size;
  }

  /** Puts bytes behind those that are held, as many as there is room for. */
  #hold(bytes: Buffer, at: number, end: number): Buffer {
    this.#held ??= Buffer.allocUnsafeSlow(HEAD_MAX_BYTES);
    this.#heldBytes += bytes.copy(this.#held, this.#heldBytes, at, end);
    return this.#held;
  }
}

/** Where the empty line begins that ends a head, with the end of the line before it; -1 when it is not there. */
function headEnd(bytes: Buffer, from: number, end: number): number {
  for (let at = from + HEAD_END_BYTES - 1; at < end; at += 1)
    if (bytes[at] === LF && bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR)
      return at - HEAD_END_BYTES + 1;
  return -1;
}

/** Whether these bytes, of which those from `from` on are new, can go on to a head: else nobody need wait for its end. */
function mayBeHead(bytes: Buffer, from: number, end: number): boolean {
  for (let at = from; at < end; at += 1) {
    if (at < BEGINNING.length && bytes[at] !== BEGINNING.charCodeAt(at)) return false;
    if (bytes[at] === LF && bytes[at - 1] !== CR) return false;
  }
  return true;
}

/** Reads the lines after the first; false when one is no header, or says what cannot be. */
function readHeaders(lines: readonly string[], said: Said): boolean {
  for (let i = 1; i < lines.length; i += 1) {
    const [, name, value] = HEADER.exec(lines[i] ?? '') ?? [];
    if (name === undefined || value === undefined || !readHeader(name, value.trimEnd(), said)) return false;
  }
  return true;
}

function readHeader(name: string, value: string, said: Said): boolean {
  switch (name.length) {
    case 10:
    case 11:
    case 14:
    case 17:
      break;
    default:
      return true; // no name that matters has this length
  }
  switch (name.toLowerCase()) {
    case 'content-length':
      if (said.length >= 0 || !/^\d{1,15}$/.test(value)) return false;
      said.length = Number(value);
      return true;
    case 'transfer-encoding':
      said.coded = true;
      said.chunked = /(?:^|,)[ \t]*chunked$/i.test(value);
      return true;
    case 'connection':
      if (/(?:^|,)[ \t]*close[ \t]*(?:,|$)/i.test(value)) said.keepAlive = false;
      else if (/(?:^|,)[ \t]*keep-alive[ \t]*(?:,|$)/i.test(value)) said.keepAlive = true;
      return true;
    case 'keep-alive': {
      const [, seconds] = /\btimeout=(\d{1,9})/i.exec(value) ?? [];
      if (seconds !== undefined) said.keepAliveSeconds = Number(seconds);
      return true;
    }
    case 'retry-after':
      said.retryAfter ??= value;
      return true;
    default:
      return true;
  }
}
