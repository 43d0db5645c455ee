import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import type { LocalTelegramControl } from './local-telegram.js';
import { API_KEY } from './posthorn-api.js';
import type { SeededRandom } from './seeded-random.js';

/** The local Telegram shows the newest 100 of a chat. */
const MESSAGES_A_CHAT = 60;
const CHATS_AT_ONCE = 6;
const ANSWER_MS = 30_000;

/** What came of the requests of one client: the texts by chat that were accepted, and what else was answered. */
export interface PostingClient {
  readonly accepted: { readonly chat: number; readonly text: string }[];
  /** Answers of 503. */
  refused: number;
  /** Requests that got no answer. */
  unanswered: number;
  /** Answers that may not be: neither 202 nor 503 with a Retry-After. */
  readonly wrong: string[];
  run(): Promise<void>;
}

/**
 * Posts pages of numbered messages to chats of its own until `isOver`, one request after the other; a refused or unanswered request is asked again with its Idempotency-Key.
 */
export function postingClient(
  name: string,
  url: string,
  chats: readonly number[],
  random: SeededRandom,
  isOver: () => boolean,
): PostingClient {
  const next = new Map<number, number>();
  let from = 0;

  async function posted(
    id: string,
    messages: readonly object[],
  ): Promise<{ code: number; retryAfter: number; text: string } | undefined> {
    try {
      const { statusCode, headers, body } = await request(`${url}/api/send_messages`, {
        method: 'POST',
        headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json', 'idempotency-key': id },
        body: JSON.stringify({ messages }),
        headersTimeout: ANSWER_MS,
      });
      return { code: statusCode, retryAfter: Number(headers['retry-after']), text: await body.text() };
    } catch {
      return undefined;
    }
  }

  /** Whether it was accepted at last. */
  async function post(id: string, messages: readonly object[]): Promise<boolean> {
    for (;;) {
      const answer = await posted(id, messages);
      if (answer?.code === 202) return true;
      if (answer === undefined) one.unanswered += 1;
      else {
        if (answer.code !== 503 || !(answer.retryAfter > 0)) one.wrong.push(`${id}: ${JSON.stringify(answer)}`);
        if (answer.code !== 503) return false;
        one.refused += 1;
      }
      await sleep(100);
    }
  }

  const one: PostingClient = {
    accepted: [],
    refused: 0,
    unanswered: 0,
    wrong: [],
    async run() {
      for (let n = 0; !isOver(); n += 1) {
        const full = (chat: number) => (next.get(chat) ?? 1) > MESSAGES_A_CHAT;
        if (chats.slice(from, from + CHATS_AT_ONCE).some(full)) from += CHATS_AT_ONCE;
        const messages = Array.from({ length: random.whole(1, 10) }, (_, index) => {
          const chat = chats[from + random.whole(0, CHATS_AT_ONCE - 1)] ?? 0;
          const number = next.get(chat) ?? 1;
          next.set(chat, number + 1);
          return { chatId: chat, text: `#${number} ${name}-${n} ${index}` };
        });
        if (await post(`${name}-${n}`, messages))
          for (const { chatId, text } of messages) one.accepted.push({ chat: chatId, text });
        await sleep(random.whole(20, 80));
      }
    },
  };
  return one;
}

/** How many of the accepted messages have not arrived in their chats. */
export async function missingMessages(
  telegram: LocalTelegramControl,
  botId: number,
  clients: readonly PostingClient[],
): Promise<number> {
  const wanted = new Map<number, string[]>();
  for (const { chat, text } of clients.flatMap(({ accepted }) => accepted))
    wanted.set(chat, [...(wanted.get(chat) ?? []), text]);
  let missed = 0;
  for (const [chat, texts] of wanted) {
    const there = new Set((await telegram.messages(botId, chat)).map(({ text }) => text));
    missed += texts.filter((text) => !there.has(text)).length;
  }
  return missed;
}
