import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type { Test } from 'tap';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
/** The certificate of the server over TLS, which signs itself, for localhost and 127.0.0.1. */
export const CERTIFICATE = join(FIXTURES, 'loopback-cert.pem');

/** A request as it came. */
export interface SeenRequest {
  /** Request line and headers. */
  readonly head: string;
  readonly body: string;
  readonly socket: Socket;
  /** Among those of its connection and among all, from 0. */
  readonly onConnection: number;
  readonly index: number;
}

/** A server over TCP or TLS that does what a test says. */
export interface ScriptedServer {
  readonly port: number;
  readonly url: string;
  readonly requests: readonly SeenRequest[];
  /** All connections so far; ended ones among them. */
  readonly sockets: readonly Socket[];
  /** Open connections. */
  readonly open: number;
  close(): Promise<void>;
}

/** Listens on a free port of `host` until the test ends; `onRequest` is called with each whole request and does what it likes with the socket. */
export async function scriptedServer(
  t: Test,
  onRequest: (request: SeenRequest) => void,
  how: 'tcp' | 'tls' = 'tcp',
  host = '127.0.0.1',
): Promise<ScriptedServer> {
  const requests: SeenRequest[] = [];
  const sockets: Socket[] = [];
  const live = new Set<Socket>();
  const onSocket = (socket: Socket): void => {
    sockets.push(socket);
    live.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => live.delete(socket));
    let come = '';
    let onConnection = 0;
    socket.setEncoding('latin1').on('data', (text: string) => {
      come += text;
      for (;;) {
        const headEnd = come.indexOf('\r\n\r\n');
        if (headEnd < 0) return;
        const head = come.slice(0, headEnd);
        const end = headEnd + 4 + Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
        if (come.length < end) return;
        const body = Buffer.from(come.slice(headEnd + 4, end), 'latin1').toString('utf8');
        come = come.slice(end);
        const request = { head, body, socket, onConnection, index: requests.length };
        onConnection += 1;
        requests.push(request);
        onRequest(request);
      }
    });
  };
  const server: Server =
    how === 'tcp'
      ? createServer(onSocket)
      : createTlsServer(
          { cert: readFileSync(CERTIFICATE), key: readFileSync(join(FIXTURES, 'loopback-key.pem')) },
          onSocket,
        );
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const close = () =>
    new Promise<void>((resolve) => {
      for (const socket of live) socket.destroy();
      server.close(() => resolve());
    });
  t.teardown(close);
  return {
    port,
    url: `${how === 'tcp' ? 'http' : 'https'}://${host}:${port}`,
    requests,
    sockets,
    get open() {
      return live.size;
    },
    close,
  };
}

/** The bytes of an answer with a length. */
export function answerOf(body: unknown, status = 200, headers: readonly string[] = []): string {
  const json = JSON.stringify(body);
  const lines = [`HTTP/1.1 ${status} Any`, ...headers, `Content-Length: ${Buffer.byteLength(json)}`, '', ''];
  return lines.join('\r\n') + json;
}
