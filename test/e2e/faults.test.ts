import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { TreeNode } from '../../src/actors/runtime.js';
import { DEFAULT_POLICY } from '../../src/actors/supervision.js';
import { parseConfig } from '../../src/config.js';
import { features } from '../../src/features.js';
import { startLocalTelegram } from '../../src/local/telegram/server.js';
import { silentLog } from '../../src/log.js';
import { posthornSystem } from '../../src/system.js';
import { eventually } from '../support/eventually.js';
import { API_KEY, posthornApi } from '../support/posthorn-api.js';
import { freePort } from '../support/posthorn-process.js';
import { broadcastDone } from '../support/posthorn-server.js';
import { testStores } from '../support/test-store.js';

const PEOPLE = process.env.POSTHORN_TEST_LONG === undefined ? 1_500 : 10_000;
const ROUNDS = process.env.POSTHORN_TEST_LONG === undefined ? 1 : 3;
const RESTART_MS = 30_000;
const DONE_MS = 120_000;
/** Between two faults, so that each falls into the sending. */
const PROGRESS = 40;

const { budget } = DEFAULT_POLICY;

t.setTimeout(240_000);

const stores = await testStores(t);

/** A whole server in this process, with its stand-ins. */
async function wholeSystem(t: Test) {
  const dataDir = await mkdtemp(join(tmpdir(), 'posthorn-faults-'));
  const env = { DATA_DIR: dataDir, PORT: '0', SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: '16' };
  const local = await startLocalTelegram({ dataDir, port: await freePort() });
  const { store } = await stores.fresh(t);
  const system = posthornSystem({
    config: parseConfig(env),
    roles: ['web', 'bot', 'sender', 'scheduler'],
    features,
    apiKey: API_KEY,
    log: silentLog,
  });
  let failure: Error | undefined;
  system.actors.onFailure((error) => {
    failure = error;
  });
  t.teardown(async () => {
    await system.stop();
    await local.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  const port = await system.listen();
  const telegram = local.control;
  const [{ id: botId, token } = { id: 0, token: '' }] = telegram.bots();
  await system.run({ store, apiRoot: local.url, token, secretKey: 'x'.repeat(43) });
  await system.ready();
  return { system, telegram, botId, api: posthornApi(`http://127.0.0.1:${port}`), failure: () => failure };
}

/** The node of a path below the root. */
function nodeAt(root: TreeNode, path: string): TreeNode | undefined {
  return path
    .split('/')
    .reduce<TreeNode | undefined>((node, name) => node?.children.find((child) => child.name === name), root);
}

const isUp = (node: TreeNode): boolean => node.state === 'running' && node.children.every(isUp);

/** Throws a fault into each of `paths`, one after the other, each in the middle of the sending; waits until all is up again. */
async function injectEach(t: Test, { system, telegram }: Awaited<ReturnType<typeof wholeSystem>>, paths: string[]) {
  const thrown = new Map<string, number[]>();
  for (const path of paths) {
    // A supervisor parks what fails more often than its budget allows, which is another matter.
    const times = thrown.get(dirname(path)) ?? [];
    await sleep((times.at(-budget.restarts) ?? Number.NEGATIVE_INFINITY) + budget.withinMs + 500 - performance.now());
    const before = telegram.stats().distinct;
    const isGoingOn = async () => telegram.stats().distinct >= before + PROGRESS;
    await eventually(`progress before ${path}`, RESTART_MS, isGoingOn, 10);
    const { restarts = 0 } = nodeAt(system.actors.tree(), path) ?? {};
    t.ok(system.actors.exit(path, new Error('injected')), `a fault is thrown into ${path}`);
    thrown.set(dirname(path), [...times, performance.now()]);
    await eventually(`the restart of ${path}`, RESTART_MS, async () => {
      const tree = system.actors.tree();
      const node = nodeAt(tree, path);
      return node !== undefined && node.restarts > restarts && isUp(tree);
    });
    t.match(nodeAt(system.actors.tree(), path)?.lastError, 'injected', `the tree shows the fault of ${path}`);
  }
}

/** The paths of a bot's actors. */
function pathsOf(botId: number) {
  const bot = `core/app/bots/bot:${botId}`;
  const pool = `${bot}/sender-pool`;
  return { bot: `${bot}/bot`, ingress: `${bot}/ingress`, pool, sender: (shard: number) => `${pool}/sender:${shard}` };
}

t.test('a fault in each kind of actor while a broadcast runs: it ends right, nothing is repeated', async (t) => {
  const world = await wholeSystem(t);
  const { telegram, botId, api, failure } = world;
  telegram.faults({ limits: 'off', latencyMs: 40 });
  const ids = telegram.people(PEOPLE);
  const [person = 0] = ids;
  await api.importPeople(ids);
  const broadcast = await api.broadcast({ text: '#1 through faults' });

  const { bot, ingress, pool, sender } = pathsOf(botId);
  const paths = ['http', sender(0), ingress, sender(1), bot, pool, 'core/store', sender(2), sender(3)];
  await injectEach(t, world, Array.from({ length: ROUNDS }, () => paths).flat());
  t.ok(telegram.stats().distinct < PEOPLE, 'all of them came while it ran');
  telegram.write(person, botId, '/status');

  const { sent, total, blocked, dead, unknown } = await broadcastDone(api, broadcast, DONE_MS);
  t.same({ sent, total, blocked, dead, unknown }, { sent: PEOPLE, total: PEOPLE, blocked: 0, dead: 0, unknown: 0 });
  const stats = telegram.stats();
  t.same({ distinct: stats.distinct, duplicates: stats.duplicates }, { distinct: PEOPLE, duplicates: 0 });
  const isAnswered = async () => telegram.messages(botId, person).some(({ text }) => /subscribed/i.test(text ?? ''));
  t.ok(await eventually('the answer to /status', RESTART_MS, isAnswered), 'the bot answers as before');
  const shown = await eventually('the restarts in the API', RESTART_MS, async () => {
    const { body } = await api.call('GET', '/api/system/tree');
    const [process] = (body as { processes: { root: TreeNode }[] }).processes;
    const node = process === undefined ? undefined : nodeAt(process.root, pool);
    return (node?.restarts ?? 0) > 0 && node;
  });
  t.equal(shown.name, 'sender-pool', 'HTTP serves at the same address, and shows the restarts');
  t.equal(failure(), undefined, 'the root never failed');
});

t.test('faults in the sending of an at-most-once broadcast: every end is known, since the process lives', async (t) => {
  const people = PEOPLE / 2;
  const world = await wholeSystem(t);
  const { telegram, botId, api } = world;
  telegram.faults({ limits: 'off', latencyMs: 40 });
  await api.importPeople(telegram.people(people));
  const broadcast = await api.broadcast({ text: '#1 once', class: 'at-most-once' });
  const { pool, sender } = pathsOf(botId);
  await injectEach(t, world, [sender(0), pool, sender(3), pool]);
  const { sent, total, unknown } = await broadcastDone(api, broadcast, DONE_MS);
  t.same({ sent, total, unknown }, { sent: people, total: people, unknown: 0 });
  const stats = telegram.stats();
  t.same({ distinct: stats.distinct, duplicates: stats.duplicates }, { distinct: people, duplicates: 0 });
});
