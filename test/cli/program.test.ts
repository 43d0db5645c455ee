import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Problem } from '../../src/api/problem.js';
import type { Services } from '../../src/api/services.js';
import { watchBroadcast } from '../../src/cli/broadcast-watch.js';
import { nodeFinding, skewFinding } from '../../src/cli/commands/doctor.js';
import { serverUrl } from '../../src/cli/commands/status.js';
import { table } from '../../src/cli/io.js';
import { nearest } from '../../src/cli/nearest.js';
import { runProgram } from '../../src/cli/program.js';
import { bar, lines, span, withProgress } from '../../src/cli/progress.js';
import { httpServer } from '../../src/http/server.js';
import { silentLog } from '../../src/log.js';
import { ROLES } from '../../src/roles.js';
import type { BroadcastView } from '../../src/store/broadcasts.js';
import { broadcastView, fakeServices } from '../support/fake-services.js';

/** An Io that keeps what is written. */
function capture(isTTY = false) {
  const kept = { out: '', err: '' };
  const sink = (key: 'out' | 'err') => ({
    isTTY,
    columns: 100,
    write: (text: string) => {
      kept[key] += text;
      return true;
    },
  });
  return { kept, io: { stdout: sink('out'), stderr: sink('err') } };
}

/** Runs the program with these words and answers its exit code and texts; `started` holds the roles of a start. */
async function run(t: Test, words: string[], env: Record<string, string> = {}, stdin?: string) {
  const { kept, io } = capture();
  const started: string[] = [];
  async function* input() {
    yield stdin ?? '';
  }
  const exit = await runProgram(
    words,
    { DATA_DIR: join(t.testdirName, 'data'), ...env },
    { ...io, stdin: input() },
    {
      features: ['subscribers'],
      start: async (_config, roles) => {
        started.push(...roles);
        return 7;
      },
    },
  );
  return { exit, out: kept.out, err: kept.err, started };
}

t.test('wrong usage is 64 with the nearest suggestion', async (t) => {
  const wrong: [string[], RegExp][] = [
    [['statu'], /Did you mean status\?/],
    [['brodcast', 'x'], /Did you mean broadcast\?/],
    [['users', 'imprt', 'f'], /Did you mean import\?/],
    [['broadcast', 'x', '--wiat'], /Did you mean --wait\?/],
    [['start', 'sendr'], /did you mean sender\?/],
    [['start', 'everything'], /the roles are web, bot/],
    [['users', 'import'], /missing required argument/],
    [['users', 'import', 'f', '--format', 'xml'], /ndjson, csv/],
    [['status', 'more'], /too many arguments/],
    [['broadcast'], /give the text, or --file/],
    [['broadcast', 'x', '--file', 'f'], /give the text, or --file/],
    [['broadcast', 'x', '--audience', '{tags'], /--audience takes JSON/],
    [['broadcast', 'x', '--class', 'once'], /at-least-once, at-most-once/],
    [['dlq', 'list'], /missing required argument/],
    [['dlq', 'list', 'mail'], /deliveries, updates, jobs/],
    [['dlq', 'replay', 'deliveries'], /by ID, or give --filter JSON or --all/],
    [['dlq', 'replay', 'deliveries', '1-1-0', '--all'], /by ID, or give --filter JSON or --all/],
    [['dlq', 'drop', 'updates', '--filter', '[1]'], /--filter takes a JSON object/],
    [['dlq', 'rply', 'updates'], /Did you mean replay\?/],
    [['deliveries', 'export', '--format', 'xml'], /csv, ndjson/],
    [[], /Usage: posthorn/],
    [['users'], /Usage: posthorn users/],
  ];
  for (const [words, text] of wrong) {
    const { exit, out, err } = await run(t, words);
    t.equal(exit, 64, words.join(' '));
    t.match(err, text);
    t.equal(out, '', 'nothing on standard output');
  }
});

t.test('help and version are no errors', async (t) => {
  t.match(await run(t, ['--help']), { exit: 0, out: /broadcasts/, err: '' });
  t.match(await run(t, ['broadcast', '--help']), { exit: 0, out: /--idempotency-key/ });
  t.match(await run(t, ['--version']), { exit: 0, out: /^\d+\.\d+\.\d+\n$/ });
});

t.test('start hands over its roles and its exit code', async (t) => {
  t.match(await run(t, ['start']), { exit: 7, started: [...ROLES] });
  t.same((await run(t, ['start', 'web', 'sender', 'web'])).started, ['web', 'sender']);
});

t.test('wrong configuration is 78 with one table of all problems', async (t) => {
  const env = { PORT: 'x', SEND_RATE: '-1', BOT_TOKEN: 'secret thing' };
  for (const words of [['start'], ['status'], ['doctor'], ['broadcast', 'x'], ['users', 'import', 'f']]) {
    const { exit, out, err, started } = await run(t, words, env);
    t.equal(exit, 78, words.join(' '));
    t.equal(out, '');
    t.match(err, /PORT[\s\S]*BOT_TOKEN[\s\S]*SEND_RATE|BOT_TOKEN[\s\S]*PORT/);
    t.notMatch(err, /secret thing/);
    t.same(started, []);
  }
  const dir = t.testdir({ file: '' });
  const unusable = await run(t, ['users', 'import', '-'], { DATA_DIR: join(dir, 'file', 'data') });
  t.match(unusable, { exit: 78, err: /data directory.*DATA_DIR/ });
  t.match(await run(t, ['users', 'import', join(dir, 'none.csv')], { DATA_DIR: dir }), {
    exit: 1,
    err: /cannot read .*ENOENT/,
  });
});

t.test('status asks the running server', async (t) => {
  const down = new Set<string>();
  const { services } = fakeServices();
  const server = httpServer({
    apiKey: 'k',
    services: () => services,
    draining: () => false,
    now: () => 0,
    startedAt: 0,
    log: silentLog,
    host: '127.0.0.1',
    port: 0,
    readiness: () => ({
      status: down.size > 0 ? 'down' : 'ready',
      checks: { store: { status: down.size > 0 ? 'down' : 'ok', detail: 'x' } },
    }),
  });
  const { port } = await server.listen();
  t.teardown(() => server.close(0));
  const env = { PORT: String(port), API_KEY: 'k' };
  t.match(await run(t, ['status'], env), { exit: 0, out: /posthorn ready http:[\s\S]*store +ok[\s\S]*web sender/ });
  const { exit, out } = await run(t, ['status', '--json'], env);
  t.equal(exit, 0);
  t.match(JSON.parse(out), {
    status: 'ready',
    checks: { store: { status: 'ok' } },
    processes: [{ host: 'h', pid: 1 }],
  });
  t.match(await run(t, ['status'], { ...env, API_KEY: 'wrong' }), { exit: 0, out: /API_KEY is wrong/ });
  down.add('store');
  t.match(await run(t, ['status'], env), { exit: 1, out: /posthorn down/ });
  await server.close();
  t.match(await run(t, ['status'], env), {
    exit: 69,
    out: '',
    err: new RegExp(`no server answers at http://127.0.0.1:${port}`),
  });
  t.equal(serverUrl({ host: '0.0.0.0', port: 1 }), 'http://127.0.0.1:1');
  t.equal(serverUrl({ host: '::', port: 1 }), 'http://[::1]:1');
  t.equal(serverUrl({ host: 'fe80::1', port: 1 }), 'http://[fe80::1]:1');
});

/** A watch over views that follow one another by time, on a clock that only moves by waiting. */
async function watched(views: (at: number) => BroadcastView | Error, sender: (at: number) => boolean) {
  let at = 0;
  const shown: string[] = [];
  const services: Services = fakeServices({
    findBroadcast: async () => {
      const view = views(at);
      if (view instanceof Error) throw view;
      return view;
    },
    processes: async () =>
      sender(at)
        ? [{ host: 'h', pid: 1, roles: ['sender'], root: {} }]
        : [{ host: 'h', pid: 2, roles: ['web'], root: {} }],
  }).services;
  const clock = {
    now: () => at,
    sleep: async (ms: number) => {
      at += ms;
    },
  };
  const result = await watchBroadcast(services, '1-3', clock, (text) => shown.push(text)).catch(
    (error: unknown) => error,
  );
  return { at, shown, result };
}

t.test('a watch follows a broadcast to its end, or says that nobody sends', async (t) => {
  const done = broadcastView({ state: 'done', sent: 9, blocked: 1, remaining: 0 });
  const going = broadcastView({ sent: 4, blocked: 1, remaining: 5, ratePerSecond: 2, etaMs: 2_500 });
  const normal = await watched(
    (at) => (at < 3_000 ? going : done),
    () => true,
  );
  t.match(normal, { at: 3_000, result: { end: 'over', view: { state: 'done' } } });
  t.equal(normal.shown[0], 'sent 4 of 10 · blocked 1 · 2.0/s · ETA 0:03');
  t.match(
    await watched(
      () => done,
      () => false,
    ),
    { at: 0, result: { end: 'over' } },
    'one that is over needs no sender',
  );
  const nobody = await watched(
    () => going,
    () => false,
  );
  t.match(nobody.result, { end: 'no-sender', view: { sent: 4 } });
  t.ok(nobody.at >= 5_000 && nobody.at <= 20_000, `gives up after ${nobody.at} ms`);
  const killed = await watched(
    () => going,
    (at) => at < 15_000,
  );
  t.match(killed.result, { end: 'no-sender' });
  t.ok(killed.at >= 15_000 && killed.at <= 25_000);
  const restarted = await watched(
    (at) => (at < 40_000 ? going : done),
    (at) => at < 10_000 || at > 13_000,
  );
  t.match(restarted.result, { end: 'over' }, 'a sender that comes back soon is waited for');
  const away = new Problem({ status: 503, code: 'PH_STORE_AWAY' });
  t.match(
    (
      await watched(
        (at) => (at > 1_000 && at < 30_000 ? away : at < 40_000 ? going : done),
        () => true,
      )
    ).result,
    { end: 'over' },
  );
  t.match(
    (
      await watched(
        (at) => (at > 1_000 ? away : going),
        () => true,
      )
    ).result,
    { code: 'PH_STORE_AWAY' },
  );
  const cancelled = { state: 'cancelled', sent: 4, cancelled: 2 } as const;
  const stopped = await watched(
    (at) => broadcastView(at < 2_000 ? { ...cancelled, remaining: 4 } : { ...cancelled, skipped: 4, finishedAt: 'x' }),
    () => true,
  );
  t.match(stopped.result, { end: 'over', view: { state: 'cancelled', skipped: 4 } });
  t.ok(stopped.at >= 2_000, 'not before its counts are final');
  t.equal(stopped.shown[0], 'sent 4 of 10 · cancelled 2 · cancelled');
  const gone = await watched(
    () => new TypeError('a bug'),
    () => true,
  );
  t.match(gone, { at: 0, result: TypeError });
});

t.test('progress: lines without a terminal, a bar on one', async (t) => {
  let at = 0;
  const { kept, io } = capture();
  const show = lines(io.stderr, () => at);
  for (let done = 0; done <= 100; done += 1, at += 10) show(`${done} done`, done / 100);
  t.same(kept.err.split('\n').slice(0, 3), ['0 done (0 %)', '10 done (10 %)', '20 done (20 %)']);
  t.equal(kept.err.trim().split('\n').length, 11, 'one each tenth');
  const slow = capture();
  const showSlow = lines(slow.io.stderr, () => at);
  for (let step = 0; step < 20; step += 1, at += 1_000) showSlow(`step ${step}`, undefined);
  t.equal(slow.kept.err.trim().split('\n').length, 4, 'one each 5 s');

  const screen = capture(true);
  const value = await withProgress(
    screen.io,
    'title of it',
    () => 0,
    async (step) => {
      step('half of it', 0.5);
      await new Promise((resolve) => setTimeout(resolve, 150)); // the terminal is drawn on a timer of listr2's own
      return 5;
    },
  );
  t.equal(value, 5);
  t.match(screen.kept.err, /title of it/);
  t.match(screen.kept.err, /█{12}░{12} 50 % half of it/);
  t.notMatch(screen.kept.err, '\u001b[?25l', 'the cursor is never hidden');
  t.equal(screen.kept.out, '');
  const error = new Error('no');
  await t.rejects(
    withProgress(
      screen.io,
      'x',
      () => 0,
      async () => Promise.reject(error),
    ),
    error,
  );
  t.equal(bar(undefined), '');
  t.match(bar(2), /^█{24} 100 %/);
  t.same([0, 23_000, 61_000, 3_600_000 * 2 + 5_000].map(span), ['0:00', '0:23', '1:01', '2:00:05']);
});

t.test('small parts', async (t) => {
  t.equal(nearest('schedular', ROLES), 'scheduler');
  t.equal(nearest('wbe', ROLES), 'web');
  t.equal(nearest('xyz', ROLES), undefined);
  t.equal(
    table([
      ['a', 'bbb', ''],
      ['cc', 'd', 'e'],
    ]),
    'a   bbb\ncc  d    e',
  );
  t.same(
    ['20.18.9', '20.19.0', '22.0.0', '18.20.0'].map((version) => nodeFinding(version).status),
    ['failed', 'ok', 'ok', 'failed'],
  );
  t.equal(skewFinding('x', 0, 2_900).status, 'ok');
  t.match(skewFinding('x', 5_000, 0), { status: 'notice', detail: /-5000 ms/ });
});

t.test('users import and broadcast on the embedded store, which each command opens and closes', async (t) => {
  const dir = t.testdir();
  const env = { DATA_DIR: join(dir, 'data'), BOT_TOKEN: '42:test', TELEGRAM_API_ROOT: 'http://127.0.0.1:9' };
  const none = await run(t, ['broadcast', 'x'], env);
  t.match(none, { exit: 69, err: /PH_BOT_NONE/ }, 'before a server ever ran there is no bot');
  await writeFile(join(dir, 'people.csv'), 'chatId,firstName\n1,A\n2,B\n');
  t.match(await run(t, ['migrate'], env), { exit: 0, out: /chats/ });
  t.match(await run(t, ['broadcasts', 'list', '--json'], env), { exit: 0, out: /"items"/ });
  t.match(await run(t, ['broadcasts', 'show', 'none'], env), { exit: 1, err: /PH_BROADCAST_NOT_FOUND/ });
  t.match(await run(t, ['broadcasts', 'cancel', 'none'], env), { exit: 1, err: /PH_BROADCAST_NOT_FOUND/ });
  t.match(await run(t, ['broadcasts', 'pause'], env), { exit: 64, err: /id/ });
  t.match(await run(t, ['broadcasts', 'list', '--limit', '0'], env), { exit: 64, err: /limit: expected/ });
  const doctor = await run(t, ['doctor', '--json'], env);
  t.equal(doctor.exit, 69, 'no Telegram answers at that address');
  t.match(JSON.parse(doctor.out), {
    ok: false,
    checks: [
      { check: 'node', status: 'ok' },
      { check: 'configuration' },
      { check: 'data directory', status: 'ok' },
      { check: 'disk' },
    ],
  });
  t.match(doctor.out, /"check": "store",\s+"status": "ok"/);
  t.match(doctor.out, /"check": "replica set",\s+"status": "notice"/);
});

t.test('dead letters and deliveries on the embedded store', async (t) => {
  const env = { DATA_DIR: t.testdir() };
  t.match(await run(t, ['dlq', 'list', 'deliveries', '--json'], env), { exit: 0, out: '{\n  "items": []\n}\n' });
  t.match(await run(t, ['dlq', 'replay', 'deliveries', '--all'], env), { exit: 0, out: 'replayed 0\n' });
  t.match(await run(t, ['dlq', 'drop', 'updates', '--filter', '{"reason":"x"}'], env), { exit: 0, out: 'dropped 0\n' });
  t.match(await run(t, ['dlq', 'drop', 'updates', '--filter', '{"chat":1}'], env), {
    exit: 64,
    err: /filter\.chat: expected no such field/,
  });
  t.match(await run(t, ['dlq', 'show', 'updates', '1-5'], env), { exit: 1, err: /PH_DEAD_LETTER_NOT_FOUND/ });
  t.match(await run(t, ['deliveries', 'export'], env), { exit: 69, err: /PH_BOT_NONE/ });
  t.match(await run(t, ['deliveries', 'list', '--state', 'gone'], env), {
    exit: 64,
    err: /state: expected one of queued/,
  });
});

t.test('a MongoDB that does not answer is 69', async (t) => {
  const answer = await run(t, ['broadcast', 'x'], { MONGODB_URI: 'mongodb://user:hunter2@127.0.0.1:9/db' });
  t.match(answer, { exit: 69, out: '', err: /127\.0\.0\.1:9.*cannot be reached/ });
  t.notMatch(answer.err, /hunter2/);
});
