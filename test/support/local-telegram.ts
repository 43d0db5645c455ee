import { join } from 'node:path';
import type { Test } from 'tap';
import { request } from 'undici';
import { freePort, type PosthornProcess, startProcess } from './posthorn-process.js';

/** The figures of GET /local/stats. */
export interface LocalStats {
  readonly calls: Readonly<Record<string, number | undefined>>;
  readonly accepted: number;
  readonly distinct: number;
  readonly duplicates: number;
  readonly outOfOrder: number;
  readonly tooMany: number;
  readonly blocked: number;
  readonly maxInOneSecond: number;
  readonly maxInFlight: number;
}

/** A message as a person sees it. */
export interface SeenMessage {
  readonly messageId: number;
  readonly from: { readonly id: number; readonly is_bot?: boolean };
  readonly text?: string;
  readonly entities?: readonly SeenEntity[];
  readonly caption?: string;
  readonly photo?: readonly { readonly width: number; readonly height: number }[];
  readonly document?: { readonly file_name?: string };
  readonly replyMarkup?: { readonly inline_keyboard?: readonly (readonly SeenButton[])[] };
}

/** A MessageEntity of the Bot API. */
export interface SeenEntity {
  readonly type: string;
  readonly offset: number;
  readonly length: number;
  readonly url?: string;
}

/** An InlineKeyboardButton of the Bot API. */
export interface SeenButton {
  readonly text: string;
  readonly callback_data?: string;
}

/** What a press of a button came to. */
export interface Pressed {
  readonly answered: boolean;
  readonly text?: string;
  readonly alert?: boolean;
}

/** The control API of a local Telegram (docs/contract.md). */
export interface LocalTelegramControl {
  readonly url: string;
  bots(): Promise<{ id: number; token: string }[]>;
  /** Makes one more bot. */
  bot(): Promise<{ id: number; token: string; username: string }>;
  /** Makes people who have written to the bot. */
  people(count: number): Promise<number[]>;
  /** Makes one with a name, who has written to the bot unless `started` is false. */
  person(firstName: string, started?: boolean): Promise<number>;
  block(botId: number, userIds: readonly number[]): Promise<void>;
  unblock(botId: number, userId: number): Promise<void>;
  faults(faults: object): Promise<void>;
  stats(): Promise<LocalStats>;
  /** Counters to zero, faults off. */
  reset(): Promise<void>;
  write(from: number, botId: number, text: string): Promise<void>;
  /** Presses a button under a message of the bot. */
  press(from: number, botId: number, messageId: number, data: string): Promise<Pressed>;
  /** Makes a chat that this person owns. */
  chat(type: 'group' | 'supergroup' | 'channel', title: string, ownerId: number): Promise<number>;
  /** Makes someone a member of a chat, as the control API's body says; resolves with what became of it. */
  join(chatId: number, userId: number, how?: object): Promise<string>;
  /** Makes a supergroup of a group; resolves with its new id. */
  upgrade(chatId: number): Promise<number>;
  /** What the person sees, oldest first. */
  messages(botId: number, user: number, after?: number): Promise<SeenMessage[]>;
}

/** The control API at `url`. Each call rejects when the answer is not 200. */
export function localTelegramControl(url: string): LocalTelegramControl {
  async function call<T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<T> {
    const answer = await request(`${url}/local/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`${method} /local/${path}: ${answer.statusCode} ${text}`);
    return JSON.parse(text) as T;
  }
  return {
    url,
    bots: () => call('GET', 'bots'),
    bot: () => call('POST', 'bots', {}),
    people: async (count) => (await call<{ ids: number[] }>('POST', 'people', { count })).ids,
    person: async (firstName, started = true) =>
      (await call<{ id: number }>('POST', 'people', { firstName, started })).id,
    async block(botId, userIds) {
      await call('PUT', 'blocks', { botId, userIds });
    },
    async unblock(botId, userId) {
      await call('DELETE', `blocks/${userId}/${botId}`);
    },
    async faults(faults) {
      await call('PUT', 'faults', faults);
    },
    stats: () => call('GET', 'stats'),
    async reset() {
      await call('POST', 'reset', {});
    },
    async write(from, botId, text) {
      await call('POST', 'messages', { from, chat: botId, text });
    },
    press: (from, botId, messageId, data) => call('POST', 'presses', { from, chat: botId, messageId, data }),
    chat: async (type, title, ownerId) => (await call<{ id: number }>('POST', 'chats', { type, title, ownerId })).id,
    join: async (chatId, userId, how = {}) =>
      (await call<{ status: string }>('PUT', `chats/${chatId}/members/${userId}`, how)).status,
    upgrade: async (chatId) => (await call<{ id: number }>('POST', `chats/${chatId}/upgrade`, {})).id,
    messages: (botId, user, after = 0) => call('GET', `messages?chat=${botId}&user=${user}&after=${after}`),
  };
}

/** A local Telegram in a process of its own, which outlives the servers that are killed. */
export interface LocalTelegramProcess extends LocalTelegramControl {
  readonly botId: number;
  /** The environment of a server that talks to it. */
  readonly env: Readonly<Record<string, string>>;
  /** Kills its process. */
  kill(): Promise<void>;
  /** Starts it again, on the same port and directory. */
  again(): Promise<void>;
}

/** Starts a local Telegram in a process of its own that keeps its world in `<dir>/telegram`. */
export async function startLocalTelegramProcess(t: Test, dir: string): Promise<LocalTelegramProcess> {
  const port = await freePort();
  const env = {
    // With the role local alone nothing connects to it; it only keeps the embedded store away.
    MONGODB_URI: 'mongodb://127.0.0.1:9/none',
    DATA_DIR: join(dir, 'telegram'),
    LOCAL_TELEGRAM_PORT: String(port),
    LOG_FORMAT: 'json',
  };
  const start = () => startProcess(t, { args: ['start', 'local'], env, cwd: dir });
  let process: PosthornProcess = start();
  const url = await process.line('local telegram ');
  const control = localTelegramControl(url);
  const [bot] = await control.bots();
  if (bot === undefined) throw new Error('the local Telegram has no bot');
  return {
    ...control,
    botId: bot.id,
    env: { BOT_TOKEN: bot.token, TELEGRAM_API_ROOT: url },
    async kill() {
      await process.end('SIGKILL');
    },
    async again() {
      process = start();
      await process.line('local telegram ');
    },
  };
}
