import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { until } from './telegram-bench.js';

/** One update that came, and the way to answer it. */
export interface Delivery {
  // biome-ignore lint/suspicious/noExplicitAny: updates are compared, not typed
  readonly update: any;
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
  /** Default: 200 with no body. */
  answer(status?: number, body?: string, headers?: Record<string, string>): void;
  /** Closes the connection instead. */
  hangUp(): void;
}

/** A bot's server that takes updates by POST. */
export interface Receiver {
  readonly url: string;
  /** All that came so far, in order. */
  readonly deliveries: readonly Delivery[];
  /** Waits for the first one that was not taken yet. */
  next(): Promise<Delivery>;
  /** Has all that comes from now on answered like this, at once. */
  answerAll(status: number): void;
  /** Frees the port, cutting what is open. */
  close(): Promise<void>;
}

/** Starts one on a port of its own (or the given one), and ends it with the test. */
export async function receiver(t: Test, wish = 0): Promise<Receiver> {
  const deliveries: Delivery[] = [];
  let taken = 0;
  let answerAll: number | undefined;
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const delivery: Delivery = {
        update: JSON.parse(Buffer.concat(parts).toString()),
        headers: request.headers,
        path: request.url ?? '',
        answer(status = 200, body = '', headers = {}) {
          response.writeHead(status, headers).end(body);
        },
        hangUp: () => request.socket.destroy(),
      };
      deliveries.push(delivery);
      if (answerAll !== undefined) delivery.answer(answerAll);
    });
  });
  await new Promise<void>((resolve) => server.listen(wish, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  t.teardown(close);
  return {
    url: `http://127.0.0.1:${port}/hook`,
    deliveries,
    async next() {
      await until(() => deliveries.length > taken);
      taken += 1;
      return deliveries[taken - 1] as Delivery;
    },
    answerAll(status) {
      answerAll = status;
    },
    close,
  };
}
