/**
 * Connections to one origin, and the requests that wait for one. A request goes to the connection that rested last, so that those which are used stay warm; without one it waits
 * in line and another connection is opened, up to the most. Each request is written once: whether it may be repeated is not for a pool to know.
 * One timer looks after all: it is set to the earliest of all ends that requests, openings and rests have, and moved only to the front, so that a request which is answered costs no timer.
 */
import type { AnswerHead } from './answer-parser.js';
import { Connection, type ConnectionOwner, type ConnectionState, Origin } from './connection.js';

/** How long a connection may take to open, ms, with its TLS. */
const OPENING_MS = 10_000;
/** A server that says for how long it keeps idle connections is left so much earlier, ms: a request must not cross its farewell. */
const FAREWELL_MS = 2_000;
const LONGEST_TIMER_MS = 2_147_483_647;

/** A request and who is told of its end, by exactly one call of `onAnswer` or `onFailure`. Neither may throw. */
export interface Exchange {
  /** All of its bytes. */
  readonly request: string;
  /** `latin1` when they are plain ASCII. */
  readonly encoding: 'latin1' | 'utf8';
  /** When it is given up, ms of performance.now(). */
  readonly deadline: number;
  onAnswer(head: AnswerHead, text: string): void;
  /** `begun`: bytes of it may have been written. `reason` is a code of node or a few words, without any address. */
  onFailure(reason: string, begun: boolean): void;
}

/** How a pool is sized. */
export interface PoolOptions {
  /** Most connections at once. */
  readonly connections: number;
  /** Most bytes of an answer's body. */
  readonly answerBytes: number;
  /** An idle connection is closed after so long, ms. */
  readonly idleMs: number;
}

/** See the top of the file. Never throws. */
export class ConnectionPool implements ConnectionOwner {
  readonly #origin: Origin;
  readonly #options: PoolOptions;
  /** All connections that are not closed, with what they carry. */
  readonly #open = new Map<Connection, Exchange | undefined>();
  /** Those that rest, the last used at the end. */
  readonly #idle: Connection[] = [];
  /** In the order of their coming. */
  readonly #waiting = new Set<Exchange>();
  #opening = 0;
  /** Told when nothing is being opened any more. */
  #openingOver: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #timerDue = Number.POSITIVE_INFINITY;

  constructor(url: URL, options: PoolOptions) {
    this.#origin = new Origin(url);
    this.#options = options;
  }

  /** The value of the Host header. */
  get host(): string {
    return this.#origin.host;
  }

  /** Writes a request as soon as there is a connection. */
  send(exchange: Exchange): void {
    const connection = this.#rested();
    if (connection !== undefined) {
      this.#carry(connection, exchange);
      return;
    }
    this.#waiting.add(exchange);
    this.#look(exchange.deadline);
    this.#openForWaiting();
  }

  /** Gives a request up, with its connection when it was written; nothing when it has ended. */
  cancel(exchange: Exchange, reason: string): void {
    if (this.#waiting.delete(exchange)) {
      exchange.onFailure(reason, false);
      return;
    }
    for (const [connection, carried] of this.#open) {
      if (carried !== exchange) continue;
      connection.lose(reason);
      return;
    }
  }

  /** Opens connections until there are `count`, or as many as there may be. Resolves when none is being opened any more, however that ended. */
  warm(count: number): Promise<void> {
    while (this.#open.size < Math.min(count, this.#options.connections)) this.#openOne();
    return this.#opening === 0 ? Promise.resolve() : new Promise((resolve) => this.#openingOver.push(resolve));
  }

  /** Cuts every connection and gives every request up. Resolves when all sockets are closed; the pool may be used again. */
  async destroy(reason: string): Promise<void> {
    const waiting = [...this.#waiting];
    const open = [...this.#open];
    this.#waiting.clear();
    this.#open.clear();
    this.#idle.length = 0;
    this.#opening = 0;
    this.#told();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerDue = Number.POSITIVE_INFINITY;
    for (const [connection] of open) connection.cut();
    for (const [, exchange] of open) exchange?.onFailure(reason, true);
    for (const exchange of waiting) exchange.onFailure(reason, false);
    await Promise.all(open.map(([connection]) => connection.closed()));
  }

  onOpen(connection: Connection): void {
    this.#opening -= 1;
    this.#serve(connection, undefined);
    this.#told();
  }

  onAnswer(connection: Connection, head: AnswerHead, text: string): void {
    const exchange = this.#unload(connection);
    if (connection.state === 'closed') {
      this.#open.delete(connection);
      this.#openForWaiting();
    } else this.#serve(connection, head.keepAliveSeconds);
    exchange?.onAnswer(head, text);
  }

  onLost(connection: Connection, was: ConnectionState, reason: string): void {
    const exchange = this.#unload(connection);
    const rested = this.#idle.indexOf(connection);
    if (rested >= 0) this.#idle.splice(rested, 1);
    this.#open.delete(connection);
    if (exchange !== undefined) exchange.onFailure(reason, true);
    else if (was === 'connecting') {
      this.#opening -= 1;
      // It was opened for one of those that wait: the first, unless others that are being opened will do for all.
      const [first] = this.#waiting;
      if (first !== undefined && this.#waiting.size > this.#opening) {
        this.#waiting.delete(first);
        first.onFailure(reason, false);
      }
      this.#told();
    }
    this.#openForWaiting();
  }

  /** The connection that rested last, no longer among the idle; those that have ended meanwhile are dropped. */
  #rested(): Connection | undefined {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.usable && connection.due > performance.now()) return connection;
      this.#drop(connection);
    }
    return undefined;
  }

  #drop(connection: Connection): void {
    connection.cut();
    this.#open.delete(connection);
  }

  #carry(connection: Connection, exchange: Exchange): void {
    connection.due = exchange.deadline;
    this.#open.set(connection, exchange);
    this.#look(exchange.deadline);
    connection.send(exchange.request, exchange.encoding);
  }

  /** Takes from a connection what it carries. */
  #unload(connection: Connection): Exchange | undefined {
    const exchange = this.#open.get(connection);
    if (exchange === undefined) return undefined;
    this.#open.set(connection, undefined);
    return exchange;
  }

  /** A connection is free: for the first that waits, or to rest. */
  #serve(connection: Connection, keepAliveSeconds: number | undefined): void {
    const kept = keepAliveSeconds === undefined ? Number.POSITIVE_INFINITY : keepAliveSeconds * 1_000 - FAREWELL_MS;
    const restMs = Math.min(this.#options.idleMs, kept);
    if (restMs <= 0 || !connection.usable) {
      this.#drop(connection);
      this.#openForWaiting();
      return;
    }
    const [first] = this.#waiting;
    if (first !== undefined) {
      this.#waiting.delete(first);
      this.#carry(connection, first);
      return;
    }
    connection.due = performance.now() + restMs;
    this.#look(connection.due);
    this.#idle.push(connection);
  }

  #openForWaiting(): void {
    while (this.#opening < this.#waiting.size && this.#open.size < this.#options.connections) this.#openOne();
  }

  #openOne(): void {
    this.#opening += 1;
    const connection = new Connection(this.#origin, this.#options.answerBytes, this);
    connection.due = performance.now() + OPENING_MS;
    this.#open.set(connection, undefined);
    this.#look(connection.due);
  }

  #told(): void {
    if (this.#opening > 0) return;
    for (const tell of this.#openingOver.splice(0)) tell();
  }

  /** Has the timer look at `due` or before. */
  #look(due: number): void {
    if (due >= this.#timerDue) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    const ms = Math.min(Math.max(Math.ceil(due - performance.now()), 1), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => this.#sweep(), ms);
    // What is under way holds the process by its sockets.
    this.#timer.unref();
  }

  /** Ends all whose time is over, and sets the timer to the next. */
  #sweep(): void {
    this.#timerDue = Number.POSITIVE_INFINITY;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const connection of [...this.#open.keys()]) {
      if (connection.due > now) next = Math.min(next, connection.due);
      else connection.lose(connection.state === 'connecting' ? 'connect timeout' : 'timeout');
    }
    for (const exchange of [...this.#waiting]) {
      if (exchange.deadline > now) next = Math.min(next, exchange.deadline);
      else this.cancel(exchange, 'timeout');
    }
    this.#look(next);
  }
}
