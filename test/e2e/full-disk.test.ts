import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { request } from 'undici';
import { eventually } from '../support/eventually.js';
import { GIVEN_SERVER } from '../support/given-server.js';
import { startLocalTelegramProcess } from '../support/local-telegram.js';
import { posthornApi } from '../support/posthorn-api.js';
import { freePort, startProcess } from '../support/posthorn-process.js';
import { serverEnv, startServer } from '../support/posthorn-server.js';
import { missingMessages, postingClient } from '../support/posting-client.js';
import { seededRandom } from '../support/seeded-random.js';
import { mountSmallDisk } from '../support/small-disk.js';
import { storeWalk } from '../support/store-walk.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const KILLS = IS_LONG ? 12 : 2;
const CLIENTS = 3;
const CHATS_A_CLIENT = IS_LONG ? 300 : 90;
const CONCURRENCY = 16;
const DISK_MB = 24;
const MOMENT_MS = 60_000;
const DELIVERED_MS = 120_000;

t.setTimeout(IS_LONG ? 900_000 : 240_000);

const skip = GIVEN_SERVER !== undefined && 'the store of this run has no disk of ours to fill';

/** What /health/ready answers: the status of HTTP, and of its check of the store. */
async function readiness(url: string): Promise<{ status: number; store: { status: string; detail?: string } }> {
  const { statusCode, body } = await request(`${url}/health/ready`);
  const { checks } = (await body.json()) as { checks: { store: { status: string; detail?: string } } };
  return { status: statusCode, store: checks.store };
}

/** Resolves when /health/ready says that the store is full. */
const unready = (url: string) =>
  eventually('unready since the store is full', MOMENT_MS, async () => {
    const { status, store } = await readiness(url);
    return status === 503 && store.status === 'down' && /^full\b/.test(store.detail ?? '');
  });

const ready = (url: string) => eventually('ready again', MOMENT_MS, async () => (await readiness(url)).status === 200);

t.test('a full disk makes a server unready until there is room; kills on it lose nothing', { skip }, async (t) => {
  const disk = mountSmallDisk(t, DISK_MB);
  if (disk === undefined) return;
  const random = seededRandom(t);
  const telegram = await startLocalTelegramProcess(t, t.testdir());
  await telegram.faults({ limits: 'off' });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = {
    ...telegram.env,
    PORT: String(port),
    SEND_RATE: '0',
    SEND_CHAT_RATE: '0',
    SEND_CONCURRENCY: String(CONCURRENCY),
  };
  const start = () => startServer(t, disk.path, env);
  let server = start();
  const api = await server.api;
  const chats = await telegram.people(CLIENTS * CHATS_A_CLIENT);
  await api.importPeople(chats);

  let over = false;
  t.teardown(() => {
    over = true;
  });
  const clients = Array.from({ length: CLIENTS }, (_, i) =>
    postingClient(`client-${i}`, url, chats.slice(i * CHATS_A_CLIENT, (i + 1) * CHATS_A_CLIENT), random, () => over),
  );
  const running = Promise.all(clients.map((one) => one.run()));
  const ofEach = async (what: string, figure: (one: (typeof clients)[number]) => number, more: number) => {
    const before = clients.map(figure);
    await Promise.race([
      eventually(`${more} more ${what} of each client`, MOMENT_MS, async () =>
        clients.every((one, i) => figure(one) >= (before[i] ?? 0) + more),
      ),
      running.then(() => Promise.reject(new Error('a client ended'))),
    ]);
  };
  const acceptedByEach = (more: number) => ofEach('messages accepted', ({ accepted }) => accepted.length, more);
  const refusedToEach = (more: number) => ofEach('requests refused', ({ refused }) => refused, more);

  await acceptedByEach(20);
  disk.fill();
  await refusedToEach(2);
  await unready(url);
  t.equal((await request(`${url}/health`)).statusCode, 200, 'it lives');
  const read = await api.call('GET', '/api/users');
  t.equal(read.status, 200, 'reads go on');
  t.ok((read.body as { items: unknown[] }).items.length > 0);
  disk.clear();
  await ready(url);
  await acceptedByEach(10);
  t.ok(server.process.running, 'it was never restarted');

  for (let kill = 0; kill < KILLS; kill += 1) {
    disk.fill();
    await refusedToEach(1);
    await sleep(random.whole(0, 3_000));
    await server.process.end('SIGKILL');
    server = start();
    await unready(url);
    t.notMatch(server.process.stdout(), /posthorn ready/, 'it has started on the full disk, and is not ready');
    t.equal((await request(`${url}/health`)).statusCode, 200, 'it lives');
    await refusedToEach(1);
    disk.clear();
    await server.api;
    await acceptedByEach(random.whole(10, 40));
  }

  disk.fill();
  await unready(url);
  await server.process.end('SIGKILL');
  server = start();
  await unready(url);
  t.same(await server.process.end('SIGTERM'), { code: 0, signal: null }, 'a start that waits for room can be stopped');
  server = start();
  await unready(url);
  disk.clear();
  await server.api;
  await acceptedByEach(10);
  over = true;
  await running;

  t.same(
    clients.flatMap(({ wrong }) => wrong),
    [],
    'each answer was 202, or 503 with Retry-After',
  );
  const accepted = clients.reduce((sum, one) => sum + one.accepted.length, 0);
  await eventually('everything accepted arrives', DELIVERED_MS, async () => {
    const missed = await missingMessages(telegram, telegram.botId, clients);
    if (missed > 0) throw new Error(`${missed} of ${accepted} have not`);
    return true;
  });
  const stats = await telegram.stats();
  t.same({ distinct: stats.distinct, outOfOrder: stats.outOfOrder }, { distinct: accepted, outOfOrder: 0 });
  const ends = KILLS + 2;
  t.ok(stats.duplicates <= ends * CONCURRENCY, `${stats.duplicates} repeated by ${ends} ends`);
  t.comment(
    `${accepted} messages accepted and delivered, ${clients.reduce((sum, one) => sum + one.refused, 0)} requests refused`,
  );
  t.same(await server.process.end('SIGTERM'), { code: 0, signal: null });
  t.match(await storeWalk(t, join(disk.path, 'data')), { status: 'ok' });
});

t.test(
  'nothing configured: a first start without room for its store waits for it, and the next one without any',
  { skip },
  async (t) => {
    const disk = mountSmallDisk(t, DISK_MB);
    if (disk === undefined) return;
    // Less than what the store leaves free of such a disk (an eighth), and enough for what is made once.
    disk.fill(1_500_000);
    const command = startProcess(t, { args: ['broadcasts', 'list'], cwd: disk.path, env: serverEnv(t, disk.path) });
    t.match(await command.ended(), { code: 69 }, 'a command does not wait, it says why');
    t.match(command.stderr(), /^posthorn: The store is full; make room, then try again\. \(PH_STORE_FULL\)$/m);

    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const env = { PORT: String(port), LOCAL_TELEGRAM_PORT: String(await freePort()) };
    const first = startServer(t, disk.path, env);
    await eventually('health', MOMENT_MS, async () => (await request(`${url}/health`)).statusCode === 200);
    await unready(url);
    t.equal((await posthornApi(url).call('GET', '/api/users')).status, 503);
    disk.clear();
    await first.api;
    t.equal((await readiness(url)).status, 200);
    t.equal((await posthornApi(url).call('GET', '/api/users')).status, 200);

    disk.fill();
    await unready(url);
    await first.process.end('SIGKILL');
    const second = startServer(t, disk.path, env);
    await unready(url);
    disk.clear();
    await second.api;
    t.same(await second.process.end('SIGTERM'), { code: 0, signal: null });
  },
);
