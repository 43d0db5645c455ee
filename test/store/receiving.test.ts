import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { botActor } from '../../src/actors/bot.js';
import { ingressActor } from '../../src/actors/ingress.js';
import type { IngressStatus } from '../../src/actors/receive-lease.js';
import { createActorSystem, systemClock } from '../../src/actors/runtime.js';
import { supervisor, worker } from '../../src/actors/supervision.js';
import { features } from '../../src/features.js';
import { startLocalTelegram } from '../../src/local/telegram/server.js';
import { silentLog } from '../../src/log.js';
import { acceptance } from '../../src/store/acceptance.js';
import { inbox } from '../../src/store/inbox.js';
import { leaseKeeper } from '../../src/store/lease-keeper.js';
import { pageLog } from '../../src/store/page-log.js';
import { ownIdentity } from '../../src/store/process-identity.js';
import { subscribers } from '../../src/store/subscribers.js';
import { telegramClient } from '../../src/telegram/client.js';
import { text } from '../support/receiving-world.js';
import { testStores } from '../support/test-store.js';

const dataDir = await mkdtemp(join(tmpdir(), 'receiving-'));
t.teardown(() => rm(dataDir, { recursive: true, force: true }));
const { store } = await (await testStores(t)).fresh(t);
const { Updates, Chats, DeadLetters, Pages, Owners } = store.models;
const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);

t.test('inbox', async (t) => {
  let now = 0;
  const box = inbox(store, 'i', { wallNow: () => now });
  const ids = (rows: readonly { updateId: number }[]) => rows.map((row) => row.updateId);
  const first = box.batch([text(10, 7, 'a'), text(11, 8, 'b')]);
  t.same(ids(await first.write()), [10, 11]);
  t.same(ids(await first.write()), [10, 11], 'a repeat after a lost answer brings the same');
  t.same(
    ids(await box.batch([text(10, 7, 'a'), text(12, 7, 'c'), text(11, 8, 'b')]).write()),
    [10, 11, 12],
    'what a fenced owner may have brought is handed over too',
  );
  t.same(
    ids(
      await inbox(store, 'other', { wallNow: () => 0 })
        .batch([text(10, 7, 'a')])
        .write(),
    ),
    [10],
    'unique by bot',
  );
  t.same(ids(await box.unsettled(10, 1)), [11]);
  t.match(await box.unsettled(Number.MIN_SAFE_INTEGER, 9), [
    { updateId: 10, chat: 7, tries: 0, crashes: 0, body: { message: { text: 'a' } }, at: new Date(0) },
    { updateId: 11 },
    { updateId: 12 },
  ]);
  now = 5_000;
  await Promise.all([box.settle(10), box.settle(99)]);
  t.match(await Updates.collection.findOne({ bot: 'i', updateId: 10 }), {
    state: 'settled',
    settledAt: new Date(5_000),
  });
  t.same(ids(await box.batch([text(10, 7, 'a'), text(12, 7, 'c')]).write()), [12], 'the settled is left out');
  await box.recordCrashes([
    { updateId: 10, crashes: 2 },
    { updateId: 11, crashes: 2 },
  ]);
  await box.recordCrashes([]);
  await box.recordTries(11, 1);
  t.match(
    await box.find([10, 11, 12, 13]),
    [
      { updateId: 11, crashes: 2, tries: 1 },
      { updateId: 12, crashes: 0 },
    ],
    'the settled is left alone',
  );
  t.same(await box.find([]), []);
  const [row] = await box.find([11]);
  if (row === undefined) throw new Error('no row');
  await box.bury(row, 'PH_TEST: no', 3);
  await box.bury(row, 'again', 4);
  t.match(await DeadLetters.collection.find({ bot: 'i' }).toArray(), [
    {
      queue: 'updates',
      source: '11',
      reason: 'PH_TEST: no',
      attempts: 3,
      state: 'waiting',
      payload: { update_id: 11 },
    },
  ]);
  t.same(ids(await box.unsettled(0, 9)), [12]);
});

t.test('chats as updates change them', async (t) => {
  const chats = subscribers(store, 's');
  const row = () => Chats.collection.findOne({ bot: 's', chatId: 7 });
  const facts = (reach: 'ok' | 'blocked', more: object = {}) => ({
    chatId: 7,
    type: 'private' as const,
    reach,
    profile: { firstName: 'Ada', ...more },
  });
  t.equal(await chats.find(7), undefined);
  await chats.mark(facts('ok', { lastName: 'L', languageCode: 'en' }), { updateId: 100, at: at(0) });
  t.match(await row(), {
    type: 'private',
    reach: 'ok',
    firstName: 'Ada',
    lastName: 'L',
    tags: [],
    createdAt: at(0),
    lastUpdateAt: at(0),
  });
  t.notOk((await row())?.subscription, 'in touch, not subscribed');
  t.same(await chats.find(7), { chatId: 7, since: at(0) });

  await chats.subscribe(7, 'active', { updateId: 101, at: at(1) });
  await chats.subscribe(7, 'active', { updateId: 102, at: at(2) });
  t.same(await chats.find(7), { chatId: 7, subscription: 'active', since: at(1) }, 'asked again: since stays');
  await chats.subscribe(7, 'stopped', { updateId: 104, at: at(4) });
  await chats.subscribe(7, 'active', { updateId: 103, at: at(3) });
  t.same(await chats.find(7), { chatId: 7, subscription: 'stopped', since: at(4) }, 'an older update undoes nothing');

  await chats.mark(facts('blocked'), { updateId: 105, at: at(5) });
  t.match(await row(), {
    reach: 'blocked',
    blockedAt: at(5),
    lastUpdateAt: at(5),
    subscription: 'stopped',
    languageCode: 'en',
  });
  t.notOk((await row())?.lastName, 'a name that was taken away');
  await chats.mark(facts('ok'), { updateId: 104, at: at(4) });
  t.match(await row(), { reach: 'blocked', lastUpdateAt: at(5) }, 'late again');
  await chats.mark(facts('ok'), { updateId: 106, at: at(6) });
  t.equal((await row())?.reach, 'ok');
  t.notOk((await row())?.blockedAt);
  await Chats.collection.updateOne({ bot: 's', chatId: 7 }, { $set: { reach: 'blocked', blockedAt: at(7) } });
  await chats.mark(facts('ok'), { updateId: 106, at: at(6) });
  t.equal((await row())?.reach, 'blocked', 'the same update again does not undo what came after it');

  const week = 7 * 86_400_000;
  await chats.mark(facts('ok'), { updateId: 3, at: at(week) });
  await chats.subscribe(7, 'active', { updateId: 3, at: at(week) });
  t.match(await row(), { reach: 'ok', subscription: 'active' }, 'ids may restart after a week');

  await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      chats.mark({ chatId: 1_000 + (i % 25), type: 'private', reach: 'ok' }, { updateId: i, at: at(i) }),
    ),
  );
  t.equal(
    await Chats.collection.countDocuments({ bot: 's', chatId: { $gte: 1_000 } }),
    25,
    'many at once, each chat once',
  );
});

t.test('from the local Telegram to the outbox, over sockets', async (t) => {
  const telegram = await startLocalTelegram({ dataDir, port: 0 });
  const [me] = telegram.control.bots();
  if (me === undefined) throw new Error('no bot');
  const bot = String(me.id);
  const client = telegramClient(telegram.url, me.token, 8);
  const keeper = leaseKeeper(store, ownIdentity(), systemClock, silentLog);
  const statuses: IngressStatus[] = [];
  const deps = {
    bot,
    client,
    keeper,
    inbox: inbox(store, bot, systemClock),
    subscribers: subscribers(store, bot),
    acceptance: acceptance(store, pageLog(store, systemClock, silentLog), systemClock),
    features,
    status: { report: (status: IngressStatus) => statuses.push(status) },
    onUnauthorized: (description: string) => t.fail(description),
  };
  const begin = async () => {
    const system = createActorSystem({ log: silentLog });
    const children = [worker(ingressActor(deps)), worker(botActor(deps))];
    await system.start(supervisor({ name: `bot:${bot}`, strategy: 'rest-for-one', children }));
    return system;
  };
  const until = async (what: string, check: () => Promise<boolean>) => {
    for (let i = 0; i < 500; i += 1) {
      if (await check()) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`not reached: ${what}`);
  };
  const person = telegram.control.makePerson({ firstName: 'Ada' });
  const say = (words: string) => telegram.control.write(person.id, me.id, words);
  const row = () => Chats.collection.findOne({ bot, chatId: person.id });
  const texts = async () =>
    (await Pages.collection.find({ bot }).sort({ n: 1 }).toArray()).flatMap((page) =>
      (page.bodies as { text: string }[]).map((body) => body.text),
    );

  let system = await begin();
  t.teardown(async () => {
    await system.stop();
    keeper.stop();
    await client.destroy();
    await telegram.stop();
  });
  say('/start');
  await until('subscribed', async () => (await texts()).length === 1);
  t.match(await row(), { subscription: 'active', reach: 'ok', firstName: 'Ada' });
  say('/status');
  say('/stop');
  await until('stopped', async () => (await texts()).length === 3);
  t.match(await texts(), [/You are subscribed now/, /subscribed since/, /unsubscribed/]);
  t.match(await row(), { subscription: 'stopped' });
  telegram.control.block(me.id, [person.id]);
  await until('blocked', async () => (await row())?.reach === 'blocked');
  telegram.control.unblock(me.id, person.id);
  await until('back', async () => (await row())?.reach === 'ok');
  t.equal(statuses.at(-1)?.state, 'polling');

  const began = Date.now();
  await system.stop();
  t.ok(Date.now() - began < 5_000, 'the long poll of 25 s is not waited for');
  t.match(await Owners.collection.findOne({ bot, part: 'receive' }), { owner: null, handling: [] });
  say('/start');
  system = await begin();
  await until('taken up again', async () => (await texts()).length === 4);
  await until('settled', async () => (await Updates.collection.countDocuments({ bot, state: 'queued' })) === 0);
  t.match(await row(), { subscription: 'active' });
});
