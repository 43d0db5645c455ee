import { createServer, request } from 'node:http';
import type { Test } from 'tap';

/** A gate before a Bot API server that refuses tokens as Telegram does when BotFather has revoked them. */
export interface TelegramGate {
  readonly url: string;
  /** From now on 401 for this token, for calls that wait for their answer too. */
  revoke(token: string): void;
  /** `alias` is a token of the bot whose real token this is. */
  alias(alias: string, token: string): void;
}

const REFUSAL = JSON.stringify({ ok: false, error_code: 401, description: 'Unauthorized' });

/** Opens a gate before the server at `target`; closed when `t` ends. */
export async function telegramGate(t: Test, target: string): Promise<TelegramGate> {
  const revoked = new Set<string>();
  const aliases = new Map<string, string>();
  const waiting = new Map<string, Set<() => void>>();
  const server = createServer((incoming, outgoing) => {
    const [, token = '', method = ''] = /^\/bot([^/]+)\/(.*)$/.exec(incoming.url ?? '') ?? [];
    const refuse = () => {
      if (outgoing.writableEnded) return;
      outgoing.writeHead(401, { 'content-type': 'application/json' }).end(REFUSAL);
    };
    if (revoked.has(token)) {
      incoming.resume();
      refuse();
      return;
    }
    const mine = waiting.get(token) ?? new Set();
    waiting.set(token, mine.add(refuse));
    outgoing.on('close', () => mine.delete(refuse));
    const path = `/bot${aliases.get(token) ?? token}/${method}`;
    const { method: verb, headers } = incoming;
    const onward = request(new URL(path, target), { method: verb ?? 'GET', headers }, (answer) => {
      if (outgoing.headersSent) answer.resume();
      else answer.pipe(outgoing.writeHead(answer.statusCode ?? 502, answer.headers));
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    revoke(token) {
      revoked.add(token);
      for (const refuse of waiting.get(token) ?? []) refuse();
    },
    alias(alias, token) {
      aliases.set(alias, token);
    },
  };
}
