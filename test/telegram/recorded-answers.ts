/** Answers as servers send them, and what they say. */
export interface RecordedAnswer {
  readonly name: string;
  readonly bytes: Buffer;
  readonly status: number;
  readonly text: string;
  readonly keepAlive: boolean;
  /** Whether it ends with the connection. */
  readonly untilClose?: true;
  readonly retryAfter?: string;
  readonly keepAliveSeconds?: number;
  /** Where undici refuses it, or waits for a body that cannot be. */
  readonly notByUndici?: true;
}

const lines = (...list: readonly string[]): string => list.map((line) => `${line}\r\n`).join('');
const SENT = '{"ok":true,"result":{"message_id":7,"text":"grüße 👋"}}';
const SENT_BYTES = Buffer.byteLength(SENT);
/** The body cut within characters. */
const PIECES = [Buffer.from(SENT).subarray(0, 46), Buffer.from(SENT).subarray(46, 51), Buffer.from(SENT).subarray(51)];

function chunked(head: string, ends: readonly string[], trailers: string): Buffer {
  const pieces = PIECES.flatMap((piece, i) => [
    Buffer.from(`${piece.length.toString(16)}${ends[i] ?? ''}\r\n`),
    piece,
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([Buffer.from(head), ...pieces, Buffer.from(`0\r\n${trailers}\r\n`)]);
}

const NGINX = [
  'HTTP/1.1 200 OK',
  'Server: nginx/1.18.0',
  'Date: Sat, 28 Nov 2026 10:00:00 GMT',
  'Content-Type: application/json',
];

export const ANSWERS: readonly RecordedAnswer[] = [
  {
    name: 'a length, as Telegram answers',
    bytes: Buffer.from(
      lines(
        ...NGINX,
        `Content-Length: ${SENT_BYTES}`,
        'Connection: keep-alive',
        'Strict-Transport-Security: max-age=31536000; includeSubDomains; preload',
        '',
      ) + SENT,
    ),
    status: 200,
    text: SENT,
    keepAlive: true,
  },
  {
    name: 'a 429 with Retry-After',
    bytes: Buffer.from(
      `${lines('HTTP/1.1 429 Too Many Requests', 'retry-after: 12', 'Retry-After: 13', 'content-length:2', '')}{}`,
    ),
    status: 429,
    text: '{}',
    keepAlive: true,
    retryAfter: '12',
  },
  {
    name: 'chunks',
    bytes: chunked(lines(...NGINX, 'Transfer-Encoding: chunked', ''), [], ''),
    status: 200,
    text: SENT,
    keepAlive: true,
  },
  {
    name: 'chunks with extensions and trailers',
    bytes: chunked(
      lines('HTTP/1.1 200 OK', 'TRANSFER-ENCODING: Chunked', 'Connection: Close', ''),
      [';a=b', ';c="d;e"', ''],
      lines('X-Sum: 1', 'Y: 2'),
    ),
    status: 200,
    text: SENT,
    keepAlive: false,
  },
  {
    name: 'until the close',
    bytes: Buffer.from(lines('HTTP/1.1 502 Bad Gateway', 'Content-Type: text/html', '') + SENT),
    status: 502,
    text: SENT,
    keepAlive: false,
    untilClose: true,
  },
  {
    name: 'HTTP/1.0 until the close, empty',
    bytes: Buffer.from(lines('HTTP/1.0 500 ', '')),
    status: 500,
    text: '',
    keepAlive: false,
    untilClose: true,
  },
  {
    name: 'HTTP/1.0 with a length',
    bytes: Buffer.from(`${lines('HTTP/1.0 200 OK', 'Content-Length: 2', '')}{}`),
    status: 200,
    text: '{}',
    keepAlive: false,
  },
  {
    name: 'HTTP/1.0 kept alive',
    bytes: Buffer.from(
      `${lines('HTTP/1.0 200 OK', 'Connection: upgrade, Keep-Alive', 'Keep-Alive: timeout=5, max=100', 'Content-Length: 2', '')}{}`,
    ),
    status: 200,
    text: '{}',
    keepAlive: true,
    keepAliveSeconds: 5,
  },
  {
    name: 'interim answers before',
    bytes: Buffer.from(
      `${lines('HTTP/1.1 102 Processing', '')}${lines('HTTP/1.1 103 Early Hints', 'Link: </a>', '')}${lines('HTTP/1.1 200', 'Content-Length: 4', '')}null`,
    ),
    status: 200,
    text: 'null',
    keepAlive: true,
  },
  {
    name: 'a continue that nobody asked for',
    bytes: Buffer.from(`${lines('HTTP/1.1 100 Continue', '')}${lines('HTTP/1.1 200', 'Content-Length: 4', '')}null`),
    status: 200,
    text: 'null',
    keepAlive: true,
    notByUndici: true,
  },
  {
    name: 'no body by its length',
    bytes: Buffer.from(lines('HTTP/1.1 403 Forbidden', 'Content-Length: 0', '')),
    status: 403,
    text: '',
    keepAlive: true,
  },
  {
    name: 'no body by its status',
    bytes: Buffer.from(lines('HTTP/1.1 204 No Content', '')),
    status: 204,
    text: '',
    keepAlive: true,
  },
  {
    name: 'not modified',
    notByUndici: true,
    bytes: Buffer.from(lines('HTTP/1.1 304 Not Modified', 'Content-Length: 10', '')),
    status: 304,
    text: '',
    keepAlive: true,
  },
];
