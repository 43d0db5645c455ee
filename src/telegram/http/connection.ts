import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type AnswerHead, AnswerParser } from './answer-parser.js';

const TCP_KEEP_ALIVE_MS = 60_000;
/** All connections read into the same bytes: whoever reads takes out what it needs before the next one reads. */
const READ = Buffer.allocUnsafeSlow(65_536);

/** Where connections go: the origin of an http or https URL. Certificates are checked against the system's roots and those of NODE_EXTRA_CA_CERTS. */
export class Origin {
  /** As the Host header names it. */
  readonly host: string;
  readonly #hostname: string;
  readonly #port: number;
  readonly #secure: boolean;
  /** The last TLS session, which spares the next connection half of its handshake. */
  #session: Buffer | undefined;

  constructor(url: URL) {
    this.host = url.host;
    this.#hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
    this.#secure = url.protocol === 'https:';
    this.#port = Number(url.port) || (this.#secure ? 443 : 80);
  }

  /** Begins to open a socket that reads by `onBytes`, which is given the bytes and how many of them count. `onOpen` is called when it may be written to. */
  open(onBytes: (bytes: Buffer, length: number) => void, onOpen: () => void): Socket {
    const options = {
      host: this.#hostname,
      port: this.#port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
      onread: {
        buffer: READ,
        callback(length: number): boolean {
          onBytes(READ, length);
          return true;
        },
      },
    };
    if (!this.#secure) return connectPlain(options, onOpen);
    let offered: Buffer | undefined;
    // On a session that is resumed nobody looks at the name again: only those of a server that has shown it are kept.
    const keep = (): void => {
      if (socket.authorized && offered !== undefined) this.#session = offered;
    };
    const socket: TLSSocket = connectTls(
      {
        ...options,
        ALPNProtocols: ['http/1.1'],
        ...(isIP(this.#hostname) === 0 ? { servername: this.#hostname } : {}),
        ...(this.#session === undefined ? {} : { session: this.#session }),
      },
      () => {
        keep();
        onOpen();
      },
    );
    socket.on('session', (session) => {
      offered = session;
      keep();
    });
    socket.on('error', () => {
      this.#session = undefined;
    });
    return socket;
  }
}

/** `busy`: from the writing of a request to the end of its answer. */
export type ConnectionState = 'connecting' | 'idle' | 'busy';

/** What a connection tells its owner. */
export interface ConnectionOwner {
  /** It was opened and may be used. */
  onOpen(connection: Connection): void;
  /** An answer is whole. The connection is `idle`, or `closed` when it cannot be used again. */
  onAnswer(connection: Connection, head: AnswerHead, text: string): void;
  /** It cannot be used any more, and `was` in this state; what was under way on it has no answer. `reason` is a code or a few words, without any address. */
  onLost(connection: Connection, was: ConnectionState, reason: string): void;
}

/** One connection, with one request at a time on it. Never throws. */
export class Connection {
  state: ConnectionState | 'closed' = 'connecting';
  /** When its owner has to look after it in this state, ms of the owner's clock. */
  due = Number.POSITIVE_INFINITY;
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #parser: AnswerParser;

  /** Begins to open it. Answers with more than `maxBytes` of body are refused. */
  constructor(origin: Origin, maxBytes: number, owner: ConnectionOwner) {
    this.#owner = owner;
    this.#parser = new AnswerParser(maxBytes);
    this.#socket = origin.open(
      (bytes, length) => this.#read(bytes, length),
      () => this.#opened(),
    );
    this.#socket.on('end', () => this.#ended());
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.lose(error.code ?? error.name));
    this.#socket.on('close', () => this.lose('connection closed'));
  }

  /** Whether a request may be written: not when the other side was seen to close it. */
  get usable(): boolean {
    return this.state === 'idle' && this.#socket.writable && this.#socket.readable;
  }

  /** Writes a request, in one piece; only while `usable`. `encoding` is latin1 when it is plain ASCII. */
  send(request: string, encoding: 'latin1' | 'utf8'): void {
    this.state = 'busy';
    this.#parser.reset();
    this.#socket.ref();
    this.#socket.write(request, encoding);
  }

  /** Cuts it: nothing more is written. The owner is not told. */
  cut(): void {
    this.state = 'closed';
    this.#socket.destroy();
  }

  /** Cuts it, and tells the owner why; nothing when it is closed. */
  lose(reason: string): void {
    const was = this.state;
    if (was === 'closed') return;
    this.cut();
    this.#owner.onLost(this, was, reason);
  }

  /** Resolves when its socket is closed. */
  closed(): Promise<void> {
    const socket = this.#socket;
    return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', () => resolve()));
  }

  #opened(): void {
    if (this.state !== 'connecting') return;
    this.#rest();
    this.#owner.onOpen(this);
  }

  /** An idle connection keeps no process alive. */
  #rest(): void {
    this.state = 'idle';
    this.#socket.unref();
  }

  #read(bytes: Buffer, length: number): void {
    if (this.state !== 'busy') {
      // Nothing was asked: a server says why it closes, or it is none that can be trusted.
      this.lose('unexpected answer');
      return;
    }
    const parser = this.#parser;
    const taken = parser.feed(bytes, length);
    if (parser.state !== 'more') this.#answered(taken < length);
  }

  #ended(): void {
    if (this.state !== 'busy') {
      this.lose('connection closed');
      return;
    }
    const began = this.#parser.head !== undefined;
    this.#parser.close();
    if (this.#parser.state === 'done') this.#answered(true);
    else this.lose(began ? 'answer broken off' : 'connection closed');
  }

  /** The parser has come to an end; with `spent` the connection has, too. */
  #answered(spent: boolean): void {
    const parser = this.#parser;
    const { head, state } = parser;
    if (state !== 'done' || head === undefined) {
      this.lose(state === 'too-large' ? 'answer too large' : 'malformed answer');
      return;
    }
    const text = parser.text();
    if (spent || !head.keepAlive) this.cut();
    else this.#rest();
    this.#owner.onAnswer(this, head, text);
  }
}
