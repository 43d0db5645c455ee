import { Binary, ObjectId } from 'mongodb';
import t from 'tap';
import { systemClock } from '../../src/actors/clock.js';
import { exportDeliveries, listDeliveries } from '../../src/api/delivery.js';
import { csvFields } from '../../src/api/import/csv-records.js';
import type { Services } from '../../src/api/services.js';
import { storeServices } from '../../src/api/store-services.js';
import { ledger } from '../../src/delivery/ledger.js';
import { packChats } from '../../src/delivery/packed.js';
import { silentLog } from '../../src/log.js';
import { acceptance } from '../../src/store/acceptance.js';
import { type DeliveryView, findDelivery } from '../../src/store/deliveries.js';
import { pageLog } from '../../src/store/page-log.js';
import { sendStore } from '../../src/store/send-store.js';
import type { Store } from '../../src/store/store.js';
import { testStores } from '../support/test-store.js';

const { store } = await (await testStores(t)).fresh(t);
const wayIn = acceptance(store, pageLog(store, systemClock, silentLog), systemClock);
const services = storeServices(store, wayIn, () => new Date(), {
  first: '7',
  local: true,
  rates: { rate: 30, chatRate: 1, groupRate: 20 },
  secretKey: async () => 'x'.repeat(43),
  getMe: async () => ({ kind: 'failed', reason: 'nobody asks' }),
});
const STATES = ['sent', 'dead', 'queued', 'blocked', 'unknown'] as const;

/** Settles items of a page in turn as STATES says; `queued` ones stay open. */
async function settle(into: Store, n: number, k: number | undefined, count: number): Promise<void> {
  const book = ledger(() => 1);
  const { source } = book.open(n, k, count, []);
  for (let index = 0; index < count; index += 1) {
    const state = STATES[index % STATES.length];
    if (state === undefined || state === 'queued') continue;
    const error = { error: { code: 400, description: `no, "${index}"` } };
    const end = { state, attempts: 1, messageId: state === 'sent' ? 100 + index : 0, at: Date.now() };
    book.settle(source, index, { ...end, ...(state === 'sent' ? {} : error) });
  }
  const results = book.take().writes;
  await sendStore(into, '7').commit({ epoch: 1, deadLetters: [], unreachable: [], frozen: [], results, closed: [] });
}

/** Pages of every kind: small ones, one of several chunks, a broadcast in parts, one without results. Answers all ids, newest first. */
async function fill(): Promise<string[]> {
  const ids: string[] = [];
  const message = (chatId: number) => ({ chatId, text: 'x', lane: 'notify', class: 'at-least-once' }) as const;
  for (let n = 1; n <= 60; n += 1) {
    const chats = Array.from({ length: n % 4 }, (_, index) => 1 + ((n + index) % 5));
    ids.push(...(await wayIn.messages('7', [...chats, 9].map(message))).ids);
    if (n % 7 !== 0) await settle(store, n, undefined, chats.length + 1);
  }
  const many = Array.from({ length: 1_300 }, (_, index) => (index % 100 === 0 ? 3 : 1_000 + index));
  ids.push(...(await wayIn.chatIds('7', message(0), many)).ids);
  await settle(store, 61, undefined, many.length);
  const body = { text: 'all', lane: 'bulk', class: 'at-most-once', audience: { types: ['private'] } } as const;
  await wayIn.broadcast('7', { ...body, audience: { types: ['private'] } });
  for (let k = 0; k < 45; k += 1) {
    const chats = Array.from({ length: k % 6 }, (_, index) => (index === 0 ? 3 : 5_000 + k * 10 + index));
    const row = {
      _id: new ObjectId(),
      bot: '7',
      n: 62,
      k,
      after: null,
      upTo: null,
      chats: new Binary(packChats(chats)),
    };
    await store.models.BroadcastPages.collection.insertOne(row as never);
    if (k % 5 !== 4) await settle(store, 62, k, chats.length);
    ids.push(...chats.map((_, index) => `7-62-${k}-${index}`));
  }
  ids.push(...(await wayIn.messages('7', [message(3), message(4)])).ids);
  return ids.reverse();
}

await store.models.Bots.collection.insertOne({ bot: '7', token: 'x', state: 'active', createdAt: new Date() } as never);
const all = await fill();
const views = new Map<string, DeliveryView>();
for (const id of all) {
  const found = await findDelivery(store, id);
  if (found === undefined) throw new Error(`no delivery ${id}`);
  views.set(id, found);
}
const expected = (fits: (view: DeliveryView) => boolean): DeliveryView[] => [...views.values()].filter(fits);

/** All pages of a list, one after the other. */
async function listed(query: Record<string, string>, through: Services = services): Promise<DeliveryView[]> {
  const items: DeliveryView[] = [];
  let cursor: string | undefined;
  do {
    const page = await listDeliveries(through, { ...query, ...(cursor === undefined ? {} : { cursor }) });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== undefined);
  return items;
}

t.test('a list is the deliveries as they are found one by one, the newest first', async (t) => {
  t.same(await listed({}), [...views.values()]);
  t.same(await listed({ limit: '1000', botId: '7' }), [...views.values()]);
  t.same(await listed({ limit: '7' }), [...views.values()], 'however it is cut');
  for (const state of ['queued', 'sent', 'blocked', 'dead', 'unknown', 'cancelled', 'skipped', 'attempting'])
    t.same(
      await listed({ state }),
      expected((view) => view.state === state),
      state,
    );
  for (const chatId of [3, 4, 9, 1_001, 77])
    t.same(
      await listed({ chatId: String(chatId), limit: '2' }),
      expected((view) => view.chatId === chatId),
      `chat ${chatId}`,
    );
  t.same(
    await listed({ broadcastId: '7-62', limit: '10' }),
    expected(({ id }) => id.startsWith('7-62-')),
  );
  t.same(
    await listed({ broadcastId: '7-62', state: 'dead', chatId: '3' }),
    expected((view) => view.id.startsWith('7-62-') && view.state === 'dead' && view.chatId === 3),
  );
  t.same(await listed({ broadcastId: '7-61' }), [], 'no broadcast');
});

t.test('an answer is bounded in what it looks at', async (t) => {
  const steps: Services['walkDeliveries'] = async function* () {
    for (let n = 9; n > 0; n -= 1) yield { found: [], looked: 40_000, last: { bot: '7', n, index: 0 } };
  };
  const page = await listDeliveries({ ...services, walkDeliveries: steps }, { state: 'dead' });
  t.same(page, { items: [], next: '7-7-0' }, 'nothing found, and where to go on');
});

t.test('times', async (t) => {
  const old = new Date(Date.now() - 2 * 86_400_000);
  await store.models.Pages.updateMany({ bot: '7', n: { $lte: 30 } }, { at: old });
  t.teardown(() => store.models.Pages.updateMany({ bot: '7', n: { $lte: 30 } }, { at: new Date() }));
  const ids = (items: readonly DeliveryView[]) => items.map(({ id }) => id);
  const ofPages = (fits: (n: number) => boolean) => all.filter((id) => fits(Number(id.split('-')[1])));
  t.same(ids(await listed({})), all, 'without a time all that is kept');
  const hourAgo = new Date(Date.now() - 3_600_000).toISOString();
  t.same(
    ids(await listed({ since: hourAgo })),
    ofPages((n) => n > 30),
  );
  const ofChat = ids(expected((view) => view.chatId === 9));
  t.same(
    ids(await listed({ chatId: '9' })),
    ofChat.filter((id) => Number(id.split('-')[1]) > 30),
    'by chat the last day',
  );
  t.same(ids(await listed({ chatId: '9', since: '2020-01-01' })), ofChat);
  // A page whose writer's clock was behind does not hide those before it.
  await store.models.Pages.updateOne({ bot: '7', n: 50 }, { at: new Date(Date.now() - 3_700_000) });
  t.teardown(() => store.models.Pages.updateOne({ bot: '7', n: 50 }, { at: new Date() }));
  t.same(
    ids(await listed({ since: hourAgo })),
    ofPages((n) => n > 30 && n !== 50),
  );
});

t.test('wrong queries name their fields', async (t) => {
  const wrong: [Record<string, string>, string][] = [
    [{ state: 'done' }, 'state'],
    [{ chatId: '0' }, 'chatId'],
    [{ chatId: '1.5' }, 'chatId'],
    [{ since: '1 day' }, 'since'],
    [{ broadcastId: '7' }, 'broadcastId'],
    [{ broadcastId: '8-1' }, 'botId'],
    [{ broadcastId: '8-1', botId: '7' }, 'broadcastId'],
    [{ cursor: 'x' }, 'cursor'],
    [{ cursor: '8-1-1', botId: '7' }, 'cursor'],
    [{ botId: '8' }, 'botId'],
    [{ debug: '1' }, 'debug'],
  ];
  for (const [query, field] of wrong)
    await t.rejects(listDeliveries(services, query), { status: 400, errors: [{ field }] }, JSON.stringify(query));
  await t.rejects(exportDeliveries(services, { format: 'xml' }), { errors: [{ field: 'format' }] });
  await t.rejects(exportDeliveries(services, { limit: '5' }), { errors: [{ field: 'limit' }] });
});

t.test('an export is all of it, in both forms', async (t) => {
  const text = async (query: object) => {
    let whole = '';
    for await (const part of (await exportDeliveries(services, query)).texts) whole += part;
    return whole;
  };
  const lines = (await text({ format: 'ndjson' })).trimEnd().split('\n');
  const whole = expected(() => true).map(({ createdAt, ...view }) => view);
  const parsed = lines.map((line) => JSON.parse(line) as DeliveryView);
  t.same(
    parsed.map(({ createdAt, ...view }) => view),
    whole,
  );
  const [header, ...records] = (await text({ state: 'dead' })).split('\r\n').slice(0, -1);
  t.equal(header, 'id,botId,chatId,lane,class,state,attempts,messageIds,errorCode,errorDescription,createdAt,sentAt');
  const dead = expected(({ state }) => state === 'dead');
  t.same(
    records.map((record) => csvFields(record)?.slice(0, 10)),
    dead.map(({ id, chatId, lane, class: klass, error }) => [
      id,
      '7',
      String(chatId),
      lane,
      klass,
      'dead',
      '1',
      '',
      '400',
      error?.description,
    ]),
    'quotes and commas come back as they were',
  );
  t.match(
    (await text({ state: 'sent', broadcastId: '7-62' })).split('\r\n')[1],
    /^7-62-\d+-\d+,7,\d+,bulk,at-most-once,sent,1,\d+,,,20/,
  );
});
