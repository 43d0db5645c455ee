import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { request } from 'undici';
import { eventually } from '../support/eventually.js';
import { GIVEN_SERVER, storeEnv } from '../support/given-server.js';
import { localTelegramControl, startLocalTelegramProcess } from '../support/local-telegram.js';
import { posthornApi } from '../support/posthorn-api.js';
import { type Ended, freePort, type PosthornProcess, REPOSITORY, startProcess } from '../support/posthorn-process.js';
import { serverEnv } from '../support/posthorn-server.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const DELIVERED_MS = 30_000;
const INSTALL_MS = 300_000;

t.setTimeout(IS_LONG ? 900_000 : 480_000);

/** The program as a command: undefined is the build of this repository. */
type Command = readonly [string, ...string[]] | undefined;

interface CommandEnd extends Ended {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
async function run(t: Test, options: Parameters<typeof startProcess>[1], withinMs?: number): Promise<CommandEnd> {
  const command = startProcess(t, options);
  const end = await command.ended(withinMs);
  return { ...end, stdout: command.stdout(), stderr: command.stderr() };
}

/** What an operator does first: a server with nothing configured, an import, a broadcast to its end. */
async function firstBroadcast(t: Test, dir: string, people: number, command: Command): Promise<void> {
  const port = { PORT: '0', LOCAL_TELEGRAM_PORT: String(await freePort()) };
  const env = { ...storeEnv(t, dir), DATA_DIR: join(dir, 'data'), ...port };
  const of = { cwd: dir, env, ...(command === undefined ? {} : { command }) };
  const server = startProcess(t, { ...of, args: ['start'] });
  const telegram = localTelegramControl(await server.line('local telegram '));
  const key = await server.line('api key ');
  const url = await server.ready();
  const lines = ['local telegram', 'api key', 'posthorn ready'];
  if (GIVEN_SERVER === undefined) lines.unshift('local store');
  const order = lines.map((start) => server.stdout().indexOf(start));
  t.same(
    order,
    order.toSorted((a, b) => a - b),
    'the lines of a start come in their order',
  );

  const [bot] = await telegram.bots();
  const ids = await telegram.people(people);
  const blocking = ids.filter((_, i) => i % 20 === 7);
  await telegram.block(bot?.id ?? 0, blocking);
  const file = join(dir, 'people.ndjson');
  await writeFile(file, ids.map((chatId, i) => `${JSON.stringify({ chatId, tags: i < 3 ? ['few'] : [] })}\n`).join(''));
  const reached = people - blocking.length;

  const imported = await run(t, { ...of, args: ['users', 'import', file] });
  t.equal(imported.code, 0);
  t.match(imported.stdout, `imported ${people}, updated 0, failed 0`);
  const sent = await run(t, { ...of, args: ['broadcast', '#1 hello', '--wait'] }, 180_000);
  t.equal(sent.code, 0);
  t.match(sent.stdout, `sent ${reached}, blocked ${blocking.length}, dead 0, unknown 0`);
  const { distinct, duplicates, outOfOrder, tooMany, blocked } = await telegram.stats();
  t.same(
    { distinct, duplicates, outOfOrder, tooMany },
    { distinct: reached, duplicates: 0, outOfOrder: 0, tooMany: 0 },
  );
  t.ok(blocked <= blocking.length, `${blocked} found out by a call, the others by the update that tells of the block`);

  const again = await run(t, { ...of, args: ['users', 'import', '-', '--json'], input: `{"chatId":${ids[0]}}\nno\n` });
  t.equal(again.code, 1, 'a failed line is a failed import');
  t.match(JSON.parse(again.stdout), { imported: 0, updated: 1, failed: [{ line: 2, error: String }], failedTotal: 1 });
  const audience = ['--audience', '{"tags":["few"]}'];
  const few = await run(t, { ...of, args: ['broadcast', '#2 few', '--wait', '--json', ...audience] });
  const view = JSON.parse(few.stdout) as { id: string };
  t.match(view, { state: 'done', total: 3, sent: 3, blocked: 0, remaining: 0 });
  const { body } = await posthornApi(url, key).call('GET', `/api/broadcasts/${view.id}`);
  t.same(body, view, '--json is the document of the API');
  t.same(await server.end('SIGTERM'), { code: 0, signal: null });
}

t.test('nothing configured: import and broadcast by the commands', async (t) => {
  await firstBroadcast(t, t.testdir(), IS_LONG ? 1_000 : 200, undefined);
});

t.test(
  'the same with the package, installed into an empty folder',
  { skip: !IS_LONG && process.env.CI !== 'true' },
  async (t) => {
    // Outside of the repository, and named by --prefix: npm would take the repository's package.json for the folder's own.
    const dir = await mkdtemp(join(tmpdir(), 'posthorn-package-'));
    t.teardown(() => rm(dir, { recursive: true, force: true }));
    // As the operator's npm: its cache and its registry.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(
        (entry): entry is [string, string] => /^(HOME|npm_config_.*)$/i.test(entry[0]) && entry[1] !== undefined,
      ),
    );
    const npm = (cwd: string, ...args: string[]) =>
      run(t, { command: ['npm', ...args], args: [], cwd, env }, INSTALL_MS);
    t.equal((await npm(REPOSITORY, 'pack', '--ignore-scripts', '--pack-destination', dir)).code, 0);
    const [tarball = ''] = (await readdir(dir)).filter((name) => name.endsWith('.tgz'));
    const install = ['install', `./${tarball}`, '--prefix', dir, '--prefer-offline', '--no-audit', '--no-fund'];
    t.equal((await npm(dir, ...install)).code, 0);
    await firstBroadcast(t, dir, IS_LONG ? 1_000 : 100, [join(dir, 'node_modules/.bin/posthorn')]);
  },
);

t.test('roles in processes of their own', async (t) => {
  const dir = t.testdir();
  const env = { ...serverEnv(t, dir), LOCAL_TELEGRAM_PORT: String(await freePort()) };
  const start = (role: string) => startProcess(t, { args: ['start', role], cwd: dir, env });
  const [sender, bot, web, local] = ['sender', 'bot', 'web', 'local'].map(start) as [
    PosthornProcess,
    PosthornProcess,
    PosthornProcess,
    PosthornProcess,
  ];
  const telegram = localTelegramControl(await local.line('local telegram '));
  const url = await web.ready();
  const quiet = await Promise.all([sender.ready(), bot.ready(), local.ready()]);
  t.same(quiet, ['', '', ''], 'only the role web names an address');
  const [{ id: botId } = { id: 0 }] = await telegram.bots();
  const [person = 0] = await telegram.people(1);
  const seen = (text: RegExp) =>
    eventually(String(text), DELIVERED_MS, async () =>
      (await telegram.messages(botId, person)).some(
        (message) => message.from.id === botId && text.test(message.text ?? ''),
      ),
    );

  const api = posthornApi(url);
  const posted = await api.call('POST', '/api/send_messages', { messages: [{ chatId: person, text: 'by the web' }] });
  t.equal(posted.status, 202);
  t.ok(await seen(/^by the web$/), 'the sender delivers what the web accepted');
  await telegram.write(person, botId, '/start');
  t.ok(await seen(/subscribed/i), 'the bot answers');
  const { body } = await api.call('GET', '/api/system/tree');
  const roles = (body as { processes: { roles: string[] }[] }).processes.flatMap((one) => one.roles);
  t.same(roles.toSorted(), ['bot', 'sender', 'web'], 'the tree shows each process that stands on the store');

  const ends = await Promise.all([local, web, bot, sender].map((one) => one.end('SIGTERM')));
  t.same(
    ends,
    Array.from({ length: 4 }, () => ({ code: 0, signal: null })),
    'all end at once, in any order',
  );
});

t.test('the role local with everything configured has nothing to do, and stays', async (t) => {
  const dir = t.testdir();
  const env = { ...serverEnv(t, dir), BOT_TOKEN: '1:a', MONGODB_URI: 'mongodb://127.0.0.1:1/nowhere' };
  const local = startProcess(t, { args: ['start', 'local'], cwd: dir, env });
  t.equal(await local.ready(), '');
  t.ok(local.running, 'nothing is hosted, and it runs on');
  t.same(await local.end('SIGTERM'), { code: 0, signal: null });
});

t.test('starts that fail say why', async (t) => {
  const dir = t.testdir();
  const start = (env: Record<string, string>) =>
    startProcess(t, { args: ['start'], cwd: dir, env: { ...serverEnv(t, dir), ...env } });
  const failed = async (server: PosthornProcess) => ({ ...(await server.ended()), stderr: server.stderr() });

  await t.test('wrong configuration: every problem at once, 78', async (t) => {
    const { code, stderr } = await failed(start({ PORT: 'x', SEND_RATE: '-1', SHUTDOWN_MS: '1.5' }));
    t.equal(code, 78);
    for (const name of ['PORT', 'SEND_RATE', 'SHUTDOWN_MS']) t.match(stderr, new RegExp(`^ +${name} `, 'm'));
  });

  await t.test('the store is not there: health answers, then 69', async (t) => {
    const port = await freePort();
    const began = performance.now();
    const server = start({ MONGODB_URI: `mongodb://127.0.0.1:${await freePort()}/none`, PORT: String(port) });
    const answers = async (path: string) => (await request(`http://127.0.0.1:${port}${path}`)).statusCode;
    t.equal(await eventually('health', 9_000, () => answers('/health')), 200);
    t.equal(await answers('/health/ready'), 503);
    const { code, stderr } = await failed(server);
    t.equal(code, 69);
    t.ok(performance.now() - began >= 10_000, 'it was tried for 10 s');
    t.match(stderr, /^posthorn: the store at mongodb:\/\/127\.0\.0\.1:\d+\/none cannot be reached \(MONGODB_URI\)$/m);
  });

  await t.test('the port is taken', async (t) => {
    const taken = createServer();
    await new Promise<void>((resolve) => {
      taken.listen(0, '127.0.0.1', resolve);
    });
    t.teardown(() => taken.close());
    const { port } = taken.address() as { port: number };
    const { code, stderr } = await failed(start({ PORT: String(port) }));
    t.equal(code, 1);
    t.match(stderr, new RegExp(`^posthorn: cannot listen on 127.0.0.1:${port}: the port is taken`, 'm'));
  });

  await t.test('the token is refused: 78', async (t) => {
    const other = t.testdir();
    const { url } = await startLocalTelegramProcess(t, other);
    const { code, stderr } = await failed(start({ BOT_TOKEN: '1:wrong', TELEGRAM_API_ROOT: url }));
    t.equal(code, 78);
    t.match(stderr, /^posthorn: Telegram refuses BOT_TOKEN/m);
  });

  await t.test('the directory is hosted by another process: 69', async (t) => {
    const first = start({ LOCAL_TELEGRAM_PORT: String(await freePort()) });
    await first.ready();
    const { code, stderr } = await failed(start({}));
    t.equal(code, 69);
    t.match(stderr, new RegExp(`^posthorn: .*${first.pid}`, 'm'), 'and says by which');
    t.same(await first.end('SIGTERM'), { code: 0, signal: null }, 'the first one has not noticed');
  });
});
