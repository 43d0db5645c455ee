const HEAD_MAX_BYTES = 16 * 1024;
const CHUNK_LINE_MAX_BYTES = 1024;
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
}

/** What a reader tells its connection. After `onFault`, or a request without keep-alive, it reads nothing more. */
export interface HttpReaderEvents {
  onRequest(request: HttpRequest): void;
  onContinue(): void;
  onFault(status: 400 | 413 | 431 | 501): void;
}

interface Head {
  method: string;
  path: string;
  query: string;
  host: string;
  origin: string;
  contentType: string;
  keepAlive: boolean;
  length: number;
  chunked: boolean;
  expects: boolean;
}

/**
 * Takes requests out of the bytes of one connection, however they are cut or joined (keep-alive, pipelining, Content-Length, chunked).
 * RFC 9112, less what no Bot API client sends: folded headers and bodies of both kinds at once are faults. Never throws.
 */
export class HttpReader {
  readonly #events: HttpReaderEvents;
  readonly #bodyMaxBytes: number;
  #rest: Buffer = NO_BYTES;
  #head: Head | undefined;
  #parts: Buffer[] = [];
  #have = 0;
  #dead: boolean;

  constructor(events: HttpReaderEvents, bodyMaxBytes: number) {
    this.#events = events;
    this.#bodyMaxBytes = bodyMaxBytes;
    this.#dead = false;
  }

  /** Takes the next bytes; calls the events from within. */
  feed(bytes: Buffer): void {
    if (this.#dead) return;
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (!this.#dead && this.#step());
  }

  #fault(status: 400 | 413 | 431 | 501): false {
    this.#dead = true;
    this.#rest = NO_BYTES;
    this.#parts = [];
    this.#events.onFault(status);
    return false;
  }

  #step(): boolean {
    if (this.#head === undefined) return this.#readHead();
    return this.#head.chunked ? this.#readChunk(this.#head) : this.#readLength(this.#head);
  }

  #finish(head: Head, body: Buffer): true {
    this.#head = undefined;
    this.#parts = [];
    this.#have = 0;
    // What follows on a connection that is to be closed is not read.
    if (!head.keepAlive) this.#dead = true;
    this.#events.onRequest({
      method: head.method,
      path: head.path,
      query: head.query,
      host: head.host,
      origin: head.origin,
      contentType: head.contentType,
      keepAlive: head.keepAlive,
      body,
    });
    return true;
  }

  #readHead(): boolean {
    let rest = this.#rest;
    while (rest.length >= 2 && rest[0] === 13 && rest[1] === 10) rest = rest.subarray(2);
    this.#rest = rest;
    const first = rest[0];
    if (first === undefined) return false;
    if ((first < 65 || first > 90) && first !== 13) return this.#fault(400);
    const end = rest.indexOf(HEAD_END);
    if (end < 0) return rest.length > HEAD_MAX_BYTES ? this.#fault(431) : false;
    if (end > HEAD_MAX_BYTES) return this.#fault(431);
    const head = readHead(rest.toString('latin1', 0, end));
    if (typeof head === 'number') return this.#fault(head);
    if (head.length > this.#bodyMaxBytes) return this.#fault(413);
    this.#rest = rest.length === end + 4 ? NO_BYTES : rest.subarray(end + 4);
    if (!head.chunked && head.length === 0) return this.#finish(head, NO_BYTES);
    if (head.expects && this.#rest.length === 0) this.#events.onContinue();
    this.#head = head;
    return true;
  }

  #readLength(head: Head): boolean {
    const rest = this.#rest;
    const missing = head.length - this.#have;
    if (rest.length < missing) {
      // Parts are kept apart until the last one: joining at each arrival would copy a large body many times.
      if (rest.length > 0) {
        this.#parts.push(rest);
        this.#have += rest.length;
        this.#rest = NO_BYTES;
      }
      return false;
    }
    const last = rest.length === missing ? rest : rest.subarray(0, missing);
    this.#rest = rest.length === missing ? NO_BYTES : rest.subarray(missing);
    return this.#finish(head, this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last]));
  }

  #readChunk(head: Head): boolean {
    const rest = this.#rest;
    const lineEnd = rest.indexOf(LINE_END);
    if (lineEnd < 0) return rest.length > CHUNK_LINE_MAX_BYTES ? this.#fault(400) : false;
    const size = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?$/.exec(rest.toString('latin1', 0, lineEnd))?.[1];
    if (size === undefined) return this.#fault(400);
    const bytes = Number.parseInt(size, 16);
    const from = lineEnd + 2;
    if (bytes === 0) return this.#readTrailers(head, from);
    if (this.#have + bytes > this.#bodyMaxBytes) return this.#fault(413);
    if (rest.length < from + bytes + 2) return false;
    if (rest[from + bytes] !== 13 || rest[from + bytes + 1] !== 10) return this.#fault(400);
    this.#parts.push(rest.subarray(from, from + bytes));
    this.#have += bytes;
    this.#rest = rest.subarray(from + bytes + 2);
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
    this.#rest = rest.subarray(at + 2);
    return this.#finish(head, Buffer.concat(this.#parts));
  }
}

function readHead(text: string): Head | 400 | 431 | 501 {
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

function takeHeader(head: Head, text: string, at: number, colon: number, end: number): 400 | 501 | undefined {
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
