import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { eventually } from '../support/eventually.js';
import { type LocalTelegramControl, startLocalTelegramProcess } from '../support/local-telegram.js';
import type { ApiAnswer, PosthornApi } from '../support/posthorn-api.js';
import { type PosthornServer, startServer } from '../support/posthorn-server.js';
import { type SeededRandom, seededRandom } from '../support/seeded-random.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const KILLS = IS_LONG ? 50 : 5;
const CONCURRENCY = 16;
const CLIENTS = 4;
/** The local Telegram shows the newest 100 of a chat: a client leaves its chats for others long before. */
const CHATS_AT_ONCE = 8;
const MESSAGES_A_CHAT = 60;
const CHATS_A_CLIENT = IS_LONG ? 4_000 : 400;
const DELIVERED_MS = IS_LONG ? 600_000 : 90_000;

t.setTimeout(IS_LONG ? 1_800_000 : 240_000);

/** One request as its client knows it: `lost` had no answer, so all of it or nothing of it may arrive. */
interface Posted {
  readonly id: string;
  readonly chats: readonly number[];
  outcome: 'accepted' | 'lost';
}

/** What the clients share: the server that runs now, changed by the one who kills. */
interface Target {
  server: PosthornServer;
  stopped: boolean;
}

/** A client posts pages of 1 to 50 numbered messages to chats of its own, one request after the other. */
interface Client {
  readonly posted: Posted[];
  /** Chats it has written to, each with its next number. */
  readonly next: Map<number, number>;
  run(): Promise<void>;
  /** One more request with one message to each chat: all before it in a chat has arrived when this has. */
  end(): Promise<void>;
}

function client(
  name: string,
  repeats: boolean,
  chats: readonly number[],
  target: Target,
  random: SeededRandom,
): Client {
  const posted: Posted[] = [];
  const next = new Map<number, number>();
  let from = 0;

  /** Resolves with the answer of the first whole try, undefined when the answer was lost and the client does not repeat. */
  async function post(id: string, messages: object[]): Promise<ApiAnswer | undefined> {
    for (;;) {
      try {
        const api: PosthornApi = await target.server.api;
        const key = repeats ? { 'idempotency-key': id } : {};
        const answer = await api.call('POST', '/api/send_messages', { messages }, key);
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
      await target.server.api.catch(() => undefined);
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
      while (!target.stopped) {
        if (chats.slice(from, from + CHATS_AT_ONCE).some((chat) => (next.get(chat) ?? 1) > MESSAGES_A_CHAT))
          from += CHATS_AT_ONCE;
        const to = Array.from(
          { length: random.whole(1, 50) },
          () => chats[from + random.whole(0, CHATS_AT_ONCE - 1)] ?? 0,
        );
        await send(to);
        await sleep(random.whole(0, 60));
      }
    },
    async end() {
      const all = [...next.keys()];
      for (let at = 0; at < all.length; at += 500) await send(all.slice(at, at + 500));
    },
  };
}

/** The texts that arrived in a chat, oldest first, once the one that was sent last is there. */
async function arrived(telegram: LocalTelegramControl, botId: number, chat: number, last: number): Promise<string[]> {
  return eventually(`message ${last} in chat ${chat}`, DELIVERED_MS, async () => {
    const texts = (await telegram.messages(botId, chat)).map(({ text = '' }) => text);
    return texts.some((text) => text.startsWith(`#${last} `)) ? texts : undefined;
  });
}

t.test('kill -9 while messages are accepted: all of a request or nothing, each 202 in full, in order', async (t) => {
  const random = seededRandom(t);
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, dir);
  await telegram.faults({ limits: 'off' });
  const people = await telegram.people(CLIENTS * CHATS_A_CLIENT);
  const env = { ...telegram.env, SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: String(CONCURRENCY) };
  const target: Target = { server: startServer(t, dir, env), stopped: false };
  await target.server.api;

  const clients = Array.from({ length: CLIENTS }, (_, i) =>
    client(`${'abcdefgh'[i]}`, i % 2 === 0, people.slice(i * CHATS_A_CLIENT, (i + 1) * CHATS_A_CLIENT), target, random),
  );
  const running = Promise.all(clients.map((one) => one.run()));
  for (let kill = 0; kill < KILLS; kill += 1) {
    await Promise.race([sleep(random.whole(50, 900)), running]);
    await target.server.process.end('SIGKILL');
    target.server = startServer(t, dir, env);
    await target.server.api;
  }
  target.stopped = true;
  await running;
  await Promise.all(clients.map((one) => one.end()));

  const places = new Map<string, number[]>();
  let repeated = 0;
  let disorder = 0;
  for (const { next } of clients) {
    for (const [chat, number] of next) {
      let highest = 0;
      for (const text of new Set(await arrived(telegram, telegram.botId, chat, number - 1))) {
        const [, n = '', id = '', index = ''] = /^#(\d+) (\S+) (\d+)$/.exec(text) ?? [];
        if (Number(n) < highest) disorder += 1;
        highest = Math.max(highest, Number(n));
        places.set(id, [...(places.get(id) ?? []), Number(index)]);
      }
    }
  }
  const stats = await telegram.stats();
  repeated = stats.duplicates;

  const posted = clients.flatMap((one) => one.posted);
  const lost = posted.filter(({ outcome }) => outcome === 'lost');
  const missing = posted.filter(({ id, chats, outcome }) => {
    const there = places.get(id)?.length ?? 0;
    return there !== chats.length && (outcome === 'accepted' || there !== 0);
  });
  t.same(missing, [], `of ${posted.length} requests each 202 arrived in full, each other in full or not at all`);
  t.same({ disorder, outOfOrder: stats.outOfOrder }, { disorder: 0, outOfOrder: 0 }, 'in order in each chat');
  t.ok(repeated <= KILLS * CONCURRENCY, `${repeated} messages repeated by ${KILLS} kills`);
  const keys = clients.filter((_, i) => i % 2 === 0).flatMap((one) => one.posted);
  t.ok(
    keys.every(({ outcome }) => outcome === 'accepted'),
    'with an Idempotency-Key each request is accepted in the end',
  );
  t.comment(`${posted.length} requests, ${lost.length} without an answer, ${stats.distinct} messages`);
});
