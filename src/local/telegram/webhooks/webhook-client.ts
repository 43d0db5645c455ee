import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import { unzipSync } from 'node:zlib';
import type { LocalClock } from '../clock.js';
import type { WebhookSettings } from '../world/bot.js';
import { isLoopbackHost, readWebhookUrl } from './webhook-url.js';

const READ_TIMEOUT_MS = 60_000;
const ANSWER_MAX_BYTES = 16 * 1024 * 1024;

/** What a webhook answered; `retryAfter` in whole seconds, 0 for none. */
export interface WebhookAnswer {
  readonly status: number;
  readonly reason: string;
  readonly retryAfter: number;
  readonly contentType: string;
  readonly body: Buffer;
}

/** How a delivery came out: an answer, whatever its status, or why there was none, in Telegram's words. */
export type WebhookOutcome = { readonly answer: WebhookAnswer } | { readonly error: string };

/** What node:net and node:tls say, in the words of Telegram's server. */
const FAULTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EPIPE: 'Connection reset by peer',
  ETIMEDOUT: 'Connection timed out',
  EHOSTUNREACH: 'No route to host',
  ENETUNREACH: 'Network is unreachable',
  ENOTFOUND: 'Failed to resolve host: Name or service not known',
  EAI_AGAIN: 'Failed to resolve host: Temporary failure in name resolution',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'SSL error {error:0A000086:SSL routines::certificate verify failed}',
  SELF_SIGNED_CERT_IN_CHAIN: 'SSL error {error:0A000086:SSL routines::certificate verify failed}',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'SSL error {error:0A000086:SSL routines::certificate verify failed}',
  CERT_HAS_EXPIRED: 'SSL error {error:0A000086:SSL routines::certificate verify failed}',
  ERR_TLS_CERT_ALTNAME_INVALID: 'SSL error {error:0A000086:SSL routines::certificate verify failed}',
};

/** Posts updates to one webhook over at most `maxConnections` kept connections. Redirects are not followed. Never throws. */
export class WebhookClient {
  readonly #clock: LocalClock;
  readonly #agent: HttpAgent;
  readonly #options: object;
  readonly #isHttps: boolean;
  #address: string | undefined;

  constructor({ url, secretToken, maxConnections, ipAddress }: WebhookSettings, clock: LocalClock) {
    const target = readWebhookUrl(url) ?? new URL(url);
    this.#clock = clock;
    this.#isHttps = target.protocol === 'https:';
    const pool = { keepAlive: true, maxSockets: maxConnections };
    // Who serves on this machine has made the certificate himself.
    this.#agent = this.#isHttps
      ? new HttpsAgent({ ...pool, rejectUnauthorized: !isLoopbackHost(target.hostname) })
      : new HttpAgent(pool);
    const options = urlToHttpOptions(target);
    this.#options = {
      ...options,
      ...(ipAddress !== undefined && { hostname: ipAddress, servername: target.hostname }),
      method: 'POST',
      agent: this.#agent,
      headers: {
        host: target.host,
        'content-type': 'application/json',
        'accept-encoding': 'gzip, deflate',
        ...(secretToken !== '' && { 'x-telegram-bot-api-secret-token': secretToken }),
      },
    };
  }

  /** The address connected to last. */
  get address(): string | undefined {
    return this.#address;
  }

  /** Posts one update and resolves with what came of it, 60 s without an answer included; never rejects. */
  post(json: string): Promise<WebhookOutcome> {
    return new Promise((resolve) => {
      const begin = this.#isHttps ? requestHttps : requestHttp;
      const request = begin(this.#options);
      let connected = false;
      const end = (outcome: WebhookOutcome): void => {
        cancel();
        resolve(outcome);
      };
      const cancel = this.#clock.after(READ_TIMEOUT_MS, () => {
        end({ error: connected ? 'Read timeout expired' : 'Connection timed out' });
        request.destroy();
      });
      request.on('socket', (socket) => {
        const note = (): void => {
          connected = true;
          this.#address = socket.remoteAddress ?? this.#address;
        };
        if (socket.connecting) socket.once(this.#isHttps ? 'secureConnect' : 'connect', note);
        else note();
      });
      request.on('error', (error) => end({ error: faultOf(error) }));
      request.on('response', (response) => {
        readBody(response).then(
          (body) => end({ answer: { ...headOf(response), body } }),
          (error: unknown) => end({ error: faultOf(error) }),
        );
      });
      request.end(json);
    });
  }

  /** Ends all connections, those with a delivery under way too: its outcome is an error. */
  close(): void {
    this.#agent.destroy();
  }
}

function headOf({ statusCode = 0, statusMessage = '', headers }: IncomingMessage): Omit<WebhookAnswer, 'body'> {
  const seconds = Number.parseInt(headers['retry-after'] ?? '', 10);
  return {
    status: statusCode,
    reason: statusMessage,
    retryAfter: seconds > 0 ? seconds : 0,
    contentType: headers['content-type'] ?? '',
  };
}

async function readBody(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > ANSWER_MAX_BYTES) throw new Error('Response is too big');
    parts.push(part);
  }
  const body = Buffer.concat(parts);
  return response.headers['content-encoding'] === undefined
    ? body
    : unzipSync(body, { maxOutputLength: ANSWER_MAX_BYTES });
}

function faultOf(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  // What node says when the other side closes without an answer.
  if (message === 'socket hang up' || message === 'aborted') return 'Connection closed';
  return FAULTS[code] ?? message;
}
