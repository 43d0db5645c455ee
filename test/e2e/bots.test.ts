import t, { type Test } from 'tap';
import { eventually } from '../support/eventually.js';
import { type LocalTelegramProcess, startLocalTelegramProcess } from '../support/local-telegram.js';
import { type PosthornApi, posthornApi } from '../support/posthorn-api.js';
import { startProcess } from '../support/posthorn-process.js';
import { serverEnv, startServer } from '../support/posthorn-server.js';
import { telegramGate } from '../support/telegram-gate.js';

const MOMENT_MS = 60_000;

t.setTimeout(300_000);

/** Whether this person has got such a text from the bot. */
const got = (telegram: LocalTelegramProcess, bot: number, person: number, text: RegExp) =>
  eventually(`${text} from ${bot}`, MOMENT_MS, async () =>
    (await telegram.messages(bot, person)).some((one) => one.from.id === bot && text.test(one.text ?? '')),
  );

/** A command to its end. */
async function run(t: Test, of: { cwd: string; env: Readonly<Record<string, string>> }, args: string[], input = '') {
  const command = startProcess(t, { ...of, args, input });
  const { code } = await command.ended();
  return { code, stdout: command.stdout(), stderr: command.stderr() };
}

interface Listed {
  readonly id: string;
  readonly state: string;
  readonly [field: string]: unknown;
}

const botsOf = async (api: PosthornApi): Promise<Listed[]> =>
  ((await api.call('GET', '/api/bots')).body as { items: Listed[] }).items;

const send = (api: PosthornApi, botId: number, chatId: number, text: string) =>
  api.call('POST', '/api/send_messages', { messages: [{ botId: String(botId), chatId, text }] });

t.test('bots come and go while the server runs; a refused token parks its bot alone', async (t) => {
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, dir);
  const gate = await telegramGate(t, telegram.url);
  const [second, third] = [await telegram.bot(), await telegram.bot()];
  const env = { ...telegram.env, TELEGRAM_API_ROOT: gate.url };
  const server = startServer(t, dir, env);
  const api = await server.api;
  const of = { cwd: dir, env: { ...serverEnv(t, dir), ...env } };
  const person = await telegram.person('Ann');
  await telegram.write(person, second.id, '/start');
  await telegram.write(person, third.id, '/start');

  // Before it is added nothing is known of it.
  t.match(await send(api, second.id, person, 'too early'), { status: 400, body: { code: 'PH_INPUT_INVALID' } });

  const added = await run(t, of, ['bots', 'add', '--rate', '20', '--json'], `${second.token}\n`);
  t.equal(added.code, 0, added.stderr);
  t.match(JSON.parse(added.stdout), { id: String(second.id), username: second.username, state: 'active', rate: 20 });
  t.notMatch(added.stdout + added.stderr, second.token, 'the token is not told');
  await got(telegram, second.id, person, /subscribed/i);
  t.match(await api.call('POST', '/api/bots', { token: third.token }), {
    status: 200,
    body: { id: String(third.id), state: 'active', first: false, rate: 30 },
  });
  await got(telegram, third.id, person, /subscribed/i);
  const knows = (id: number) => async () => (await botsOf(api)).some((one) => one.id === String(id));
  await eventually('the list', MOMENT_MS, knows(third.id));
  t.match(await send(api, second.id, person, 'by the second'), { status: 202 });
  t.match(await send(api, third.id, person, 'by the third'), { status: 202 });
  await got(telegram, second.id, person, /^by the second$/);
  await got(telegram, third.id, person, /^by the third$/);
  const audience = await api.call('POST', '/api/broadcasts', {
    text: 'to the people of the third',
    botId: `${third.id}`,
  });
  t.equal(audience.status, 202);
  await got(telegram, third.id, person, /^to the people of the third$/);
  t.equal((await api.call('GET', '/health/ready')).status, 200);
  const both = await api.call('POST', '/api/send_messages', {
    messages: [second, third].map(({ id }) => ({ botId: String(id), chatId: person, text: 'of two bots' })),
  });
  t.match(both, { status: 400 }, 'a request is of one bot');

  await t.test('a token that is refused is not added', async (t) => {
    const answer = await api.call('POST', '/api/bots', { token: '77:wrong' });
    t.match(answer, { status: 400, body: { code: 'PH_BOT_TOKEN_REFUSED', errors: [{ field: 'token' }] } });
    const command = await run(t, of, ['bots', 'add', '77:wrong']);
    t.equal(command.code, 64);
    t.match(command.stderr, /PH_BOT_TOKEN_REFUSED/);
    t.equal((await botsOf(api)).length, 3);
  });

  await t.test('a token that is revoked parks its bot, the others go on; a new one brings it back', async (t) => {
    gate.revoke(third.token);
    const parked = await eventually('parked', MOMENT_MS, async () =>
      (await botsOf(api)).find((one) => one.id === String(third.id) && one.state === 'unauthorized'),
    );
    t.match(parked, { state: 'unauthorized' });
    await eventually('the alert', MOMENT_MS, async () => {
      const { status, body } = await api.call('GET', '/health/ready');
      const { detail = '' } = (body as { checks: { bots: { detail?: string } } }).checks.bots;
      return status === 200 && new RegExp(`bot ${third.id}: Telegram refuses the token`).test(detail);
    });
    t.match(server.process.stderr(), /PH_BOT_UNAUTHORIZED/);
    t.match(await send(api, third.id, person, 'waits for a token'), { status: 202 });
    t.match(await send(api, second.id, person, 'goes on'), { status: 202 });
    await got(telegram, second.id, person, /^goes on$/);
    await telegram.write(person, second.id, '/status');

    const fresh = `${third.id}:a_new_one`;
    gate.alias(fresh, third.token);
    t.equal((await run(t, of, ['bots', 'add', fresh])).code, 0);
    await got(telegram, third.id, person, /^waits for a token$/);
    await eventually('no alert any more', MOMENT_MS, async () => {
      const { body } = await api.call('GET', '/health/ready');
      return (body as { status: string }).status === 'ready';
    });
  });

  await t.test('a bot is removed when nothing waits; by force what waits stays until it is back', async (t) => {
    const id = String(third.id);
    const settled = async () => (await botsOf(api)).every((one) => one.open === 0);
    await eventually('nothing is open', MOMENT_MS, settled);
    // A chat that is frozen for long keeps its message waiting.
    await telegram.faults({ tooMany: { share: 1, retryAfter: 8 } });
    t.match(await send(api, third.id, person, 'must not be lost'), { status: 202 });
    t.match(await remove(api, id), { status: 409, body: { code: 'PH_BOT_BUSY' } });
    t.match(await send(api, third.id, person, 'nor this'), { status: 202 }, 'it goes on as before');
    const forced = await run(t, of, ['bots', 'remove', id, '--force', '--json']);
    t.equal(forced.code, 0, forced.stderr);
    t.match(JSON.parse(forced.stdout), { id, removed: true, open: 2 });
    const lets = async () => !JSON.stringify((await api.call('GET', '/api/system/tree')).body).includes(`bot:${id}`);
    await eventually('the process has let go', MOMENT_MS, lets, 200);
    t.match(await send(api, third.id, person, 'not taken'), { status: 400 });
    t.match(
      (await botsOf(api)).find((one) => one.id === id),
      { state: 'removed', open: 2 },
    );
    await telegram.faults({ tooMany: { share: 0, retryAfter: 1 } });
    t.equal((await run(t, of, ['bots', 'add', '-'], `${third.id}:a_new_one`)).code, 0);
    await got(telegram, third.id, person, /^must not be lost$/);
    await got(telegram, third.id, person, /^nor this$/);
    await eventually('nothing is open', MOMENT_MS, settled);
    t.match(await remove(api, id), { status: 200, body: { id, removed: true, open: 0 } });
    t.equal((await botsOf(api)).length, 2);
    t.match(await remove(api, id), { status: 404, body: { code: 'PH_BOT_NOT_FOUND' } });
    t.match(await remove(api, String(telegram.botId)), { status: 409, body: { code: 'PH_BOT_OF_TOKEN' } });
  });

  t.same(await server.process.end('SIGTERM'), { code: 0, signal: null });
  t.notMatch(server.process.stderr(), second.token, 'no token in the log');
});

const remove = (api: PosthornApi, id: string) => api.call('DELETE', `/api/bots/${id}`);

t.test('another SECRET_KEY: 78 with a line that says so, nothing changed', async (t) => {
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, dir);
  const env = { ...serverEnv(t, dir), ...telegram.env };
  const local = startProcess(t, { args: ['start'], cwd: dir, env });
  const api = posthornApi(await local.ready());
  const second = await telegram.bot();
  t.match(await api.call('POST', '/api/bots', { token: second.token }), { status: 200 });
  t.same(await local.end('SIGTERM'), { code: 0, signal: null });
  const wrong = { ...env, SECRET_KEY: 'w'.repeat(40), LOG_LEVEL: 'silent' };
  const failing = startProcess(t, { args: ['start'], cwd: dir, env: wrong });
  t.equal((await failing.ended()).code, 78);
  t.match(failing.stderr(), /^posthorn: SECRET_KEY is not the one that sealed the tokens .*nothing was changed/m);
  const add = await run(t, { cwd: dir, env: wrong }, ['bots', 'add', second.token]);
  t.equal(add.code, 78);
  t.match(add.stderr, /PH_SECRET_KEY_WRONG/);

  const again = startProcess(t, { args: ['start'], cwd: dir, env });
  const { body } = await posthornApi(await again.ready()).call('GET', '/api/bots');
  t.match(body, {
    items: [
      { id: String(telegram.botId), state: 'active' },
      { id: String(second.id), state: 'active' },
    ],
  });
  t.same(await again.end('SIGTERM'), { code: 0, signal: null });
});
