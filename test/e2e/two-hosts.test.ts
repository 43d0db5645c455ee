import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { eventually } from '../support/eventually.js';
import { startLocalTelegramProcess } from '../support/local-telegram.js';
import { hostsCanBeApart, otherHost } from '../support/other-host.js';
import { posthornApi } from '../support/posthorn-api.js';
import type { PosthornProcess } from '../support/posthorn-process.js';
import { broadcastDone, serverEnv } from '../support/posthorn-server.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const KILLS = IS_LONG ? 10 : 2;
const CONCURRENCY = 16;
const PEOPLE = IS_LONG ? 3_000 : 750;
const ROLES = ['web', 'bot', 'sender', 'scheduler'] as const;
const MOMENT_MS = 90_000;
const POST_MS = 150;

t.setTimeout(IS_LONG ? 1_800_000 : 400_000);

t.test('two installations with all roles apart share two bots and take over from each other', async (t) => {
  const dir = t.testdir({ a: {}, b: {} });
  const apart = hostsCanBeApart(dir);
  if (!apart) t.comment('this system allows no pid namespaces (unshare): both installations are on one host');
  const telegram = await startLocalTelegramProcess(t, dir);
  const second = await telegram.bot();
  const common = {
    ...serverEnv(t, dir),
    ...telegram.env,
    SECRET_KEY: 'shared by both installations, 32+',
    SEND_CONCURRENCY: String(CONCURRENCY),
  };
  // The first installation hosts the store that both stand on; its own processes find it by their directory.
  const first = { name: 'first-host', dir: join(dir, 'a'), env: { ...common, DATA_DIR: join(dir, 'a/data') } };
  const local = otherHost(t, apart, first).start(['start', 'local']);
  const storeUri = 'MONGODB_URI' in common ? String(common.MONGODB_URI) : await local.line('local store ');
  const other = {
    name: 'second-host',
    dir: join(dir, 'b'),
    env: { ...common, DATA_DIR: join(dir, 'b/data'), MONGODB_URI: storeUri },
  };
  const hosts = [otherHost(t, apart, first), otherHost(t, apart, other)];
  const all = hosts.map((host) => new Map(ROLES.map((role) => [role as string, host.start(['start', role])] as const)));
  const of = (host: number, role: string) => all[host]?.get(role) as PosthornProcess;
  const [urlA, urlB] = [await of(0, 'web').ready(), await of(1, 'web').ready()];
  await Promise.all(all.flatMap((roles) => [...roles.values()].map((one) => one.ready())));
  const apis = [posthornApi(urlA), posthornApi(urlB)] as const;

  t.match(await apis[1].call('POST', '/api/bots', { token: second.token }), { status: 200 }, 'added on the one host');
  /** The name of the host whose process sends for this bot. */
  const sender = async (bot: number) => {
    const { body } = await apis[0].call('GET', '/api/bots');
    const found = (body as { items: { id: string; sender?: { host: string } }[] }).items.find(
      ({ id }) => id === String(bot),
    );
    return found?.sender?.host;
  };
  await eventually('taken up by a sender', MOMENT_MS, async () => (await sender(second.id)) !== undefined);
  const people = await telegram.people(2 * PEOPLE);
  const [ours, theirs] = [people.slice(0, PEOPLE), people.slice(PEOPLE)];
  await apis[0].importPeople(ours);
  const lines = theirs.map((chatId) => `${JSON.stringify({ chatId, botId: String(second.id) })}\n`).join('');
  const imported = await apis[1].call('POST', '/api/users/import', lines, { 'content-type': 'application/x-ndjson' });
  t.match(imported, { status: 200, body: { imported: PEOPLE } });
  await telegram.reset();

  const ids = [
    await apis[1].broadcast({ text: '#1 by the first bot' }),
    await apis[0].broadcast({ text: '#1 by the second bot', botId: String(second.id) }),
  ];
  // Messages flow by both hosts, too: each person of the first bot may get one.
  let posted = 0;
  const until = new AbortController();
  const posting = (async () => {
    for (let i = 0; i < ours.length && !until.signal.aborted; i += 1) {
      const chatId = ours[ours.length - 1 - i] ?? 0;
      const { status } = await (apis[i % 2] as (typeof apis)[0]).call('POST', '/api/send_messages', {
        messages: [{ chatId, text: `#2 note ${i}` }],
      });
      if (status !== 202) throw new Error(`answered ${status}`);
      posted += 1;
      await sleep(POST_MS);
    }
  })();
  posting.catch(() => undefined);

  const gaps: number[] = [];
  const bots = [telegram.botId, second.id];
  const sentBy = async (bot: number) => (await apis[0].showBroadcast(ids[bots.indexOf(bot)] ?? '')).sent;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const bot = bots[kill % bots.length] ?? 0;
    const before = await sentBy(bot);
    await eventually('the bot sends', MOMENT_MS, async () => (await sentBy(bot)) >= before + 40);
    const name = await sender(bot);
    const host = apart ? hosts.findIndex((one) => one.name === name) : kill % 2;
    const killed = await of(host, 'sender').end('SIGKILL');
    t.not(killed.code, 0, 'killed');
    const killedAt = performance.now();
    await sleep(500); // what it had written last is written
    const then = await sentBy(bot);
    await eventually('the bot sends again', MOMENT_MS, async () => (await sentBy(bot)) > then);
    gaps.push(performance.now() - killedAt);
    if (apart) t.not(await sender(bot), name, 'the other host has taken over');
    all[host]?.set('sender', (hosts[host] as (typeof hosts)[0]).start(['start', 'sender']));
    await of(host, 'sender').ready();
  }
  until.abort();
  await posting;
  for (const [i, id] of ids.entries()) {
    const { sent, total, dead, unknown } = await broadcastDone(apis[i % 2] as (typeof apis)[0], id, 3 * MOMENT_MS);
    t.same({ sent, total, dead, unknown }, { sent: PEOPLE, total: PEOPLE, dead: 0, unknown: 0 });
  }
  const wanted = 2 * PEOPLE + posted;
  await eventually('everything arrives', MOMENT_MS, async () => (await telegram.stats()).distinct === wanted);
  const { distinct, duplicates, tooMany } = await telegram.stats();
  t.same({ distinct, tooMany }, { distinct: wanted, tooMany: 0 }, 'nothing is lost, nothing was too much');
  t.ok(duplicates <= KILLS * 2 * CONCURRENCY, `${duplicates} repeated by ${KILLS} kills`);
  t.comment(`sending again after ${gaps.map((ms) => `${(ms / 1_000).toFixed(1)} s`).join(', ')}; ${posted} posted`);

  const ends = await Promise.all(
    [...all.flatMap((roles) => [...roles.values()]), local].map((one) => one.end('SIGTERM')),
  );
  t.same(
    ends,
    ends.map(() => ({ code: 0, signal: null })),
  );
});
