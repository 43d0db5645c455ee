import type { BodyBudget } from './body-budget.js';

const HEAD_MAX_BYTES = 16 * 1024;
const CHUNK_LINE_MAX_BYTES = 1024;
/** A body of so many bytes is no more than a connection's other buffers: it takes nothing of the budget. */
const BODY_FREE_BYTES = 64 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');
const NO_BYTES = Buffer.alloc(0);
const REQUEST_LINE = /^([A-Z]{1,20}) (?:http:\/\/[^/? ]*)?(\/[^? ]*)(?:\?([^ ]*))? HTTP\/1\.([01])$/;

/** One HTTP/1.1 request: `path` and `query` (without `?`) as sent, header values trimmed and empty where absent. */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly host: string;
  readonly origin: string;
  readonly contentType: string;
  readonly keepAlive: boolean;
  readonly body: Buffer;
  /** Bytes of the budget that the body holds; who gets the request gives them back. */
  readonly held: number;
}

/** What a reader tells its connection. After `onFault`, or a request without keep-alive, it reads nothing more. */
export interface HttpReaderEvents {
  onRequest(request: HttpRequest): void;
  onContinue(): void;
  onFault(status: 400 | 413 | 431): void;
  /** What the reader waited for is there: it goes on by `feed` without bytes. */
  onGranted(): void;
}

/** A request as far as it is read. */
interface Head extends HttpRequest {
  host: string;
  origin: string;
  contentType: string;
  keepAlive: boolean;
  body: Buffer;
  held: number;
  length: number;
  chunked: boolean;
  expects: boolean;
}

/** What is read next within a chunked body. */
type ChunkPart = 'size' | 'bytes' | 'end';

/**
 * Takes requests out of the bytes of one connection, however they are cut or joined (keep-alive, pipelining, Content-Length, chunked).
 * RFC 9112, less what no Bot API client sends: folded headers and bodies of both kinds at once are faults. A body that has to be put together
 * of several pieces takes its length of the budget, a chunked one the most that it may have; while there is too little, the reader `waits`. Never throws.
 */
export class HttpReader {
  readonly #events: HttpReaderEvents;
  readonly #bodyMaxBytes: number;
  readonly #budget: BodyBudget;
  /** What was not taken yet: the bytes of `#rest` from `#at` on. */
  #rest: Buffer = NO_BYTES;
  #at = 0;
  #head: Head | undefined;
  /** The body as far as it is there: the first `#have` bytes. */
  #body: Buffer = NO_BYTES;
  #have = 0;
  #part: ChunkPart = 'size';
  #chunkLeft = 0;
  #held = 0;
  #wish = 0;
  #dead: boolean;
  readonly #granted = (): void => {
    this.#held = this.#wish;
    this.#wish = 0;
    this.#events.onGranted();
  };

  constructor(events: HttpReaderEvents, bodyMaxBytes: number, budget: BodyBudget) {
    this.#events = events;
    this.#bodyMaxBytes = bodyMaxBytes;
    this.#budget = budget;
    this.#dead = false;
  }

  /** Whether nothing goes on until the budget has bytes for the body; the connection should not be read meanwhile. */
  get waits(): boolean {
    return this.#wish > 0;
  }

  /** Whether a body that holds bytes of the budget is still to come. */
  get holds(): boolean {
    return this.#held > 0;
  }

  /** Takes the next bytes; calls the events from within. */
  feed(bytes: Buffer): void {
    if (this.#dead) return;
    this.#rest = this.#left === 0 ? bytes : Buffer.concat([this.#rest.subarray(this.#at), bytes]);
    this.#at = 0;
    while (!this.#dead && this.#wish === 0 && this.#step());
  }

  get #left(): number {
    return this.#rest.length - this.#at;
  }

  /** Goes on behind what was taken. */
  #skipTo(at: number): void {
    this.#at = at;
    // Held on to, a few bytes would keep the whole piece that they came in.
    if (at === this.#rest.length) this.#clear();
  }

  #clear(): void {
    this.#rest = NO_BYTES;
    this.#at = 0;
  }

  /** Ends the reading and gives back what an unfinished body holds. */
  end(): void {
    this.#dead = true;
    this.#clear();
    this.#body = NO_BYTES;
    this.#budget.forget(this.#granted);
    this.#wish = 0;
    const held = this.#held;
    this.#held = 0;
    if (held > 0) this.#budget.give(held);
  }

  #fault(status: 400 | 413 | 431): false {
    this.end();
    this.#events.onFault(status);
    return false;
  }

  #step(): boolean {
    if (this.#head === undefined) return this.#readHead();
    return this.#head.chunked ? this.#readChunk(this.#head) : this.#readLength(this.#head);
  }

  #finish(head: Head, body: Buffer): true {
    const held = this.#held;
    this.#head = undefined;
    this.#body = NO_BYTES;
    this.#have = 0;
    this.#held = 0;
    // What follows on a connection that is to be closed is not read.
    if (!head.keepAlive) this.#dead = true;
    // A chunked body took more than it turned out to need.
    const surplus = Math.max(0, held - body.buffer.byteLength);
    head.body = body;
    head.held = held - surplus;
    this.#events.onRequest(head);
    if (surplus > 0) this.#budget.give(surplus);
    return true;
  }

  #readHead(): boolean {
    const rest = this.#rest;
    let from = this.#at;
    while (rest[from] === 13 && rest[from + 1] === 10) from += 2;
    this.#skipTo(from);
    const first = rest[from];
    if (first === undefined) return false;
    if ((first < 65 || first > 90) && first !== 13) return this.#fault(400);
    const end = rest.indexOf(HEAD_END, from);
    if (end < 0) return rest.length - from > HEAD_MAX_BYTES ? this.#fault(431) : false;
    if (end - from > HEAD_MAX_BYTES) return this.#fault(431);
    const head = readHead(rest.toString('latin1', from, end));
    if (typeof head === 'number') return this.#fault(head);
    if (head.length > this.#bodyMaxBytes) return this.#fault(413);
    this.#skipTo(end + 4);
    if (!head.chunked && head.length === 0) return this.#finish(head, NO_BYTES);
    this.#head = head;
    this.#part = 'size';
    if (head.expects && this.#left === 0) this.#events.onContinue();
    return true;
  }

  #readLength(head: Head): boolean {
    const from = this.#at;
    const missing = head.length - this.#have;
    if (this.#have === 0 && this.#left >= missing) {
      const body = this.#rest.subarray(from, from + missing);
      this.#skipTo(from + missing);
      return this.#finish(head, body);
    }
    if (this.#left === 0 || !this.#hold(head.length, head.length)) return false;
    if (this.#body.length === 0) this.#body = Buffer.allocUnsafeSlow(head.length);
    this.#copy(Math.min(missing, this.#left));
    return this.#have === head.length && this.#finish(head, this.#body);
  }

  #readChunk(head: Head): boolean {
    const rest = this.#rest;
    const from = this.#at;
    if (this.#part === 'bytes') {
      if (this.#left === 0) return false;
      this.#chunkLeft -= this.#copy(Math.min(this.#chunkLeft, this.#left));
      if (this.#chunkLeft === 0) this.#part = 'end';
      return true;
    }
    if (this.#part === 'end') {
      if (this.#left < 2) return false;
      if (rest[from] !== 13 || rest[from + 1] !== 10) return this.#fault(400);
      this.#skipTo(from + 2);
      this.#part = 'size';
      return true;
    }
    const lineEnd = rest.indexOf(LINE_END, from);
    if (lineEnd < 0) return this.#left > CHUNK_LINE_MAX_BYTES ? this.#fault(400) : false;
    const size = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?$/.exec(rest.toString('latin1', from, lineEnd))?.[1];
    if (size === undefined) return this.#fault(400);
    const bytes = Number.parseInt(size, 16);
    if (bytes === 0) return this.#readTrailers(head, lineEnd + 2);
    const need = this.#have + bytes;
    if (need > this.#bodyMaxBytes) return this.#fault(413);
    if (!this.#hold(need, this.#bodyMaxBytes)) return false;
    this.#grow(need);
    this.#skipTo(lineEnd + 2);
    this.#part = 'bytes';
    this.#chunkLeft = bytes;
    return true;
  }

  #readTrailers(head: Head, from: number): boolean {
    const rest = this.#rest;
    let at = from;
    for (;;) {
      const end = rest.indexOf(LINE_END, at);
      if (end < 0) return rest.length - from > HEAD_MAX_BYTES ? this.#fault(431) : false;
      if (end === at) break;
      at = end + 2;
    }
    this.#skipTo(at + 2);
    return this.#finish(head, this.#body.subarray(0, this.#have));
  }

  /** Sees to it that a body of so many bytes may be kept, taking `whole` of the budget; false while it has to wait for that. */
  #hold(bytes: number, whole: number): boolean {
    if (bytes <= BODY_FREE_BYTES || this.#held > 0) return true;
    this.#wish = whole;
    if (!this.#budget.take(whole, this.#granted)) return false;
    this.#held = whole;
    this.#wish = 0;
    return true;
  }

  #copy(bytes: number): number {
    this.#rest.copy(this.#body, this.#have, this.#at, this.#at + bytes);
    this.#have += bytes;
    this.#skipTo(this.#at + bytes);
    return bytes;
  }

  /** Makes room for a chunked body of so many bytes, twice the room at least, so that each byte is copied a few times at most. */
  #grow(bytes: number): void {
    if (bytes <= this.#body.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#bodyMaxBytes, Math.max(bytes, this.#body.length * 2)));
    this.#body.copy(grown, 0, 0, this.#have);
    this.#body = grown;
  }
}

function readHead(text: string): Head | 400 | 431 {
  const lineEnd = text.indexOf('\r\n');
  const line = REQUEST_LINE.exec(lineEnd < 0 ? text : text.slice(0, lineEnd));
  if (line === null) return 400;
  const head: Head = {
    method: line[1] ?? '',
    path: line[2] ?? '',
    query: line[3] ?? '',
    host: '',
    origin: '',
    contentType: '',
    keepAlive: line[4] === '1',
    body: NO_BYTES,
    held: 0,
    length: -1,
    chunked: false,
    expects: false,
  };
  let at = lineEnd < 0 ? text.length : lineEnd + 2;
  while (at < text.length) {
    let end = text.indexOf('\r\n', at);
    if (end < 0) end = text.length;
    const colon = text.indexOf(':', at);
    if (colon <= at || colon > end) return 400;
    const first = text.charCodeAt(at);
    if (first === 32 || first === 9) return 400;
    const fault = takeHeader(head, text, at, colon, end);
    if (fault !== undefined) return fault;
    at = end + 2;
  }
  if (head.chunked && head.length >= 0) return 400;
  if (head.length < 0) head.length = 0;
  return head;
}

function takeHeader(head: Head, text: string, at: number, colon: number, end: number): 400 | undefined {
  // Only names as long as one of the seven that matter are looked at.
  switch (colon - at) {
    case 4:
    case 6:
    case 10:
    case 12:
    case 14:
    case 17:
      break;
    default:
      return undefined;
  }
  const value = text.slice(colon + 1, end).trim();
  switch (text.slice(at, colon).toLowerCase()) {
    case 'host':
      head.host = value;
      break;
    case 'origin':
      head.origin = value;
      break;
    case 'expect':
      head.expects = value.toLowerCase() === '100-continue';
      break;
    case 'connection': {
      const wish = value.toLowerCase();
      if (wish.includes('close')) head.keepAlive = false;
      else if (wish.includes('keep-alive')) head.keepAlive = true;
      break;
    }
    case 'content-type':
      head.contentType = value;
      break;
    case 'content-length': {
      if (!/^\d{1,15}$/.test(value)) return 400;
      const length = Number(value);
      if (head.length >= 0 && head.length !== length) return 400;
      head.length = length;
      break;
    }
    case 'transfer-encoding':
      if (value.toLowerCase() !== 'chunked') return 400;
      head.chunked = true;
      break;
    default:
  }
  return undefined;
}
