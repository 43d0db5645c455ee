import { createServer, type Server, type Socket } from 'node:net';
import { AnswerStream } from './answer-stream.js';
import { BodyBudget } from './body-budget.js';
import type { FileAnswer } from './file-answer.js';
import { HttpReader, type HttpRequest } from './reader.js';

/** Largest request body taken, in bytes: the largest file that a bot may upload, and what comes with it. */
const BODY_MAX_BYTES = 51 * 1024 * 1024;
/** What the bodies of all requests that are under way may hold together; further ones wait on their connections. */
const BODIES_MAX_BYTES = 256 * 1024 * 1024;
/** A connection whose body holds some of that and does not come on for so long is ended. */
const BODY_STALL_MS = 60_000;
/** A client that still sends a request which was refused may go on, so that it reads why: while it rests no longer than this, and for so many bytes. */
const LINGER_REST_MS = 15_000;
const LINGER_MAX_BYTES = 256 * 1024 * 1024;
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

/** Where the answer to a call goes. Never throws. */
export interface AnswerPlace {
  /** Queues the answer; it leaves after the turn's `beforeAnswers`, in the order of the requests. `headers` are whole lines, each ending in CRLF. */
  answer(status: number, body: string, contentType?: string, headers?: string): void;
  /** Ends the connection in place of an answer; what was answered before still leaves. */
  cut(): void;
  /** Called once when the connection closes before the answer has left. */
  onClosed: (() => void) | undefined;
}

/** One request and the place of its answer: exactly one of `answer`, `answerFile`, `cut` and `stream` counts, the first; on a closed connection all do nothing. Never throws. */
export interface Exchange extends AnswerPlace {
  readonly request: HttpRequest;
  /** As `answer` with the bytes of a file, status 200; the file is closed in any case. */
  answerFile(file: FileAnswer, contentType: string, headers?: string): void;
  /** Begins an answer without an end, with status 200, behind the answers before it; from within `onExchange` only. Nothing more is read from the connection. Undefined when another answer was given. */
  stream(contentType: string, headers?: string): AnswerStream | undefined;
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

interface Connection {
  readonly socket: Socket;
  readonly reader: HttpReader;
  readonly places: Place[];
  botApiAt: number;
  paused: boolean;
  /** Whether a body that holds memory is watched for coming on. */
  watched: boolean;
  /** Whether a file is being sent: what comes after it has to wait. */
  sending: boolean;
  /** Bytes that may still come of a request that was refused and answered; undefined before that. */
  lingersFor: number | undefined;
  /** Tells that an answer is there. */
  readonly onReady: () => void;
}

/**
 * Listens on 127.0.0.1 for HTTP/1.1, read by hand, with all answers of one turn of the event loop sent after one call of `beforeAnswers`.
 * Rejects with the error of node:net (`EADDRINUSE`, …) when the port cannot be had; port 0 is any free one.
 */
export async function listenHttp(port: number, owner: HttpOwner): Promise<HttpListener> {
  const connections = new Set<Connection>();
  const budget = new BodyBudget(BODIES_MAX_BYTES);
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
    const read = (bytes: Buffer): void => {
      if (connection.lingersFor !== undefined) {
        connection.lingersFor -= bytes.length;
        if (connection.lingersFor < 0) socket.destroy();
        return;
      }
      reader.feed(bytes);
      if (reader.waits) socket.pause();
      if (reader.holds === connection.watched) return;
      connection.watched = reader.holds;
      socket.setTimeout(connection.watched ? BODY_STALL_MS : 0);
    };
    const reader = new HttpReader(
      {
        onRequest: (request) => owner.onExchange(open(request)),
        onContinue: () => socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1'),
        onFault: (status) => {
          const place = open({ ...UNREADABLE });
          place.lingers = true;
          place.answer(status, owner.faultBody(status, REASONS[status] ?? 'Bad Request'));
        },
        // Not from within: bytes are given back while answers leave, and what is read then must not be among them.
        onGranted: () =>
          setImmediate(() => {
            if (!connection.paused) socket.resume();
            read(NO_BYTES);
          }),
      },
      BODY_MAX_BYTES,
      budget,
    );
    const connection: Connection = {
      socket,
      reader,
      places: [],
      botApiAt: Number.NEGATIVE_INFINITY,
      paused: false,
      watched: false,
      sending: false,
      lingersFor: undefined,
      onReady() {
        ready.add(connection);
        schedule();
      },
    };
    connections.add(connection);
    const open = (request: HttpRequest): Place => {
      const place = new Place(connection, request);
      connection.places.push(place);
      if (connection.places.length > PIPELINE_MAX && !connection.paused) {
        connection.paused = true;
        socket.pause();
      }
      return place;
    };
    socket.on('data', read);
    socket.on('timeout', () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      connections.delete(connection);
      ready.delete(connection);
      reader.end();
      for (const place of connection.places.splice(0)) {
        place.ended = 'cut';
        place.onClosed?.();
        leave(place);
      }
    });
  });

  /** Gives back what a place held, once its answer has left or cannot leave any more. */
  const leave = ({ request, file }: Place): void => {
    file?.drop();
    if (request.held > 0) budget.give(request.held);
  };
  const sendReady = (connection: Connection): void => {
    const { places, socket } = connection;
    if (connection.sending) return;
    const due = places.splice(0, countDue(places));
    const last = due.at(-1);
    if (last === undefined) return;
    const { file } = last;
    last.file = undefined;
    for (const place of due) leave(place);
    let bytes = '';
    let ascii = true;
    for (const place of due) {
      bytes += place.bytes;
      ascii &&= place.ascii;
    }
    const encoding = ascii ? 'latin1' : 'utf8';
    if (file !== undefined) {
      socket.write(bytes, encoding);
      connection.sending = true;
      file.send(socket, () => {
        connection.sending = false;
        if (!last.request.keepAlive) socket.end(() => socket.destroySoon());
        else {
          goOnReading(connection);
          // Not at once: what was answered in this turn is not durable yet.
          ready.add(connection);
          schedule();
        }
      });
    } else if (last.follows !== undefined) {
      socket.write(bytes, encoding);
      last.follows.begin();
    } else if (last.ended === 'cut') {
      if (bytes === '') socket.destroy();
      else socket.write(bytes, encoding, () => socket.destroy());
    } else if (last.request.keepAlive) {
      socket.write(bytes, encoding);
      goOnReading(connection);
    } else if (last.lingers) {
      // Ended at once, the connection would be reset under a client that still sends, and the answer be lost.
      socket.end(bytes, encoding);
      connection.lingersFor = LINGER_MAX_BYTES;
      socket.setTimeout(LINGER_REST_MS);
    } else {
      socket.end(bytes, encoding, () => socket.destroySoon());
    }
  };

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
  held: 0,
};
const NO_BYTES = Buffer.alloc(0);

/** The place of one answer among those of its connection. A class, since one is made for each request: its methods are made once. */
class Place implements Exchange {
  readonly request: HttpRequest;
  readonly connection: Connection;
  onClosed: (() => void) | undefined;
  /** The answer, or its head when something follows. */
  bytes = '';
  /** Whether `bytes` are plain ASCII, which leaves without a conversion. */
  ascii = true;
  ended: 'open' | 'answered' | 'cut' | 'streaming' = 'open';
  /** What follows the head of an answer without end. */
  follows: AnswerStream | undefined;
  /** What follows the head of an answer with a file. */
  file: FileAnswer | undefined;
  /** Whether the client may still be sending a request that was refused. */
  lingers = false;

  constructor(connection: Connection, request: HttpRequest) {
    this.connection = connection;
    this.request = request;
  }

  answer(status: number, body: string, contentType = 'application/json', headers = ''): void {
    if (this.ended !== 'open') return;
    const length = Buffer.byteLength(body);
    this.ascii = length === body.length;
    this.bytes = this.#head(status, contentType, `Content-Length: ${length}\r\n`, headers);
    if (this.request.method !== 'HEAD') this.bytes += body;
    this.#end('answered');
  }

  answerFile(file: FileAnswer, contentType: string, headers = ''): void {
    if (this.ended !== 'open') {
      file.drop();
      return;
    }
    this.file = file;
    this.bytes = this.#head(200, contentType, `Content-Length: ${file.size}\r\n`, headers);
    this.#end('answered');
  }

  cut(): void {
    if (this.ended === 'open') this.#end('cut');
  }

  stream(contentType: string, headers = ''): AnswerStream | undefined {
    if (this.ended !== 'open') return undefined;
    this.bytes = `HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\nConnection: close\r\n${headers}\r\n`;
    this.follows = new AnswerStream(this.connection.socket);
    // Nothing more is taken from this connection.
    this.connection.reader.end();
    this.#end('streaming');
    return this.follows;
  }

  #head(status: number, contentType: string, length: string, headers: string): string {
    const connection = this.request.keepAlive ? 'keep-alive' : 'close';
    return `HTTP/1.1 ${status} ${REASONS[status] ?? 'Unknown'}\r\nContent-Type: ${contentType}\r\n${length}Connection: ${connection}\r\n${headers}\r\n`;
  }

  #end(ended: 'answered' | 'cut' | 'streaming'): void {
    this.ended = ended;
    this.connection.onReady();
  }
}

/** How many of the first answers may leave now: up to the first that is still open, and with the first that more than text follows or that ends the connection. */
function countDue(places: readonly Place[]): number {
  let count = 0;
  for (const place of places) {
    if (place.ended === 'open') break;
    count += 1;
    if (place.ended !== 'answered' || place.file !== undefined || !place.request.keepAlive) break;
  }
  return count;
}

function goOnReading(connection: Connection): void {
  if (!connection.paused || connection.places.length >= PIPELINE_RESUME) return;
  connection.paused = false;
  if (!connection.reader.waits) connection.socket.resume();
}
