import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from './eventually.js';
import type { LocalTelegramControl } from './local-telegram.js';
import type { ApiAnswer, PosthornApi } from './posthorn-api.js';
import type { SeededRandom } from './seeded-random.js';

/** The local Telegram shows the newest 100 of a chat: a client leaves its chats for others long before. */
const CHATS_AT_ONCE = 8;
const MESSAGES_A_CHAT = 60;

/** One request as its client knows it: `lost` had no answer, so all of it or nothing of it may arrive. */
interface Posted {
  readonly id: string;
  readonly chats: readonly number[];
  outcome: 'accepted' | 'lost';
}

/** How a client posts. */
export interface PagingOptions {
  readonly name: string;
  /** Whether a request without an answer is asked again, with its Idempotency-Key. */
  readonly repeats: boolean;
  /** Its own chats, one for each 7 messages that it will post or more. */
  readonly chats: readonly number[];
  readonly random: SeededRandom;
  /** The most messages of a request, and the longest pause after one, ms. */
  readonly page: number;
  readonly pauseMs: number;
  /** The server that runs now; resolves when it is ready. */
  api(): Promise<PosthornApi>;
  isOver(): boolean;
}

/** Posts pages of numbered messages to chats of its own, one request after the other, to a server that is killed meanwhile. */
export interface PagingClient {
  readonly posted: readonly Posted[];
  /** Chats it has written to, each with its next number. */
  readonly next: ReadonlyMap<number, number>;
  /** Posts until it is over. Rejects when a request is answered with anything but 202 and its ids, or 503. */
  run(): Promise<void>;
  /** One more request with one message to each chat: all before it in a chat has arrived when this has. */
  end(): Promise<void>;
}

/** Makes a client; see PagingOptions. */
export function pagingClient(options: PagingOptions): PagingClient {
  const { name, repeats, chats, random, page, pauseMs, api, isOver } = options;
  const posted: Posted[] = [];
  const next = new Map<number, number>();
  let from = 0;

  /** Resolves with the answer of the first whole try, undefined when the answer was lost and the client does not repeat. */
  async function post(id: string, messages: object[]): Promise<ApiAnswer | undefined> {
    for (;;) {
      try {
        const key = repeats ? { 'idempotency-key': id } : {};
        const answer = await (await api()).call('POST', '/api/send_messages', { messages }, key);
        if (answer.status !== 503) return answer;
      } catch {
        // The server died: with a key it is safe to ask again, without one nobody knows.
      }
      if (!repeats) return undefined;
      await sleep(20);
    }
  }

  async function send(to: readonly number[]): Promise<void> {
    const id = `${name}-${posted.length}`;
    const messages = to.map((chatId, index) => {
      const n = next.get(chatId) ?? 1;
      next.set(chatId, n + 1);
      return { chatId, text: `#${n} ${id} ${index}` };
    });
    const request: Posted = { id, chats: to, outcome: 'lost' };
    posted.push(request);
    const answer = await post(id, messages);
    if (answer === undefined) {
      await api().catch(() => undefined);
      return;
    }
    const { ids } = answer.body as { ids?: string[] };
    if (answer.status !== 202 || ids?.length !== to.length || new Set(ids).size !== to.length)
      throw new Error(`${id}: ${answer.status} ${JSON.stringify(answer.body)}`);
    request.outcome = 'accepted';
  }

  return {
    posted,
    next,
    async run() {
      while (!isOver()) {
        if (chats.slice(from, from + CHATS_AT_ONCE).some((chat) => (next.get(chat) ?? 1) > MESSAGES_A_CHAT))
          from += CHATS_AT_ONCE;
        const to = Array.from(
          { length: random.whole(1, page) },
          () => chats[from + random.whole(0, CHATS_AT_ONCE - 1)] ?? 0,
        );
        await send(to);
        await sleep(random.whole(0, pauseMs));
      }
    },
    async end() {
      const all = [...next.keys()];
      for (let at = 0; at < all.length; at += 500) await send(all.slice(at, at + 500));
    },
  };
}

/** What the chats of some clients show in the end. */
export interface PagesArrived {
  readonly requests: number;
  /** Requests without an answer. */
  readonly lost: number;
  /** Messages of requests with an answer that are not there. */
  readonly missing: number;
  /** Requests without an answer of which a part is there. */
  readonly halves: number;
  /** Messages behind one that was posted later in their chat. */
  readonly disorder: number;
}

/** Waits for what each client wrote last, and counts; rejects when that has not arrived within so many ms. */
export async function pagesArrived(
  telegram: LocalTelegramControl,
  botId: number,
  clients: readonly PagingClient[],
  withinMs: number,
): Promise<PagesArrived> {
  const there = new Map<string, number>();
  let disorder = 0;
  for (const [chat, number] of clients.flatMap(({ next }) => [...next])) {
    let highest = 0;
    for (const text of new Set(await textsOf(telegram, botId, chat, number - 1, withinMs))) {
      const [, n = '', id = ''] = /^#(\d+) (\S+) \d+$/.exec(text) ?? [];
      if (Number(n) < highest) disorder += 1;
      highest = Math.max(highest, Number(n));
      there.set(id, (there.get(id) ?? 0) + 1);
    }
  }
  const posted = clients.flatMap((one) => one.posted);
  const lost = posted.filter(({ outcome }) => outcome === 'lost');
  const accepted = posted.filter(({ outcome }) => outcome === 'accepted');
  const countOf = (id: string) => there.get(id) ?? 0;
  return {
    requests: posted.length,
    lost: lost.length,
    missing: accepted.reduce((sum, { id, chats }) => sum + chats.length - countOf(id), 0),
    halves: lost.filter(({ id, chats }) => countOf(id) !== 0 && countOf(id) !== chats.length).length,
    disorder,
  };
}

/** The texts that arrived in a chat, oldest first, once the one that was sent last is there. */
async function textsOf(
  telegram: LocalTelegramControl,
  botId: number,
  chat: number,
  last: number,
  withinMs: number,
): Promise<string[]> {
  return eventually(`message ${last} in chat ${chat}`, withinMs, async () => {
    const texts = (await telegram.messages(botId, chat)).map(({ text = '' }) => text);
    return texts.some((text) => text.startsWith(`#${last} `)) ? texts : undefined;
  });
}
