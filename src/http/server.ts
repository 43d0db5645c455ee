import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type ApplicationDeps, application } from './application.js';

/** A client has this long to send its header, ms; a connection without a byte either way is cut after IDLE_MS (an import may pause). */
const HEADERS_MS = 20_000;
const IDLE_MS = 300_000;
/** Idle connections are kept longer than usual proxies keep theirs, so that the proxy closes first. */
const KEEP_ALIVE_MS = 72_000;
const CLOSE_LOOK_MS = 50;

/** A listener that cannot be had, in one sentence; `code` is PH_HTTP_PORT_TAKEN, PH_HTTP_PORT_DENIED or PH_HTTP_ADDRESS. */
export class ListenError extends Error {
  readonly code: 'PH_HTTP_PORT_TAKEN' | 'PH_HTTP_PORT_DENIED' | 'PH_HTTP_ADDRESS';

  constructor(host: string, port: number, cause: NodeJS.ErrnoException) {
    const [code, why] = (
      {
        EADDRINUSE: ['PH_HTTP_PORT_TAKEN', 'the port is taken'],
        EACCES: ['PH_HTTP_PORT_DENIED', 'this port may not be opened'],
      } as const
    )[String(cause.code)] ?? ['PH_HTTP_ADDRESS', `the address cannot be used (${cause.code})`];
    super(`cannot listen on ${host}:${port}: ${why}; set HOST and PORT`, { cause });
    this.name = 'ListenError';
    this.code = code;
  }
}

/** What the server is made of: where it listens (port 0 takes a free one) and what it answers with. */
export interface HttpDeps extends ApplicationDeps {
  readonly host: string;
  readonly port: number;
  /** Called when the listener is lost after it was had. */
  readonly onLost?: (error: Error) => void;
}

/** The HTTP server of a process. */
export interface HttpServer {
  /** Resolves once it listens. Throws ListenError. */
  listen(): Promise<{ port: number }>;
  /** Takes no new connections, ends idle ones, lets requests in flight finish; those that have not after `graceMs` (default 10,000) are cut. Never throws. */
  close(graceMs?: number): Promise<void>;
}

const BAD_REQUEST: Readonly<Record<string, readonly [number, string, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'PH_HTTP_HEADER_TOO_LARGE'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'PH_HTTP_SLOW'],
};

/** Answers what is not HTTP with a problem document, and closes. */
function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, title, code] = BAD_REQUEST[String(error.code)] ?? [400, 'Bad Request', 'PH_HTTP_MALFORMED'];
  const body = JSON.stringify({ type: 'about:blank', title, status, code });
  const head = `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}`;
  socket.end(`${head}\r\nConnection: close\r\n\r\n${body}`);
}

/** Makes the server of the API and of health; it holds no resources until it listens. Never throws. */
export function httpServer(deps: HttpDeps): HttpServer {
  const { host, port } = deps;
  const handle = application(deps).callback();
  let closing = false;
  // No limit on the time of a whole request: imports are long. Bodies of JSON have a limit of their own (body.ts).
  const options = { requestTimeout: 0, headersTimeout: HEADERS_MS, connectionsCheckingInterval: 5_000 };
  const server: Server = createServer({ ...options, keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    if (closing) response.setHeader('Connection', 'close');
    void handle(request, response);
  });
  server.timeout = IDLE_MS;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => onClientError(error, socket as Socket));

  return {
    listen: () =>
      new Promise((resolve, reject) => {
        const onError = (error: NodeJS.ErrnoException): void => reject(new ListenError(host, port, error));
        server.once('error', onError);
        server.listen(port, host, () => {
          server.off('error', onError);
          server.on('error', (error) => {
            deps.log.error({ err: error }, 'http listener failed');
            deps.onLost?.(error);
          });
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    close: (graceMs = 10_000) =>
      new Promise((resolve) => {
        closing = true;
        if (!server.listening) {
          resolve();
          return;
        }
        // A connection that was busy when closing began becomes idle when its request ends: it is looked for again.
        const look = setInterval(() => server.closeIdleConnections(), CLOSE_LOOK_MS);
        const cut = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearInterval(look);
          clearTimeout(cut);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}
