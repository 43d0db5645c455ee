import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { startLocalTelegramProcess } from '../support/local-telegram.js';
import { pagesArrived, pagingClient } from '../support/paging-client.js';
import { startServer } from '../support/posthorn-server.js';
import { seededRandom } from '../support/seeded-random.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const KILLS = IS_LONG ? 50 : 5;
const CONCURRENCY = 16;
const CLIENTS = 4;
const CHATS_A_CLIENT = IS_LONG ? 4_000 : 400;
const DELIVERED_MS = IS_LONG ? 600_000 : 90_000;

t.setTimeout(IS_LONG ? 1_800_000 : 240_000);

t.test('kill -9 while messages are accepted: all of a request or nothing, each 202 in full, in order', async (t) => {
  const random = seededRandom(t);
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, dir);
  await telegram.faults({ limits: 'off' });
  const people = await telegram.people(CLIENTS * CHATS_A_CLIENT);
  const env = { ...telegram.env, SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: String(CONCURRENCY) };
  let server = startServer(t, dir, env);
  let over = false;
  await server.api;

  const clients = Array.from({ length: CLIENTS }, (_, i) =>
    pagingClient({
      name: `${'abcdefgh'[i]}`,
      repeats: i % 2 === 0,
      chats: people.slice(i * CHATS_A_CLIENT, (i + 1) * CHATS_A_CLIENT),
      random,
      page: 50,
      pauseMs: 60,
      api: () => server.api,
      isOver: () => over,
    }),
  );
  const running = Promise.all(clients.map((one) => one.run()));
  for (let kill = 0; kill < KILLS; kill += 1) {
    await Promise.race([sleep(random.whole(50, 900)), running]);
    await server.process.end('SIGKILL');
    server = startServer(t, dir, env);
    await server.api;
  }
  over = true;
  await running;
  await Promise.all(clients.map((one) => one.end()));

  const { requests, lost, missing, halves, disorder } = await pagesArrived(
    telegram,
    telegram.botId,
    clients,
    DELIVERED_MS,
  );
  const stats = await telegram.stats();
  t.same(
    { missing, halves },
    { missing: 0, halves: 0 },
    `${requests} requests: each 202 in full, others or not at all`,
  );
  t.same({ disorder, outOfOrder: stats.outOfOrder }, { disorder: 0, outOfOrder: 0 }, 'in order in each chat');
  t.ok(stats.duplicates <= KILLS * CONCURRENCY, `${stats.duplicates} messages repeated by ${KILLS} kills`);
  const keys = clients.filter((_, i) => i % 2 === 0).flatMap((one) => one.posted);
  t.ok(
    keys.every(({ outcome }) => outcome === 'accepted'),
    'with an Idempotency-Key each request is accepted in the end',
  );
  t.comment(`${requests} requests, ${lost} without an answer, ${stats.distinct} messages`);
});
