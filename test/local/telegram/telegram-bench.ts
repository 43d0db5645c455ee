import type { Test } from 'tap';
import type { LocalClock } from '../../../src/local/telegram/clock.js';
import {
  type LocalTelegram,
  type LocalTelegramOptions,
  startLocalTelegram,
} from '../../../src/local/telegram/server.js';

/** Every kind of update that the local Telegram makes, as `allowed_updates`. */
const ALL_UPDATES =
  'message edited_message channel_post edited_channel_post callback_query my_chat_member chat_member chat_join_request'.split(
    ' ',
  );

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** A clock that goes when told to; `advance` runs what falls due, with real turns of the event loop between. */
export function manualClock(): LocalClock & { advance(ms: number): Promise<void>; pending(): number } {
  let now = 1_800_000_000_000;
  const timers = new Set<Timer>();
  return {
    now: () => now,
    after(ms, run) {
      const timer = { at: now + ms, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const until = now + ms;
      for (;;) {
        const [next] = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers.delete(next);
        now = next.at;
        next.run();
        await new Promise((resolve) => setImmediate(resolve));
      }
      now = until;
    },
    pending: () => timers.size,
  };
}

/** An answer of either API. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared, not typed
  readonly body: any;
}

/** A local Telegram with its first bot, and short ways to talk to both of its sides. */
export interface Bench {
  readonly telegram: LocalTelegram;
  readonly token: string;
  readonly botId: number;
  call(method: string, args?: Record<string, unknown>, token?: string): Promise<Answer>;
  local(method: string, path: string, body?: unknown): Promise<Answer>;
  people(count: number, more?: Record<string, unknown>): Promise<number[]>;
  /** All updates that wait for a bot, which asks for every kind from now on; they are confirmed. */
  updates(token?: string): Promise<Answer['body'][]>;
}

/** One request; its answer's body parsed when it is JSON. */
export async function ask(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  const isJson = response.headers.get('content-type') === 'application/json';
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

/** Starts one on a port of its own, and ends it with the test. */
export async function bench(t: Test, options: Partial<LocalTelegramOptions> = {}): Promise<Bench> {
  const telegram = await startLocalTelegram({ port: 0, ...options, dataDir: options.dataDir ?? t.testdir() });
  t.teardown(() => telegram.stop());
  const local: Bench['local'] = (method, path, body) =>
    ask(`${telegram.url}/local/${path}`, { method, ...(body !== undefined && { body: JSON.stringify(body) }) });
  const [{ id, token }] = (await local('GET', 'bots')).body;
  const call: Bench['call'] = (method, args = {}, as = token) =>
    ask(`${telegram.url}/bot${as}/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(args),
    });
  return {
    telegram,
    token,
    botId: id,
    local,
    call,
    async updates(as = token) {
      const found = (await call('getUpdates', { allowed_updates: ALL_UPDATES }, as)).body.result as Answer['body'][];
      if (found.length > 0) await call('getUpdates', { offset: found.at(-1).update_id + 1 }, as);
      return found;
    },
    people: async (count, more) => (await local('POST', 'people', { count, ...more })).body.ids,
  };
}

/** Waits until something holds that sockets bring about, without a fixed time. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 2));
}
