import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A message that arrived: by which bot, and when (monotonic ms, the head of its call). */
interface Arrival {
  readonly bot: number;
  readonly at: number;
}

/** A Telegram that takes every token and every message at once, and notes when: by the text where it begins with `#`, else by `<text> to <chat>`. */
export interface BareTelegram {
  readonly url: string;
  readonly arrived: ReadonlyMap<string, Arrival>;
  close(): void;
}

/** Starts it on a free loopback port. */
export async function bareTelegram(): Promise<BareTelegram> {
  const arrived = new Map<string, Arrival>();
  let messageId = 0;
  const server = createServer((request, response) => {
    const at = performance.now();
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const [, id = '', method = ''] = /^\/bot(\d+):[^/]*\/(.*)$/.exec(request.url ?? '') ?? [];
      const bot = Number(id);
      const answer = (result: unknown) => response.end(JSON.stringify({ ok: true, result }));
      if (method === 'getUpdates') {
        const timer = setTimeout(() => answer([]), 20_000);
        response.on('close', () => clearTimeout(timer));
        return;
      }
      if (method === 'sendMessage') {
        const { chat_id, text } = JSON.parse(Buffer.concat(chunks).toString()) as { chat_id: number; text: string };
        const key = text.startsWith('#') ? text : `${text} to ${chat_id}`;
        if (!arrived.has(key)) arrived.set(key, { bot, at });
        messageId += 1;
        answer({ message_id: messageId });
        return;
      }
      answer(method === 'getMe' ? { id: bot, is_bot: true, first_name: 'Bench', username: `bench_${bot}` } : true);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    arrived,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
