import t from 'tap';
import { VirtualClock } from '../../../src/local/telegram/virtual-clock.js';
import { type Answer, type Bench, bench, manualClock, until } from './telegram-bench.js';
import { receiver } from './webhook-receiver.js';

const DAY_MS = 24 * 3_600_000;

/** Time stands still from now on; returns what puts it forward. */
async function stopTime({ local }: Bench): Promise<(ms: number) => Promise<Answer>> {
  t.match(await local('PUT', 'clock', { virtual: true }), { status: 200, body: { virtual: true } });
  return (advanceMs) => local('PUT', 'clock', { advanceMs });
}

t.test('virtual time: timers run in order, each at its moment, and never twice', async (t) => {
  const base = manualClock();
  const clock = new VirtualClock(base);
  const start = clock.now();
  const ran: [string, number][] = [];
  const note = (name: string) => () => ran.push([name, clock.now() - start]);
  clock.after(300, note('c'));
  clock.after(100, () => {
    note('a')();
    clock.after(50, note('b'));
  });
  clock.after(200, note('dropped'))();
  clock.after(5000, note('later'));
  await base.advance(10);
  t.equal(clock.now() - start, 10, 'it goes with the clock beneath it');
  clock.advance(400);
  clock.advance(90);
  t.same(clock.time, { aheadMs: 490 });
  await clock.changed;
  t.equal(clock.now() - start, 500);
  t.same(ran, [
    ['a', 100],
    ['b', 150],
    ['c', 300],
  ]);
  t.equal(base.pending(), 1, 'what is left waits for the clock beneath');
  clock.setStopped(true);
  await clock.changed;
  await base.advance(10_000);
  t.equal(clock.now() - start, 500);
  t.equal(base.pending(), 0);
  clock.advance(4500);
  await clock.changed;
  t.same(ran.at(-1), ['later', 5000]);
  clock.after(20, note('last'));
  clock.setStopped(false);
  await clock.changed;
  await base.advance(19);
  t.equal(ran.length, 4);
  await base.advance(1);
  t.same(ran.at(-1), ['last', 5020]);

  const order: string[] = [];
  let caughtUp = true;
  clock.after(10, () => {
    order.push('timer');
    caughtUp = false;
  });
  clock.after(20, () => order.push(caughtUp ? 'next timer' : 'too early'));
  clock.advance(30, async () => {
    if (!caughtUp) order.push('caught up');
    caughtUp = true;
  });
  await clock.changed;
  t.same(order, ['timer', 'caught up', 'next timer']);
  clock.after(1, note('never'));
  clock.dropAll();
  t.equal(base.pending(), 0);
});

t.test('time stands still from the moment it is asked to, at its next whole millisecond', async (t) => {
  let at = 1_000.4;
  const clock = new VirtualClock({ now: () => at, after: () => () => undefined });
  clock.setStopped(true);
  at += 3; // the event loop was busy
  await clock.changed;
  t.equal(clock.now(), 1_001);
  t.same(clock.time, { aheadMs: 0, stoppedAt: 1_001 });
  clock.advance(950);
  await clock.changed;
  t.equal(clock.now(), 1_951);
});

t.test('what time does here follows PUT clock', async (t) => {
  const world = await bench(t);
  const { call, local, people, updates, botId } = world;
  const [ann = 0, bob = 0] = await people(2);
  const advance = await stopTime(world);
  const { now } = (await local('GET', 'clock')).body;
  const send = async (): Promise<number> => (await call('sendMessage', { chat_id: ann, text: 'x' })).status;
  t.equal(await send(), 200);
  t.equal(await send(), 429);
  await advance(949);
  t.equal(await send(), 429, 'limits');
  t.same((await advance(1)).body, { now: now + 950, virtual: true });
  t.equal(await send(), 200);

  const poll = call('getUpdates', { timeout: 50 });
  await until(async () => ((await local('GET', 'stats')).body.calls.getUpdates ?? 0) === 1);
  await advance(50_000);
  t.same((await poll).body, { ok: true, result: [] }, 'long polls');

  await local('POST', 'messages', { from: ann, chat: botId, text: 'old' });
  await advance(DAY_MS);
  await local('POST', 'messages', { from: ann, chat: botId, text: 'young' });
  await advance(1);
  t.match(await updates(), [{ message: { text: 'young' } }], 'the life of updates');

  const chat = (await local('POST', 'chats', { type: 'supergroup', title: 'S', ownerId: ann })).body.id;
  await local('PUT', `chats/${chat}/members/${botId}`, { status: 'administrator' });
  await local('PUT', `chats/${chat}/members/${bob}`, {});
  const untilDate = Math.floor((await local('GET', 'clock')).body.now / 1000) + 3600;
  await call('banChatMember', { chat_id: chat, user_id: bob, until_date: untilDate });
  const status = async (): Promise<string> =>
    (await call('getChatMember', { chat_id: chat, user_id: bob })).body.result.status;
  t.equal(await status(), 'kicked');
  await advance(3_601_000);
  t.equal(await status(), 'left', 'bans');

  await local('PUT', 'faults', { limits: 'off', latencyMs: 600_000 });
  const slow = call('sendMessage', { chat_id: ann, text: 'slow' });
  await until(async () => (await local('GET', 'stats')).body.accepted === 3);
  await advance(600_000);
  t.equal((await slow).status, 200, 'faults');

  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ advanceMs: -1 }, /^advanceMs:/],
    [{ advanceMs: 1.5 }, /^advanceMs:/],
    [{ advanceMs: '1' }, /^advanceMs:/],
    [{ virtual: 1 }, /^virtual:/],
    [{ advance: 1 }, /^advance:/],
  ];
  for (const [body, pattern] of wrong) {
    const answer = await local('PUT', 'clock', body);
    t.equal(answer.status, 400);
    t.match(answer.body.error, pattern);
  }
  const stopped = (await local('GET', 'clock')).body;
  t.same((await local('PUT', 'clock', {})).body, stopped, 'time stood still meanwhile');
  await local('POST', 'reset', {});
  await until(async () => (await local('GET', 'clock')).body.now > stopped.now);
  t.equal((await local('GET', 'clock')).body.virtual, false, 'a reset lets it go on');
});

t.test('a webhook’s pauses and timeouts follow it, and have their answers waited for', async (t) => {
  const world = await bench(t);
  const { call, local, people, botId } = world;
  const [ann = 0, bob = 0] = await people(2);
  const hook = await receiver(t);
  const advance = await stopTime(world);
  await call('setWebhook', { url: hook.url });
  hook.answerAll(500);
  await local('POST', 'messages', { from: ann, chat: botId, text: 'x' });
  const hasFailedNow = async (): Promise<boolean> =>
    (await call('getWebhookInfo')).body.result.last_error_date ===
    Math.floor((await local('GET', 'clock')).body.now / 1000);
  await until(async () => hook.deliveries.length === 2 && (await hasFailedNow()));
  // An answer that a slow host takes in only on the way counts from there: no pause is shorter, each may be longer by one way.
  for (const [advanceMs, tries] of [
    [1999, 2],
    [2001, 3],
    [8000, 4],
  ] as const) {
    await advance(advanceMs);
    t.equal(hook.deliveries.length, tries, `${tries} tries`);
  }
  await advance(DAY_MS);
  t.equal((await call('getWebhookInfo')).body.result.pending_update_count, 0, 'given up in the end');
  const tries = hook.deliveries.length;
  t.ok(tries > 300 && tries < DAY_MS / 60_000 + 10, `${tries} tries in a day`);

  const silent = await receiver(t);
  await call('setWebhook', { url: silent.url });
  await local('POST', 'messages', { from: bob, chat: botId, text: 'x' });
  await silent.next();
  await advance(60_000);
  await silent.next();
  t.equal((await call('getWebhookInfo')).body.result.last_error_message, 'Read timeout expired');
});

t.test('the time of a world is kept with it', async (t) => {
  const dataDir = t.testdir();
  const first = await bench(t, { dataDir });
  const [ann = 0] = await first.people(1);
  await first.local('PUT', 'clock', { advanceMs: 7 * DAY_MS });
  const { now: ahead } = (await first.local('GET', 'clock')).body;
  t.equal((await first.call('sendMessage', { chat_id: ann, text: 'x' })).status, 200);
  await first.telegram.stop();

  const second = await bench(t, { dataDir });
  const { now: later } = (await second.local('GET', 'clock')).body;
  t.ok(later >= ahead, 'it does not go back');
  const advance = await stopTime(second);
  await advance(1000);
  t.equal((await second.call('sendMessage', { chat_id: ann, text: 'y' })).status, 200);
  t.equal((await second.call('sendMessage', { chat_id: ann, text: 'y' })).status, 429);
  const stopped = (await second.local('GET', 'clock')).body;
  await second.telegram.stop();

  const third = await bench(t, { dataDir });
  t.same((await third.local('GET', 'clock')).body, stopped, 'nor on, when it stood still');
  t.equal((await third.call('sendMessage', { chat_id: ann, text: 'y' })).status, 429);
  const went = await third.local('PUT', 'clock', { virtual: false, advanceMs: 1000 });
  t.ok(went.body.now >= stopped.now + 1000 && went.body.virtual === false);
  t.equal((await third.call('sendMessage', { chat_id: ann, text: 'y' })).status, 200);
});
