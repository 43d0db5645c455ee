import { isDeepStrictEqual } from 'node:util';
import type { Locator, Page } from 'playwright-core';
import type { Test } from 'tap';
import { type OpenWindow, startBrowser, type Window } from '../../support/browser.js';
import { eventually } from '../../support/eventually.js';
import { type LocalTelegramControl, localTelegramControl } from '../../support/local-telegram.js';
import { freePort } from '../../support/posthorn-process.js';
import { type PosthornServer, startServer } from '../../support/posthorn-server.js';
import { ask } from './telegram-bench.js';

/** How long anything may take on a busy machine, ms. */
export const WITHIN_MS = 60_000;

/** What a 429 in a private chat asks for, ms. */
const RETRY_AFTER_MS = 1000;

/** What the tests read of an answer of the Bot API. */
interface Result {
  readonly message_id: number;
  readonly text: string;
  readonly invite_link: string;
}

/** An update of the Bot API, as far as the tests read it. */
interface Update {
  readonly update_id: number;
  readonly callback_query?: { readonly id: string; readonly data: string };
}

/** A server with all roles, its local Telegram, and a second bot, the florist, that does what a test tells it to. */
export interface Scene {
  readonly url: string;
  readonly control: LocalTelegramControl;
  readonly server: PosthornServer;
  readonly open: OpenWindow;
  readonly botId: number;
  /** Calls a method as the florist. */
  bot(method: string, args: object): Promise<{ ok: boolean; result: Result }>;
  /** Sends a message as the florist, as soon as the limits let it. */
  say(chatId: number, text: string, more?: object): Promise<Result>;
  /** The id of the callback query that the florist got of a press with this data. */
  pressed(data: string): Promise<string>;
  /** Starts the server again, which was ended. */
  again(): PosthornServer;
}

/** How a phone is set up, by night. */
export const PHONE = {
  viewport: { width: 390, height: 780 },
  hasTouch: true,
  isMobile: true,
  colorScheme: 'dark',
} as const;

/** The texts of the messages in the open chat. */
export const bubbles = (page: Page): Locator => page.locator('.message .text');

/** A chat in the list, by its title. */
export const chatRow = (page: Page, title: string): Locator => page.locator('.chat-row', { hasText: title });

/** The id of the person that a page is. */
export const personOf = (page: Page): number => Number(/#(\d+)/.exec(page.url())?.[1]);

/** Sets it all up; undefined where there is no browser. It ends with the test. */
export async function pageScene(t: Test): Promise<Scene | undefined> {
  const open = await startBrowser(t);
  if (open === undefined) return undefined;
  const dir = t.testdir();
  const env = { LOCAL_TELEGRAM_PORT: String(await freePort()) };
  const server = startServer(t, dir, env);
  await server.api;
  const url = await server.process.line('local telegram ');
  const made = await ask(`${url}/local/bots`, {
    method: 'POST',
    body: JSON.stringify({ username: 'florist_bot', name: 'Florist' }),
  });
  const { id, token } = made.body as { id: number; token: string };
  const bot: Scene['bot'] = async (method, args) => {
    const headers = { 'content-type': 'application/json' };
    return (await ask(`${url}/bot${token}/${method}`, { method: 'POST', headers, body: JSON.stringify(args) })).body;
  };
  let offset = 0;
  return {
    url,
    control: localTelegramControl(url),
    server,
    open,
    botId: id,
    bot,
    say: (chatId, text, more = {}) =>
      eventually(
        `'${text}' sent within the limits`,
        WITHIN_MS,
        async () => {
          const { ok, result } = await bot('sendMessage', { chat_id: chatId, text, ...more });
          return ok && result;
        },
        RETRY_AFTER_MS,
      ),
    pressed: (data) =>
      eventually(`a press of ${data}`, WITHIN_MS, async () => {
        const updates = (await bot('getUpdates', { offset, timeout: 1 })).result as unknown as Update[];
        offset = (updates.at(-1)?.update_id ?? offset - 1) + 1;
        return updates.find(({ callback_query: query }) => query?.data === data)?.callback_query?.id;
      }),
    again: () => startServer(t, dir, env),
  };
}

/** Makes a person by the page's own buttons, and says /start to the first bot. */
export async function newcomer(t: Test, { open, url }: Scene, options = {}): Promise<Window> {
  const window = await open(t, `${url}/local`, options);
  const { page } = window;
  await page.locator('#make-person').click();
  await page.getByRole('button', { name: 'START' }).click();
  await bubbles(page).filter({ hasText: 'Hello, ' }).waitFor();
  return window;
}

/** Opens the florist's chat and starts it. */
export async function startFlorist(page: Page): Promise<void> {
  await chatRow(page, 'Florist').click();
  await page.getByRole('button', { name: 'START' }).click();
  await bubbles(page).filter({ hasText: '/start' }).waitFor();
}

/**
 * Asserts that what `look` sees becomes `expected` (of a regular expression: matches it), since a page shows nothing at once: looks until it does, and for `WITHIN_MS` at most.
 */
export async function becomes(
  t: Test,
  look: () => Promise<unknown>,
  expected: unknown,
  message = 'the page shows it',
): Promise<void> {
  let found: unknown;
  const isSo = async (): Promise<boolean> => {
    found = await look();
    return expected instanceof RegExp ? expected.test(String(found)) : isDeepStrictEqual(found, expected);
  };
  await eventually('', WITHIN_MS, isSo).catch(() => undefined);
  if (expected instanceof RegExp) t.match(found, expected, message);
  else t.same(found, expected, message);
}
