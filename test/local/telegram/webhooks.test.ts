import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { startLocalTelegram } from '../../../src/local/telegram/server.js';
import { laneOf, NO_BACKOFF, nextBackoff } from '../../../src/local/telegram/webhooks/lanes.js';
import { ask, type Bench, bench, manualClock, until } from './telegram-bench.js';
import { type Delivery, receiver } from './webhook-receiver.js';

const HOUR_MS = 3_600_000;

/** Writes to the first bot. */
function writer({ local, botId }: Bench): (from: number | undefined, text: string) => Promise<number> {
  return async (from, text) => (await local('POST', 'messages', { from, chat: botId, text })).body.messageId;
}

t.test('setWebhook, getWebhookInfo and deleteWebhook', async (t) => {
  const clock = manualClock();
  const { call, people, local, botId } = await bench(t, { clock });
  const refused: [Record<string, unknown>, string][] = [
    [{ url: 'http://' }, 'invalid webhook URL specified'],
    [{ url: 'ftp://example.com' }, 'invalid webhook URL specified'],
    [{ url: 'https://example.com', secret_token: 'a b' }, 'secret token contains unallowed characters'],
    [{ url: 'https://example.com', secret_token: 'a'.repeat(257) }, 'secret token is too long'],
    [{ url: 'http://example.com' }, 'bad webhook: An HTTPS URL must be provided for webhook'],
    [{ url: 'http://127.0.0.1.example.com' }, 'bad webhook: An HTTPS URL must be provided for webhook'],
    [{ url: 'https://example.com:8080/' }, 'bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443'],
    [{ url: 'https://example.com', ip_address: 'x' }, 'bad webhook: Invalid IP address specified'],
    [{ url: 'https://example.com', ip_address: '2001::1' }, 'bad webhook: IPv6-only addresses are not allowed'],
  ];
  for (const [args, description] of refused) {
    const { status, body } = await call('setWebhook', args);
    t.equal(status, 400, description);
    t.same(body, { ok: false, error_code: 400, description: `Bad Request: ${description}` });
    await clock.advance(1000);
  }
  t.same((await call('getWebhookInfo')).body.result, {
    url: '',
    has_custom_certificate: false,
    pending_update_count: 0,
  });

  for (const url of [
    'https://example.com',
    'https://a.example:8443/x?y=1',
    'example.com/hook',
    'http://localhost:1/x',
  ]) {
    t.same((await call('setWebhook', { url })).body, { ok: true, result: true }, url);
    t.equal((await call('getWebhookInfo')).body.result.url, url, 'as it was given');
    await clock.advance(1000);
  }
  const full = {
    url: 'https://127.0.0.1:1/hook',
    secret_token: 'A-z_9',
    max_connections: 500,
    ip_address: '127.0.0.1',
    allowed_updates: ['MESSAGE', 'chat_member', 'nonsense'],
  };
  t.same((await call('setWebhook', full)).body, { ok: true, result: true });
  const again = await call('setWebhook', full);
  t.match(again.body, { error_code: 429, parameters: { retry_after: 1 } }, 'not more than once a second');
  t.equal(again.headers.get('retry-after'), '1');
  t.same((await call('getWebhookInfo')).body.result, {
    url: 'https://127.0.0.1:1/hook',
    has_custom_certificate: false,
    pending_update_count: 0,
    max_connections: 100,
    ip_address: '127.0.0.1',
    allowed_updates: ['message', 'chat_member'],
  });
  const conflict = {
    ok: false,
    error_code: 409,
    description:
      "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
  };
  t.same((await call('getUpdates')).body, conflict);

  t.same((await call('deleteWebhook')).body, { ok: true, result: true }, 'may be called at any time');
  const poll = call('getUpdates', { timeout: 50 });
  await until(() => clock.pending() === 1);
  await clock.advance(1000);
  await call('setWebhook', { url: 'https://example.com' });
  t.same((await poll).body, { ok: false, error_code: 409, description: 'Conflict: terminated by setWebhook request' });
  t.same((await call('setWebhook', { url: '' })).body, { ok: true, result: true }, 'no url: deleted');

  const [ann] = await people(1);
  await local('POST', 'messages', { from: ann, chat: botId, text: 'one' });
  t.equal((await call('deleteWebhook')).status, 200);
  t.equal((await call('getWebhookInfo')).body.result.pending_update_count, 1);
  await call('deleteWebhook', { drop_pending_updates: true });
  t.equal((await call('getWebhookInfo')).body.result.pending_update_count, 0);
  await local('POST', 'messages', { from: ann, chat: botId, text: 'two' });
  await clock.advance(24 * HOUR_MS + 1);
  t.equal((await call('getWebhookInfo')).body.result.pending_update_count, 0, 'after a day they are gone');
});

t.test('updates are posted in order per chat, chats side by side, as many as connections', async (t) => {
  const world = await bench(t);
  const { call, people, local, botId } = world;
  const write = writer(world);
  const hook = await receiver(t);
  const ids = await people(5);
  await write(ids[0], 'before');
  await call('setWebhook', { url: hook.url, secret_token: 'se-cret_1', max_connections: 3 });
  const first = await hook.next();
  t.equal(first.path, '/hook');
  t.match(first.headers, { 'x-telegram-bot-api-secret-token': 'se-cret_1', 'content-type': 'application/json' });
  t.match(first.update, { update_id: Number, message: { text: 'before', from: { id: ids[0] } } });
  await write(ids[0], 'second');
  await write(ids[0], 'third');
  await local('PUT', `blocks/${ids[0]}/${botId}`);
  const beside = await hook.next();
  t.match(beside.update, { my_chat_member: { from: { id: ids[0] } } }, 'another kind of the same chat goes beside it');
  for (const id of ids.slice(1)) await write(id, 'hi');
  const third = await hook.next();
  t.equal(third.update.message.from.id, ids[1]);
  t.equal((await call('getWebhookInfo')).body.result.pending_update_count, 8);
  t.equal(hook.deliveries.length, 3, 'three at once');
  first.answer();
  t.equal((await hook.next()).update.message.from.id, ids[2], 'who waits longest is next');
  beside.answer(204);
  const fifth = await hook.next();
  t.equal(fifth.update.message.from.id, ids[3]);
  third.answer(299);
  const sixth = await hook.next();
  t.equal(sixth.update.message.from.id, ids[4]);
  sixth.answer();
  const seventh = await hook.next();
  t.equal(seventh.update.message.text, 'second', 'once the one before is answered');
  hook.answerAll(200);
  for (const delivery of [hook.deliveries[3], fifth, seventh]) delivery?.answer();
  await until(async () => (await call('getWebhookInfo')).body.result.pending_update_count === 0);
  t.equal(hook.deliveries.length, 8, 'each once');
  t.same(
    hook.deliveries.filter(({ update }) => update.message?.from.id === ids[0]).map(({ update }) => update.message.text),
    ['before', 'second', 'third'],
  );
  t.match((await call('getWebhookInfo')).body.result, {
    ip_address: '127.0.0.1',
    max_connections: 3,
    last_error_date: undefined,
  });
  await call('deleteWebhook');
  await write(ids[1], 'polled');
  t.match((await call('getUpdates')).body.result, [{ message: { text: 'polled' } }], 'and nothing else');
});

t.test('lanes and pauses, as Telegram’s server has them', (t) => {
  const chat = { id: -5 };
  const from = { id: 7 };
  t.equal(laneOf({ update_id: 1, message: { chat, from } }), laneOf({ update_id: 2, edited_message: { chat } }));
  t.not(laneOf({ update_id: 1, message: { chat, from } }), laneOf({ update_id: 2, my_chat_member: { chat, from } }));
  t.equal(laneOf({ callback_query: { id: '1', from } }), laneOf({ callback_query: { id: '2', from } }));
  t.equal(
    laneOf({ chat_join_request: { chat, from } }),
    laneOf({ chat_member: { chat, from: { id: 1 }, new_chat_member: { user: from } } }),
  );
  const waits = (random: number): number[] => {
    let backoff = NO_BACKOFF;
    return Array.from({ length: 9 }, () => {
      const next = nextBackoff(backoff, 0, random);
      backoff = next.backoff;
      return next.waitS;
    });
  };
  t.same(waits(0), [0, 2, 4, 8, 16, 32, 60, 60, 60]);
  t.same(waits(0.999), [0, 2, 4, 8, 16, 32, 64, 120, 120]);
  t.same(nextBackoff(NO_BACKOFF, 5000, 0).waitS, 3600);
  t.end();
});

t.test('failures: one retry at once, then pauses that double; what went wrong is told', async (t) => {
  const clock = manualClock();
  const world = await bench(t, { clock, random: () => 0 });
  const { call, people } = world;
  const write = writer(world);
  const hook = await receiver(t);
  const [ann, bob, eve] = await people(3);
  await call('setWebhook', { url: hook.url });
  const lastError = async (): Promise<string> => (await call('getWebhookInfo')).body.result.last_error_message;
  const hasFailedNow = async (): Promise<boolean> =>
    (await call('getWebhookInfo')).body.result.last_error_date === Math.floor(clock.now() / 1000);

  await write(ann, 'one');
  (await hook.next()).answer(500);
  const again = await hook.next();
  t.equal(again.update.message.text, 'one', 'at once');
  t.equal(await lastError(), 'Wrong response from the webhook: 500 Internal Server Error');
  t.equal((await call('getWebhookInfo')).body.result.last_error_date, Math.floor(clock.now() / 1000));
  again.answer(302, '', { location: '/elsewhere' });
  await until(async () => (await lastError()) === 'Wrong response from the webhook: 302 Found');
  await write(bob, 'beside');
  const beside = await hook.next();
  t.equal(beside.update.message.text, 'beside', 'the others are not held up');
  beside.answer();
  await until(async () => (await call('getWebhookInfo')).body.result.pending_update_count === 1);
  for (const pauseMs of [2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    const came = hook.deliveries.length;
    await clock.advance(pauseMs - 1);
    t.equal(hook.deliveries.length, came, `not before ${pauseMs} ms`);
    await clock.advance(1);
    const retry = await hook.next();
    t.equal(retry.update.message.text, 'one');
    retry.answer(500);
    await until(hasFailedNow);
  }
  await clock.advance(60_000);
  (await hook.next()).answer(429, '', { 'retry-after': '7' });
  await until(async () => (await lastError()) === 'Wrong response from the webhook: 429 Too Many Requests');
  await clock.advance(6999);
  await write(ann, 'two');
  await clock.advance(1);
  const honoured = await hook.next();
  t.equal(honoured.update.message.text, 'one', 'Retry-After counts instead, and the chat waits behind it');
  await clock.advance(59_999);
  t.equal(hook.deliveries.at(-1), honoured);
  await clock.advance(1);
  await until(async () => (await lastError()) === 'Read timeout expired');
  t.equal(hook.deliveries.at(-1), honoured);
  await clock.advance(60_000);
  (await hook.next()).hangUp();
  await until(async () => (await lastError()) === 'Connection closed');
  await hook.close();
  await clock.advance(60_000);
  await until(async () => (await lastError()) === 'Connection refused');
  const reborn = await receiver(t, Number(new URL(hook.url).port));
  await clock.advance(60_000);
  (await reborn.next()).answer();
  t.equal((await reborn.next()).update.message.text, 'two');
  t.equal((await call('getWebhookInfo')).body.result.pending_update_count, 1);
  reborn.deliveries.at(-1)?.answer();
  await until(async () => (await call('getWebhookInfo')).body.result.pending_update_count === 0);

  await write(eve, 'expires');
  reborn.answerAll(500);
  await until(() => reborn.deliveries.length === 4);
  for (let hours = 0; hours < 24; hours += 1) await clock.advance(HOUR_MS);
  await until(async () => (await call('getWebhookInfo')).body.result.pending_update_count === 0);
  await until(() => clock.pending() === 0);
});

t.test('a webhook that is gone for 23 hours is given up', async (t) => {
  const clock = manualClock();
  const world = await bench(t, { clock });
  const hook = await receiver(t);
  const [ann] = await world.people(1);
  await world.call('setWebhook', { url: hook.url });
  await writer(world)(ann, 'x');
  for (let hours = 0; hours < 24; hours += 1) {
    (await hook.next()).answer(410, '', { 'retry-after': '3500' });
    await until(async () => {
      const { url, last_error_date } = (await world.call('getWebhookInfo')).body.result;
      return url === hook.url && last_error_date === Math.floor(clock.now() / 1000);
    });
    await clock.advance(3_500_000);
  }
  (await hook.next()).answer(410);
  await until(async () => (await world.call('getWebhookInfo')).body.result.url === '');
  t.match((await world.call('getUpdates')).body.result, [{ message: { text: 'x' } }]);
});

t.test('a method call in the answer is carried out as a call of the bot', async (t) => {
  const world = await bench(t);
  const { call, people, local, botId } = world;
  const write = writer(world);
  const hook = await receiver(t);
  const ids = await people(6);
  await call('setWebhook', { url: hook.url });
  const seen = async (user: number | undefined): Promise<string[]> =>
    (await local('GET', `messages?chat=${botId}&user=${user}&after=0`)).body
      .filter(({ from }: { from: { id: number } }) => from.id === botId)
      .map(({ text }: { text: string }) => text);
  const respond = async (from: number | undefined, answer: (delivery: Delivery) => void): Promise<void> => {
    await write(from, 'x');
    answer(await hook.next());
    await until(async () => (await call('getWebhookInfo')).body.result.pending_update_count === 0);
  };
  const json = { 'content-type': 'application/json' };
  const body = (chat: unknown, more = {}): string =>
    JSON.stringify({ method: 'SendMessage', chat_id: chat, text: 'json', ...more });
  await respond(ids[0], (delivery) => delivery.answer(200, body(ids[0]), json));
  t.same(await seen(ids[0]), ['json']);
  await respond(ids[1], (delivery) =>
    delivery.answer(
      201,
      new URLSearchParams({ method: 'sendMessage', chat_id: String(ids[1]), text: 'a & b' }).toString(),
      {
        'content-type': 'application/x-www-form-urlencoded',
      },
    ),
  );
  t.same(await seen(ids[1]), ['a & b']);
  await respond(ids[2], (delivery) => delivery.answer(200, body(ids[2]), { 'content-type': 'text/plain' }));
  t.same(await seen(ids[2]), [], 'only JSON and forms are looked at');
  await respond(ids[2], (delivery) => delivery.answer(200, '{"method":', json));
  await respond(ids[2], (delivery) => delivery.answer(200, body(ids[2], { method: 'nonsense' }), json));
  await respond(ids[2], (delivery) => delivery.answer(200, '{"method":"deleteWebhook"}', json));
  t.equal((await call('getWebhookInfo')).body.result.url, hook.url, 'not every method');
  await write(ids[3], 'x');
  (await hook.next()).answer(500, body(ids[3]), json);
  (await hook.next()).answer(200);
  await until(async () => (await call('getWebhookInfo')).body.result.pending_update_count === 0);
  t.same(await seen(ids[3]), [], 'nor in the answer of a failure');

  const before = (await local('GET', 'stats')).body;
  await respond(ids[4], (delivery) => delivery.answer(200, body(ids[4]), json));
  await respond(ids[4], (delivery) => delivery.answer(200, body(ids[4], { text: 'too soon' }), json));
  t.same(await seen(ids[4]), ['json'], 'the limits hold');
  const { calls, accepted, tooMany } = (await local('GET', 'stats')).body;
  t.equal(accepted, before.accepted + 1);
  t.equal(tooMany, before.tooMany + 1);
  t.equal(calls.sendMessage, before.calls.sendMessage + 2);
});

const FIXTURE = fileURLToPath(new URL('host.fixture.ts', import.meta.url));

async function host(t: Test, dataDir: string): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, ['--import', 'tsx', FIXTURE, dataDir, '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { url: line.toString().trim(), child };
}

t.test('after kill -9 delivery goes on with what was not answered', async (t) => {
  const dataDir = t.testdir();
  const hook = await receiver(t);
  const { url, child } = await host(t, dataDir);
  const [{ id: botId, token }] = (await ask(`${url}/local/bots`, {})).body;
  const post = (path: string, body: unknown) =>
    ask(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const { ids } = (await post('/local/people', { count: 20 })).body as { ids: number[] };
  await post(`/bot${token}/setWebhook`, { url: hook.url, secret_token: 'kept' });
  for (const id of ids) await post('/local/messages', { from: id, chat: botId, text: 'first' });
  for (const id of ids.slice(0, 5)) await post('/local/messages', { from: id, chat: botId, text: 'second' });
  await until(() => hook.deliveries.length === 20);
  const held = new Set<number>();
  for (const { update, answer } of hook.deliveries.slice(0, 20)) {
    if (update.message.from.id % 2 === 0) answer();
    else held.add(update.message.from.id);
  }
  const followers = ids.slice(0, 5).filter((id) => !held.has(id));
  await until(() => hook.deliveries.length === 20 + followers.length);
  // This answer comes after the ones before it are on the disk.
  await until(
    async () => (await post(`/bot${token}/getWebhookInfo`, {})).body.result.pending_update_count === held.size + 5,
  );
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;

  hook.answerAll(200);
  const before = hook.deliveries.length;
  const telegram = await startLocalTelegram({ dataDir, port: 0 });
  t.teardown(() => telegram.stop());
  await until(async () => {
    const { body } = await ask(`${telegram.url}/bot${token}/getWebhookInfo`, {});
    return body.result.pending_update_count === 0;
  });
  const redelivered = hook.deliveries.slice(before);
  const expected = [...[...held].map((id) => `${id} first`), ...ids.slice(0, 5).map((id) => `${id} second`)];
  t.same(redelivered.map(({ update }) => `${update.message.from.id} ${update.message.text}`).sort(), expected.sort());
  t.ok(redelivered.every(({ headers }) => headers['x-telegram-bot-api-secret-token'] === 'kept'));
  for (const id of ids.slice(0, 5).filter((each) => held.has(each))) {
    const texts = redelivered
      .filter(({ update }) => update.message.from.id === id)
      .map(({ update }) => update.message.text);
    t.same(texts, ['first', 'second'], 'in order still');
  }
});

t.test('an orderly end and a start again keep the webhook; a reset of the world does, too', async (t) => {
  const dataDir = t.testdir();
  const hook = await receiver(t);
  hook.answerAll(200);
  const first = await bench(t, { dataDir });
  await first.call('setWebhook', { url: hook.url, allowed_updates: ['message'] });
  await first.telegram.stop();
  const second = await bench(t, { dataDir });
  t.match((await second.call('getWebhookInfo')).body.result, { url: hook.url, allowed_updates: ['message'] });
  await second.local('POST', 'reset', { world: true });
  const [ann] = await second.people(1);
  await writer(second)(ann, 'still');
  t.match((await hook.next()).update, { message: { text: 'still' } });
});
