import { Pool } from 'undici';
import type { Answer } from '../delivery/outcome.js';

/** Options of one call. `timeoutMs` bounds it from the call to the end of the answer (default 30,000). */
export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The Bot API of one bot over HTTP. The token stays inside: no error and no log line names it. */
export interface TelegramClient {
  /** One method call. Resolves with the answer or the failure, never rejects but for `signal` (AbortError). */
  call(method: string, payload: object, options?: CallOptions): Promise<Answer>;
  /** Opens up to `count` connections ahead, so that the time of a send is not the time of a handshake. Never rejects. */
  warm(count: number): Promise<void>;
  /** Cuts every connection at once: nothing more is written, answers under way are lost. */
  destroy(): Promise<void>;
}

/** undici drops an idle connection after this long, ms: Bot API servers close theirs later, so no call meets a closed one. */
const KEEP_ALIVE_MS = 10_000;
const TIMEOUT_MS = 30_000;
const ANSWER_BYTES = 20 * 1_048_576;

/** Makes a client for `token` at `apiRoot` with at most `connections` connections. */
export function telegramClient(apiRoot: string, token: string, connections: number): TelegramClient {
  const root = new URL(apiRoot);
  const prefix = `${root.pathname.replace(/\/$/, '')}/bot${token}/`;
  const make = () =>
    new Pool(root.origin, {
      connections,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      connect: { timeout: 10_000 },
      bodyTimeout: 0,
      headersTimeout: 0,
    });
  let pool = make();

  function call(method: string, payload: object, options: CallOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const body = JSON.stringify(payload);
      const { signal } = options;
      const used = pool;
      let began = false;
      let status = 0;
      let retryAfter: string | undefined;
      const chunks: Buffer[] = [];
      let size = 0;
      let abort: ((reason: Error) => void) | undefined;
      let given: Error | undefined;
      const stop = (reason: Error) => {
        given = reason;
        abort?.(reason);
        if (abort === undefined) finish({ kind: 'failure', beforeFirstByte: !began, reason: reason.message });
      };
      const timer = setTimeout(() => stop(new Error('timeout')), options.timeoutMs ?? TIMEOUT_MS);
      const onAbort = () => stop(new DOMException('aborted', 'AbortError') as unknown as Error);
      let done = false;
      function finish(answer: Answer): void {
        if (done) return;
        done = true;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        if (given?.name === 'AbortError') reject(given);
        else resolve(answer);
      }
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      used.dispatch(
        {
          path: prefix + method,
          method: 'POST',
          headers: ['content-type', 'application/json'],
          body,
        },
        {
          onRequestStart(controller) {
            abort = (reason) => controller.abort(reason);
            if (given !== undefined) {
              controller.abort(given);
              return;
            }
            began = true;
          },
          onResponseStart(_controller, statusCode, headers) {
            status = statusCode;
            const header = headers['retry-after'];
            retryAfter = Array.isArray(header) ? header[0] : header;
          },
          onResponseData(controller, chunk) {
            size += chunk.length;
            if (size > ANSWER_BYTES) controller.abort(new Error('answer too large'));
            else chunks.push(chunk);
          },
          onResponseEnd() {
            finish({
              kind: 'answer',
              status,
              body: parse(Buffer.concat(chunks)),
              ...(retryAfter === undefined || !/^\d+$/.test(retryAfter)
                ? {}
                : { retryAfterHeader: Number(retryAfter) }),
            });
          },
          onResponseError(_controller, error) {
            finish({ kind: 'failure', beforeFirstByte: !began, reason: reasonOf(error) });
          },
        },
      );
    });
  }

  return {
    call,
    async warm(count) {
      await Promise.all(
        Array.from({ length: Math.min(count, connections) }, () => call('getMe', {}, { timeoutMs: 5_000 })),
      );
    },
    async destroy() {
      const old = pool;
      pool = make();
      await old.destroy(new Error('connections destroyed'));
    },
  };
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The code or name of a network error: never its message, which may name the URL with the token. */
function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === 'string') return code;
  return error.message === 'timeout' || error.message === 'connections destroyed' ? error.message : error.name;
}
