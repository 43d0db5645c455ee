import type { Answer } from '../delivery/outcome.js';
import type { AnswerHead } from './http/answer-parser.js';
import { ConnectionPool, type Exchange } from './http/pool.js';

/** Options of one call. `timeoutMs` bounds it from the call to the end of the answer (default 30,000). */
export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The Bot API of one bot over HTTP. The token stays inside: no error and no log line names it. */
export interface TelegramClient {
  /** One method call. Resolves with the answer or the failure, never rejects but for `signal` (AbortError). */
  call(method: string, payload: object, options?: CallOptions): Promise<Answer>;
  /** Opens connections ahead until there are `count`, so that the time of a send is not the time of a handshake. Calls nothing; never rejects. */
  warm(count: number): Promise<void>;
  /** Cuts every connection at once: nothing more is written, answers under way are lost. */
  destroy(): Promise<void>;
}

/** An idle connection is closed after this long, ms: Bot API servers close theirs later, so no call meets a closed one. */
const IDLE_MS = 10_000;
const TIMEOUT_MS = 30_000;
const ANSWER_BYTES = 20 * 1_048_576;

/** Makes a client for `token` at `apiRoot` (an http or https URL) with at most `connections` connections; an idle one is closed after `idleMs` (default 10,000). */
export function telegramClient(
  apiRoot: string,
  token: string,
  connections: number,
  idleMs: number = IDLE_MS,
): TelegramClient {
  const root = new URL(apiRoot);
  const prefix = `${root.pathname.replace(/\/$/, '')}/bot${encoded(token)}/`;
  const pool = new ConnectionPool(root, { connections, answerBytes: ANSWER_BYTES, idleMs });
  /** What stands before the length of the body, by method: there are few. */
  const heads = new Map<string, string>();
  const headOf = (method: string): string => {
    const known = heads.get(method);
    if (known !== undefined) return known;
    const head = `POST ${prefix}${encoded(method)} HTTP/1.1\r\nHost: ${pool.host}\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: `;
    heads.set(method, head);
    return head;
  };
  return {
    call(method, payload, { timeoutMs = TIMEOUT_MS, signal }: CallOptions = {}) {
      const body = JSON.stringify(payload);
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) {
          reject(aborted());
          return;
        }
        const call = new Call(headOf(method), body, performance.now() + timeoutMs, resolve);
        if (signal !== undefined) call.heed(signal, pool, reject);
        pool.send(call);
      });
    },
    warm: (count) => pool.warm(count),
    destroy: () => pool.destroy('connections destroyed'),
  };
}

/** One call on its way. A class, since one is made for each message: its methods are made once. */
class Call implements Exchange {
  readonly request: string;
  readonly encoding: 'latin1' | 'utf8';
  readonly deadline: number;
  readonly #resolve: (answer: Answer) => void;
  #unheed: (() => void) | undefined;

  constructor(head: string, body: string, deadline: number, resolve: (answer: Answer) => void) {
    const length = Buffer.byteLength(body);
    this.request = `${head}${length}\r\n\r\n${body}`;
    this.encoding = length === body.length ? 'latin1' : 'utf8';
    this.deadline = deadline;
    this.#resolve = resolve;
  }

  /** Has `signal` end the call by an AbortError. */
  heed(signal: AbortSignal, pool: ConnectionPool, reject: (error: Error) => void): void {
    const onAbort = () => {
      reject(aborted());
      pool.cancel(this, 'aborted');
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#unheed = () => signal.removeEventListener('abort', onAbort);
  }

  onAnswer({ status, retryAfter }: AnswerHead, text: string): void {
    this.#unheed?.();
    const body = parse(text);
    this.#resolve(
      retryAfter === undefined || !/^\d+$/.test(retryAfter)
        ? { kind: 'answer', status, body }
        : { kind: 'answer', status, body, retryAfterHeader: Number(retryAfter) },
    );
  }

  onFailure(reason: string, begun: boolean): void {
    this.#unheed?.();
    this.#resolve({ kind: 'failure', beforeFirstByte: !begun, reason });
  }
}

const aborted = (): Error => new DOMException('aborted', 'AbortError') as unknown as Error;

/** A piece of the path of a request: what no URL may hold is escaped, so that it can say nothing but a path. */
const encoded = (piece: string): string =>
  piece.replace(/[^!-~]+/g, (run) => Buffer.from(run).toString('hex').replace(/../g, '%$&'));

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
