import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { eventually } from '../support/eventually.js';
import { startLocalTelegramProcess } from '../support/local-telegram.js';
import type { PosthornApi } from '../support/posthorn-api.js';
import { startProcess } from '../support/posthorn-process.js';
import { serverEnv, startServer } from '../support/posthorn-server.js';
import { seededRandom } from '../support/seeded-random.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const KILLS = IS_LONG ? 50 : 5;
const PEOPLE = 400;
const WAIT_MS = 60_000;

t.setTimeout(IS_LONG ? 1_800_000 : 240_000);

interface Health {
  readonly checks: { readonly queues: { readonly status: string; readonly detail?: string } };
}

const queues = async (api: PosthornApi) => ((await api.call('GET', '/health/ready')).body as Health).checks.queues;

t.test(
  'messages die, are replayed once through kills of the command, arrive once each, and are exported',
  async (t) => {
    const random = seededRandom(t);
    const dir = t.testdir();
    const telegram = await startLocalTelegramProcess(t, dir);
    const people = await telegram.people(PEOPLE);
    const env = { ...telegram.env, SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: String(PEOPLE) };
    const server = startServer(t, dir, env);
    const api = await server.api;
    const command = (...args: string[]) => startProcess(t, { args, cwd: dir, env: { ...serverEnv(t, dir), ...env } });
    /** Runs a command to its end and answers its exit code and outputs. */
    const run = async (...args: string[]) => {
      const process = command(...args);
      const { code } = await process.ended();
      return { code, out: process.stdout(), err: process.stderr() };
    };

    // Telegram answers 500 to all that is called; at-most-once calls are never repeated, so each that was called is in doubt.
    await telegram.faults({ limits: 'off', errorShare: 1 });
    const messages = people.map((chatId, index) => ({ chatId, text: `#1 to ${index}`, class: 'at-most-once' }));
    const accepted = await api.call('POST', '/api/send_messages', { messages });
    const { ids } = accepted.body as { ids: string[] };
    t.equal(ids.length, PEOPLE);
    await eventually('more than 10 dead letters', WAIT_MS, async () => {
      const { body } = await api.call('GET', '/admin/dlq/deliveries?limit=1000');
      return (body as { items: unknown[] }).items.length > 10;
    });
    await eventually('the flag in health', WAIT_MS, async () => (await queues(api)).status === 'degraded');
    t.match(await queues(api), { detail: /^deliveries: \d+ dead letters wait/ });
    t.match(server.process.stderr(), /dead letters wait: see posthorn dlq list/);

    // The cause is gone: what was not called yet is sent now, the rest waits for the operator.
    await telegram.faults({ errorShare: 0 });
    await eventually('all settled', WAIT_MS, async () => {
      const { body } = await api.call('GET', '/api/deliveries?limit=1000');
      const { items } = body as { items: { state: string }[] };
      return items.every(({ state }) => state !== 'queued' && state !== 'attempting');
    });
    const listed = await run('dlq', 'list', 'deliveries', '--limit', '1000', '--json');
    t.equal(listed.code, 0, listed.err);
    const letters = (JSON.parse(listed.out) as { items: { id: string; state: string; outcome: string }[] }).items;
    const dead = letters.map(({ id }) => id);
    t.ok(dead.length > 10 && dead.every((id) => ids.includes(id)));
    t.ok(letters.every(({ state, outcome }) => state === 'waiting' && outcome === 'unknown'));
    t.equal((await telegram.stats()).distinct, PEOPLE - dead.length, 'nothing of them has arrived');

    for (let kill = 0; kill < KILLS; kill += 1) {
      const replay = command('dlq', 'replay', 'deliveries', '--all');
      await Promise.race([sleep(random.whole(300, 1_200)), replay.ended()]);
      if (replay.running) await replay.end('SIGKILL');
    }
    // Two at once finish it, each counts its own.
    const [one, two] = await Promise.all([
      run('dlq', 'replay', 'deliveries', '--all'),
      run('dlq', 'replay', 'deliveries', '--filter', '{"since":"2020-01-01"}'),
    ]);
    t.match(
      [one, two],
      [
        { code: 0, out: /^replayed \d+\n$/ },
        { code: 0, out: /^replayed \d+\n$/ },
      ],
      `${one.err}${two.err}`,
    );
    const stats = await eventually('everyone has the message', WAIT_MS, async () => {
      const now = await telegram.stats();
      return now.distinct === PEOPLE ? now : undefined;
    });
    t.equal(stats.duplicates, 0, 'nobody has it twice');
    await eventually('the flag is gone', WAIT_MS, async () => (await queues(api)).status === 'ok');

    const again = await run('dlq', 'replay', 'deliveries', dead[0] ?? '');
    t.match(again, { code: 1, err: /PH_DEAD_LETTER_NOT_WAITING[\s\S]*was replayed as / });
    const sent = ids.find((id) => !dead.includes(id));
    if (sent !== undefined)
      t.match(await run('dlq', 'replay', 'deliveries', sent), { code: 1, err: /PH_DELIVERY_NOT_DEAD/ });
    t.match(await run('dlq', 'replay', 'deliveries', 'none'), { code: 1, err: /PH_DEAD_LETTER_NOT_FOUND/ });
    const shown = await run('dlq', 'show', 'deliveries', dead[0] ?? '', '--json');
    t.match(JSON.parse(shown.out), { id: dead[0], state: 'replayed', message: { text: /^#1 to \d+$/ } });

    const exported = await run('deliveries', 'export', '--format', 'ndjson');
    t.equal(exported.code, 0, exported.err);
    const rows = exported.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { state: string; chatId: number });
    t.equal(rows.length, PEOPLE + dead.length, 'the messages and their replays');
    const arrived = rows.filter(({ state }) => state === 'sent').map(({ chatId }) => chatId);
    t.same(
      arrived.sort((a, b) => a - b),
      people.toSorted((a, b) => a - b),
      'sent to each exactly once',
    );
    t.equal(rows.filter(({ state }) => state === 'unknown').length, dead.length);
    const csv = await run('deliveries', 'export', '--state', 'unknown');
    t.equal(csv.out.split('\r\n').length, dead.length + 2, 'a header, the lines, and the last line end');
    t.ok(server.process.running);
  },
);
