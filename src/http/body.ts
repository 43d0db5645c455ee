import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { Problem } from '../api/problem.js';

/** How long the body of a JSON request may take to arrive, ms. */
const BODY_MS = 60_000;

/** The media type of a request without its parameters, in lower case; '' when it names none. Never throws. */
export function mediaType(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';', 1).join('').trim().toLowerCase();
}

/**
 * Refuses a body that is not one of these media types, not UTF-8 or that is compressed.
 * Throws a Problem 415 PH_BODY_TYPE.
 */
export function requireType(request: IncomingMessage, types: readonly string[]): void {
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(request.headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  const encoding = request.headers['content-encoding'] ?? 'identity';
  const fits = types.includes(mediaType(request)) && /^utf-?8$/i.test(charset) && encoding.toLowerCase() === 'identity';
  if (fits) return;
  throw new Problem({
    status: 415,
    code: 'PH_BODY_TYPE',
    detail: `The body must be ${types.join(' or ')} in UTF-8, not compressed.`,
  });
}

const tooLarge = (limit: number): Problem =>
  new Problem({ status: 413, code: 'PH_BODY_TOO_LARGE', detail: `The body is larger than ${limit} bytes.` });

const aborted = (): Problem =>
  new Problem({ status: 400, code: 'PH_BODY_ABORTED', detail: 'The body ended too early.' });

/** The body in memory, at most `limit` bytes, whether its length was announced or not. */
async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  const late = new Problem({ status: 408, code: 'PH_BODY_SLOW', detail: 'The body did not arrive in time.' });
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > limit) end(() => reject(tooLarge(limit)));
      else chunks.push(chunk);
    };
    const onEnd = (): void => end(() => resolve(Buffer.concat(chunks, size)));
    const onGone = (): void => end(() => reject(aborted()));
    const timer = setTimeout(() => end(() => reject(late)), BODY_MS);
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
      request.on('error', () => undefined);
      settle();
    };
    request.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
  });
}

/**
 * The JSON body of a request, at most `limit` bytes. Throws a Problem: 415 PH_BODY_TYPE, 413 PH_BODY_TOO_LARGE, 408 PH_BODY_SLOW,
 * 400 PH_BODY_ENCODING (not UTF-8), PH_BODY_JSON (malformed or empty) or PH_BODY_ABORTED.
 */
export async function readJson(request: IncomingMessage, limit: number): Promise<unknown> {
  requireType(request, ['application/json']);
  const body = await readBody(request, limit);
  if (!isUtf8(body)) {
    throw new Problem({ status: 400, code: 'PH_BODY_ENCODING', detail: 'The body is not valid UTF-8.' });
  }
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    const detail = body.length === 0 ? 'The body is empty.' : 'The body is not JSON.';
    throw new Problem({ status: 400, code: 'PH_BODY_JSON', detail });
  }
}

/**
 * A body of any length as it arrives; it ends with PH_BODY_ABORTED (a Problem 400) when the client goes away.
 * Who stops reading early leaves the connection as it is, so that an answer can still be sent.
 */
export async function* piecesOf(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of request.iterator({ destroyOnReturn: false })) yield piece as Uint8Array;
  } catch {
    throw aborted();
  }
}

/** What is still read of a body that nobody wants, so that its sender gets to read the answer; beyond it the connection is cut. */
const DISCARD_BYTES = 64 * 1_048_576;
const DISCARD_MS = 30_000;

/** Reads what is left of a refused request's body and drops it, within bounds. Never throws. */
export function discardBody(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  const { socket } = request;
  let left = DISCARD_BYTES;
  const cut = (): void => void socket.destroy();
  const timer = setTimeout(cut, DISCARD_MS);
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) cut();
  });
  request.on('error', () => undefined);
  // Once the answer is out Node tells the request nothing of its connection's end: the socket is asked.
  const ended = (): void => {
    clearTimeout(timer);
    socket.off('close', ended);
  };
  socket.once('close', ended);
  request.once('end', ended).once('close', ended);
  request.resume();
}
