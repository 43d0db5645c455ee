import { copyFile, cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { eventually } from '../support/eventually.js';
import { type LocalTelegramControl, startLocalTelegramProcess } from '../support/local-telegram.js';
import { posthornApi } from '../support/posthorn-api.js';
import { MAIN, type PosthornProcess, REPOSITORY, startProcess } from '../support/posthorn-process.js';
import { broadcastDone, serverEnv, startServer } from '../support/posthorn-server.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const CONCURRENCY = 16;
const SHUTDOWN_MS = 10_000;
const MOMENT_MS = 60_000;
const DONE_MS = 180_000;
const UNLIMITED = { SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: String(CONCURRENCY) };

t.setTimeout(IS_LONG ? 900_000 : 240_000);

/** Resolves once the local Telegram has taken so many texts. */
const taken = (telegram: LocalTelegramControl, count: number) =>
  eventually(`${count} messages`, MOMENT_MS, async () => (await telegram.stats()).distinct >= count, 20);

/** Posts one numbered message after the other to one chat until the server refuses or is gone; answers the number of the last 202. */
async function postUntilTheEnd(url: string, chatId: number, first: number): Promise<number> {
  const api = posthornApi(url);
  for (let n = first; ; n += 1) {
    try {
      const { status } = await api.call('POST', '/api/send_messages', { messages: [{ chatId, text: `#${n} note` }] });
      if (status !== 202) return n - 1;
    } catch {
      return n - 1;
    }
    await sleep(10);
  }
}

/** What a clone is after a build, without its sources: so that `npm start` starts the build that the other tests run. */
async function builtClone(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'posthorn-clone-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await copyFile(join(REPOSITORY, 'package.json'), join(folder, 'package.json'));
  await cp(join(REPOSITORY, 'scripts'), join(folder, 'scripts'), { recursive: true }); // by its real path it finds its root
  await symlink(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
  await symlink(dirname(MAIN), join(folder, 'dist'));
  return folder;
}

t.test('kill -TERM under load, to the server and to npm start: exit 0 in time, nothing lost or repeated', async (t) => {
  const people = IS_LONG ? 3_000 : 900;
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, dir);
  await telegram.faults({ limits: 'off', latencyMs: 50 });
  const chats = await telegram.people(people);
  // Who gets messages by chat id is no subscriber, so that the numbers do not meet those of the broadcast.
  const [noted = 0] = await telegram.people(1);
  const env = { ...telegram.env, ...UNLIMITED, SHUTDOWN_MS: String(SHUTDOWN_MS) };

  async function terminate(process: PosthornProcess, url: string, n: number): Promise<number> {
    const posting = postUntilTheEnd(url, noted, n);
    await sleep(300);
    const began = performance.now();
    const end = await process.end('SIGTERM');
    const tookMs = performance.now() - began;
    t.same(end, { code: 0, signal: null }, `exit 0 after ${Math.round(tookMs)} ms`);
    t.ok(tookMs < SHUTDOWN_MS + 2_000, 'within SHUTDOWN_MS');
    return posting;
  }

  const first = startServer(t, dir, env);
  const api = await first.api;
  await api.importPeople(chats);
  const id = await api.broadcast({ text: '#1 through two ends' });
  await taken(telegram, people * 0.2);
  let last = await terminate(first.process, await first.process.ready(), 1);

  const npm = startProcess(t, {
    command: ['npm', 'start'],
    args: [],
    cwd: await builtClone(t),
    env: { HOME: dir, npm_config_update_notifier: 'false', ...serverEnv(t, dir), ...env },
  });
  const url = await npm.ready();
  await taken(telegram, people * 0.5);
  t.ok((await telegram.stats()).distinct < people, 'the second end comes in the middle too');
  last = await terminate(npm, url, last + 1);

  const third = await startServer(t, dir, env).api;
  const { sent, unknown, dead } = await broadcastDone(third, id, DONE_MS);
  t.same({ sent, unknown, dead }, { sent: people, unknown: 0, dead: 0 });
  await eventually('all that was accepted', DONE_MS, async () => (await telegram.stats()).distinct >= people + last);
  const stats = await telegram.stats();
  t.ok(last > 2, `${last} messages were accepted beside the broadcast`);
  t.same(
    { distinct: stats.distinct, duplicates: stats.duplicates, outOfOrder: stats.outOfOrder },
    { distinct: people + last, duplicates: 0, outOfOrder: 0 },
  );
});

t.test('Telegram is away in the middle of a broadcast: no dead letters, all delivered in order', async (t) => {
  const people = 1_000;
  const awayMs = IS_LONG ? 60_000 : 6_000;
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, dir);
  await telegram.faults({ limits: 'off', latencyMs: 20 });
  const server = startServer(t, dir, { ...telegram.env, ...UNLIMITED });
  const api = await server.api;
  await api.importPeople(await telegram.people(people));
  const ids = [await api.broadcast({ text: '#1 before' }), await api.broadcast({ text: '#2 behind' })];
  await taken(telegram, people * 0.4);
  await telegram.kill();
  await sleep(awayMs);
  const { status } = await api.call('GET', '/health/ready');
  t.equal(status, 200, 'the server stays ready (degraded)');
  await telegram.again();
  for (const id of ids) {
    const { sent, blocked, dead, unknown } = await broadcastDone(api, id, DONE_MS);
    t.same({ sent, blocked, dead, unknown }, { sent: people, blocked: 0, dead: 0, unknown: 0 });
  }
  const stats = await telegram.stats();
  t.same({ distinct: stats.distinct, outOfOrder: stats.outOfOrder }, { distinct: 2 * people, outOfOrder: 0 });
  t.ok(stats.duplicates <= CONCURRENCY, `${stats.duplicates} repeated: taken, and the answer was lost`);
  t.ok(server.process.running, 'the server was never restarted');
});
