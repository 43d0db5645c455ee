import { createServer, type Server, type Socket } from 'node:net';
import { AnswerStream } from './answer-stream.js';
import { HttpReader, type HttpRequest } from './reader.js';

/** Largest request body taken, in bytes: a list of a million blocked people fits. */
const BODY_MAX_BYTES = 16 * 1024 * 1024;
const PIPELINE_MAX = 256;
const PIPELINE_RESUME = 64;

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Request Entity Too Large',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
};

/** One request and the place of its answer: exactly one of `answer`, `cut` and `stream` counts, the first; on a closed connection both do nothing. Never throws. */
export interface Exchange {
  readonly request: HttpRequest;
  /** Queues the answer; it leaves after the turn's `beforeAnswers`, in the order of the requests. `headers` are whole lines, each ending in CRLF. */
  answer(status: number, body: string, contentType?: string, headers?: string): void;
  /** Ends the connection in place of an answer; what was answered before still leaves. */
  cut(): void;
  /** Begins an answer without an end, with status 200, behind the answers before it; from within `onExchange` only. Nothing more is read from the connection. Undefined when another answer was given. */
  stream(contentType: string, headers?: string): AnswerStream | undefined;
  /** Called once when the connection closes before the answer has left. */
  onClosed: (() => void) | undefined;
  /** Notes that this connection speaks the Bot API. */
  readonly connection: { botApiAt: number };
}

/** A listener on 127.0.0.1. */
export interface HttpListener {
  readonly port: number;
  /** Has the turn's end run soon, when something is to be made durable with no answer to wait for. */
  schedule(): void;
  /** Open connections that have an unanswered Bot API request or had one since `since` (ms of the owner's clock). */
  botApiConnections(since: number): number;
  close(): Promise<void>;
}

/** Who uses a listener. `beforeAnswers` makes the turn durable; when it returns false, the turn's answers are replaced by cut connections. */
export interface HttpOwner {
  onExchange(exchange: Exchange): void;
  beforeAnswers(): boolean;
  /** The body of the answer to a request that could not be read. */
  faultBody(status: number, reason: string): string;
}

interface Place extends Exchange {
  bytes: string;
  /** Whether `bytes` are plain ASCII, which leaves without a conversion. */
  ascii: boolean;
  ended: 'open' | 'answered' | 'cut' | 'streaming';
  /** What follows the head of an answer without end. */
  follows: AnswerStream | undefined;
}

interface Connection {
  readonly socket: Socket;
  readonly places: Place[];
  botApiAt: number;
  paused: boolean;
  /** Whether an answer without end was begun: what comes after it is not read. */
  streaming: boolean;
}

/**
 * Listens on 127.0.0.1 for HTTP/1.1, read by hand, with all answers of one turn of the event loop sent after one call of `beforeAnswers`.
 * Rejects with the error of node:net (`EADDRINUSE`, …) when the port cannot be had; port 0 is any free one.
 */
export async function listenHttp(port: number, owner: HttpOwner): Promise<HttpListener> {
  const connections = new Set<Connection>();
  const ready = new Set<Connection>();
  let scheduled = false;
  let closed = false;

  const turn = (): void => {
    if (!scheduled) return;
    scheduled = false;
    const durable = owner.beforeAnswers();
    for (const connection of ready)
      if (durable) sendReady(connection);
      else connection.socket.destroy();
    ready.clear();
  };
  const schedule = (): void => {
    if (scheduled || closed) return;
    scheduled = true;
    setImmediate(turn);
  };

  const server: Server = createServer({ noDelay: true }, (socket) => {
    const connection: Connection = {
      socket,
      places: [],
      botApiAt: Number.NEGATIVE_INFINITY,
      paused: false,
      streaming: false,
    };
    connections.add(connection);
    const open = (request: HttpRequest): Place => {
      const place = createPlace(connection, request, () => {
        ready.add(connection);
        schedule();
      });
      connection.places.push(place);
      if (connection.places.length > PIPELINE_MAX && !connection.paused) {
        connection.paused = true;
        socket.pause();
      }
      return place;
    };
    const reader = new HttpReader(
      {
        onRequest: (request) => {
          if (!connection.streaming) owner.onExchange(open(request));
        },
        onContinue: () => socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1'),
        onFault: (status) => {
          if (connection.streaming) return;
          open({ ...UNREADABLE }).answer(status, owner.faultBody(status, REASONS[status] ?? 'Bad Request'));
        },
      },
      BODY_MAX_BYTES,
    );
    socket.on('data', (bytes) => {
      if (!connection.streaming) reader.feed(bytes);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      connections.delete(connection);
      ready.delete(connection);
      for (const place of connection.places.splice(0)) {
        place.ended = 'cut';
        place.onClosed?.();
      }
    });
  });

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true, backlog: 1024 }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    schedule,
    botApiConnections(since) {
      let count = 0;
      for (const { botApiAt, places } of connections) {
        if (botApiAt >= since || (places.length > 0 && botApiAt > Number.NEGATIVE_INFINITY)) count += 1;
      }
      return count;
    },
    async close() {
      const ended = new Promise<void>((resolve) => server.close(() => resolve()));
      if (scheduled) turn();
      closed = true;
      for (const { socket } of connections) socket.destroy();
      await ended;
    },
  };
}

const UNREADABLE: HttpRequest = {
  method: 'GET',
  path: '',
  query: '',
  host: '',
  origin: '',
  contentType: '',
  keepAlive: false,
  body: Buffer.alloc(0),
};

function createPlace(connection: Connection, request: HttpRequest, onReady: () => void): Place {
  return {
    request,
    connection,
    onClosed: undefined,
    bytes: '',
    ascii: true,
    ended: 'open',
    follows: undefined,
    answer(status, body, contentType = 'application/json', headers = '') {
      if (this.ended !== 'open') return;
      this.ended = 'answered';
      const length = Buffer.byteLength(body);
      this.ascii = length === body.length;
      this.bytes =
        `HTTP/1.1 ${status} ${REASONS[status] ?? 'Unknown'}\r\nContent-Type: ${contentType}\r\nContent-Length: ${length}\r\n` +
        `Connection: ${request.keepAlive ? 'keep-alive' : 'close'}\r\n${headers}\r\n${request.method === 'HEAD' ? '' : body}`;
      onReady();
    },
    cut() {
      if (this.ended !== 'open') return;
      this.ended = 'cut';
      onReady();
    },
    stream(contentType, headers = '') {
      if (this.ended !== 'open') return undefined;
      this.ended = 'streaming';
      this.bytes = `HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\nConnection: close\r\n${headers}\r\n`;
      this.follows = new AnswerStream(connection.socket);
      connection.streaming = true;
      onReady();
      return this.follows;
    },
  };
}

function sendReady(connection: Connection): void {
  const { places, socket } = connection;
  let bytes = '';
  let ascii = true;
  let sent = 0;
  let end = false;
  let follows: AnswerStream | undefined;
  for (const place of places) {
    if (place.ended === 'open') break;
    sent += 1;
    if (place.ended === 'cut') {
      end = true;
      break;
    }
    bytes += place.bytes;
    ascii &&= place.ascii;
    follows = place.follows;
    if (follows !== undefined) break;
    if (!place.request.keepAlive) {
      end = true;
      break;
    }
  }
  if (sent === 0) return;
  const cut = places[sent - 1]?.ended === 'cut';
  places.splice(0, sent);
  const encoding = ascii ? 'latin1' : 'utf8';
  if (!end) {
    socket.write(bytes, encoding);
    follows?.begin();
    if (connection.paused && places.length < PIPELINE_RESUME) {
      connection.paused = false;
      socket.resume();
    }
  } else if (cut) {
    if (bytes === '') socket.destroy();
    else socket.write(bytes, encoding, () => socket.destroy());
  } else {
    socket.end(bytes, encoding, () => socket.destroySoon());
  }
}
