import t, { type Test } from 'tap';
import { systemClock } from '../../src/actors/clock.js';
import { ledger } from '../../src/delivery/ledger.js';
import { silentLog } from '../../src/log.js';
import { type Acceptance, acceptance } from '../../src/store/acceptance.js';
import { countWaiting, type DeadLetterQuery, deadLetters } from '../../src/store/dead-letters.js';
import { findDelivery } from '../../src/store/deliveries.js';
import { inbox } from '../../src/store/inbox.js';
import type { ResultRow } from '../../src/store/models.js';
import { pageLog } from '../../src/store/page-log.js';
import { KEEP_MS, prunePages } from '../../src/store/pruning.js';
import { bytes, type Commit, type NewDeadLetter, sendStore } from '../../src/store/send-store.js';
import type { Store } from '../../src/store/store.js';
import { text } from '../support/receiving-world.js';
import { testStores } from '../support/test-store.js';

const stores = await testStores(t);
const DAY_MS = 86_400_000;

const wayIn = (store: Store): Acceptance => acceptance(store, pageLog(store, systemClock, silentLog), systemClock);
const lettersOf = (store: Store, through: Pick<Acceptance, 'replays'> = wayIn(store)) =>
  deadLetters(store, through, systemClock);
const LIST: DeadLetterQuery = { state: 'waiting', limit: 100 };

/** A closed page of dead messages to these chats, as the send owner leaves it; answers the letters' ids. */
async function die(
  store: Store,
  bot: string,
  chats: readonly number[],
  fields: Partial<NewDeadLetter['payload']> = {},
  reason = "Bad Request: can't parse entities",
): Promise<string[]> {
  const { lane = 'notify', class: klass = 'at-least-once', state = 'dead' } = fields;
  const messages = chats.map((chatId) => ({ chatId, text: `to ${chatId}`, lane, class: klass }));
  const { ids } = await wayIn(store).messages(bot, messages);
  const n = Number(ids[0]?.split('-')[1]);
  const book = ledger(() => 1);
  const { source } = book.open(n, undefined, chats.length, []);
  for (const index of chats.keys()) {
    const end = { attempts: 3, messageId: 0, at: Date.now(), error: { code: 400, description: reason } };
    book.settle(source, index, { ...end, state: state === 'unknown' ? 'unknown' : 'dead' });
  }
  const commit: Commit = {
    epoch: 1,
    deadLetters: ids.map((id, index) => ({
      source: id,
      reason,
      attempts: 3,
      payload: { ...(messages[index] ?? { chatId: 0, text: '', lane, class: klass }), state, ...fields },
    })),
    unreachable: [],
    frozen: [],
    results: book.take().writes,
    closed: [{ n, k: undefined }],
  };
  await sendStore(store, bot).commit(commit);
  return ids;
}

const byText = (a: string, b: string): number => (a < b ? -1 : 1);
const keysOf = (ids: readonly string[]): string[] => ids.map((id) => `r:${id}:1`).sort(byText);

/** Pages of replays: their keys, and how many messages they hold. */
async function replayPages(store: Store): Promise<{ keys: string[]; messages: number }> {
  const pages = await store.models.Pages.find({ keys: /^r:/ }).lean();
  return {
    keys: pages.flatMap(({ keys = [] }) => keys).sort(byText),
    messages: pages.reduce((sum, { heads }) => sum + Buffer.from(heads.buffer).length / 16, 0),
  };
}

t.test('list, show and count', async (t) => {
  const { store } = await stores.fresh(t);
  const letters = lettersOf(store);
  const first = await die(store, '1', [10, 11, 12]);
  const second = await die(store, '2', [20], { state: 'unknown', class: 'at-most-once' }, 'the answer was lost (a+b)');
  // Times of one moment are told apart by the rows' ids.
  await store.models.DeadLetters.updateMany({ bot: '1' }, { at: new Date(1_000) });
  const all = await letters.list('deliveries', LIST);
  t.equal(all.next, undefined);
  t.equal(all.items.length, 4);
  t.match(all.items[0], {
    id: second[0],
    botId: '2',
    chatId: 20,
    class: 'at-most-once',
    outcome: 'unknown',
    state: 'waiting',
    attempts: 3,
  });
  t.same(
    all.items
      .slice(1)
      .map(({ id }) => id)
      .sort(),
    first,
  );
  const paged: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await letters.list('deliveries', { ...LIST, limit: 1, ...(cursor === undefined ? {} : { cursor }) });
    paged.push(...page.items.map(({ id }) => id));
    cursor = page.next;
  } while (cursor !== undefined);
  t.same(
    paged,
    all.items.map(({ id }) => id),
    'by cursor the same, none twice',
  );
  const ids = async (query: Partial<DeadLetterQuery>) =>
    (await letters.list('deliveries', { ...LIST, ...query })).items.map(({ id }) => id).sort(byText);
  t.same(await ids({ bot: '2' }), second);
  t.same(await ids({ reason: 'ANSWER' }), second, 'whatever the case');
  t.same(await ids({ reason: '(a+b)' }), second, 'no pattern, just a text');
  t.same(await ids({ reason: 'a.b' }), []);
  t.same(await ids({ since: new Date(2_000) }), second);
  t.same(await ids({ state: 'replayed' }), []);
  t.same((await letters.list('jobs', LIST)).items, []);
  t.match(await letters.find('deliveries', first[1] ?? ''), { id: first[1], message: { text: 'to 11' } });
  for (const id of ['', '1-9-9', 'x', '1', '9'.repeat(99)])
    t.equal(await letters.find('deliveries', id), undefined, `no letter ${id}`);
  t.equal(await countWaiting(store, ['deliveries']), 4);
  t.equal(await countWaiting(store, ['updates', 'jobs']), 0);
});

t.test('a replay is a new delivery that keeps what the message was, and it happens once', async (t) => {
  const { store } = await stores.fresh(t);
  const letters = lettersOf(store);
  const [one = ''] = await die(store, '1', [10], {
    lane: 'reply',
    class: 'at-most-once',
    state: 'unknown',
    parseMode: 'HTML',
  });
  const rest = await die(store, '1', [11, 12, 13]);
  t.same(await letters.replay('deliveries', [one]), { replayed: 1, refused: [] });
  const replayed = await letters.find('deliveries', one);
  t.match(replayed, { state: 'replayed', replayedAs: '1-3-0' });
  t.match(await findDelivery(store, '1-3-0'), { chatId: 10, lane: 'reply', class: 'at-most-once', state: 'queued' });
  t.match(await store.models.Pages.findOne({ bot: '1', n: 3 }).lean(), {
    bodies: [{ text: 'to 10', parseMode: 'HTML' }],
    keys: [`r:${one}:1`],
  });
  t.match(await findDelivery(store, one), { state: 'unknown' }, 'the old delivery stays what it is');
  t.same(await letters.replay('deliveries', [one]), { replayed: 0, refused: [] }, 'nothing is replayed twice');
  t.same(await letters.replay('deliveries', { reason: 'parse' }), { replayed: 3, refused: [] });
  t.same(await letters.replay('deliveries', {}), { replayed: 0, refused: [] });
  t.same(await replayPages(store), { keys: keysOf([one, ...rest]), messages: 4 });
  t.equal(await countWaiting(store, ['deliveries']), 0);
});

t.test('a replay of a text in parts goes on behind the parts that were sent', async (t) => {
  const { store } = await stores.fresh(t);
  const letters = lettersOf(store);
  const parts = [
    { from: 0, to: 4_000, after: '</b>' },
    { from: 4_001, to: 8_000, before: '<b>', after: '</b>' },
    { from: 8_001, to: 9_000, before: '<b>' },
  ];
  const long = { text: `<b>${'word '.repeat(1_799)}</b>`, parseMode: 'HTML' };
  const [two = ''] = await die(store, '1', [10], { ...long, parts, messageIds: [7, 8] });
  const [none = ''] = await die(store, '1', [11], long);
  const bodies = async (id: string) => {
    t.same(await letters.replay('deliveries', [id]), { replayed: 1, refused: [] });
    const as = (await letters.find('deliveries', id))?.replayedAs ?? '';
    return (await store.models.Pages.findOne({ bot: '1', n: Number(as.split('-')[1]) }).lean())?.bodies;
  };
  t.match(await bodies(two), [{ text: long.text, parseMode: 'HTML', parts: [parts[2]] }], 'the third alone');
  t.equal((await bodies(none))?.[0]?.parts?.length, 3, 'all of one of which none was sent');
});

t.test('many replays at once give one message each', async (t) => {
  const { store, another } = await stores.fresh(t);
  const ids = await die(
    store,
    '1',
    Array.from({ length: 700 }, (_, index) => index + 1),
  );
  const sides = [lettersOf(store), lettersOf(await another()), lettersOf(await another())];
  const ends = await Promise.all(
    sides.flatMap((side) => [side.replay('deliveries', {}), side.replay('deliveries', ids.slice(0, 300))]),
  );
  t.equal(
    ends.reduce((sum, { replayed }) => sum + replayed, 0),
    700,
    'each is counted by one of them',
  );
  t.same(await replayPages(store), { keys: keysOf(ids), messages: 700 });
  const rows = await store.models.DeadLetters.find({}).lean();
  t.ok(rows.every(({ state, replaying }) => state === 'replayed' && replaying === undefined));
  t.equal(new Set(rows.map(({ replayedAs }) => replayedAs)).size, 700, 'each names its own delivery');
});

/** What a crash at a point of a replay leaves: `before` or `after` the append. */
function dying(through: Acceptance, point: 'before' | 'after'): Pick<Acceptance, 'replays'> {
  return {
    async replays(bot, replays) {
      if (point === 'after') await through.replays(bot, replays);
      throw new Error('killed');
    },
  };
}

t.test('crashes of a replay lose nothing and double nothing', async (t) => {
  for (const point of ['before', 'after'] as const) {
    await t.test(`${point} the append`, async (t) => {
      const { store } = await stores.fresh(t);
      const ids = await die(store, '1', [1, 2, 3]);
      await t.rejects(lettersOf(store, dying(wayIn(store), point)).replay('deliveries', {}), { message: 'killed' });
      const letters = lettersOf(store);
      t.match(
        (await letters.list('deliveries', LIST)).items.map(({ state, replaying }) => ({ state, replaying })),
        ids.map(() => ({ state: 'waiting', replaying: true })),
        'they wait, and show that a replay has begun',
      );
      t.equal(await letters.drop('deliveries', ids), 0, 'what may be sent already cannot be dropped');
      t.same(await letters.replay('deliveries', {}), { replayed: 3, refused: [] });
      t.same(await replayPages(store), { keys: ids.map((id) => `r:${id}:1`), messages: 3 });
      for (const { chatId, replayedAs } of (await letters.list('deliveries', { ...LIST, state: 'replayed' })).items)
        t.match(await findDelivery(store, replayedAs ?? ''), { chatId }, 'also the second time the delivery is named');
    });
  }

  await t.test('answers that are lost', async (t) => {
    const { store, another, proxy } = await stores.fresh(t);
    const ids = await die(store, '1', [1, 2, 3]);
    const cut = await proxy();
    const far = lettersOf(await another(cut));
    cut.loseAnswers(2, 'dead_letters', 'update');
    for (let done = false; !done; ) {
      done = await far.replay('deliveries', {}).then(
        () => true,
        () => false,
      );
    }
    t.ok(cut.lost > 0);
    t.same(await replayPages(store), { keys: ids.map((id) => `r:${id}:1`), messages: 3 });
    t.equal(await countWaiting(store, ['deliveries']), 0);
  });
});

t.test('what was dropped is not replayed, and what was sent after all neither', async (t) => {
  const { store } = await stores.fresh(t);
  const letters = lettersOf(store);
  const [dropped = '', sent = '', left = ''] = await die(store, '1', [1, 2, 3]);
  t.equal(await letters.drop('deliveries', [dropped]), 1);
  t.equal(await letters.drop('deliveries', [dropped]), 0);
  const results = store.models.Results.collection;
  const row = await results.findOne({ bot: '1', n: 1 });
  const items = Buffer.from(bytes((row as unknown as ResultRow).items));
  items.writeUInt8(1, 24); // what a fenced owner had called dead, its successor has sent
  await results.updateOne({ bot: '1', n: 1 }, { $set: { items } });
  t.same(await letters.replay('deliveries', {}), { replayed: 1, refused: [sent] });
  t.same((await replayPages(store)).keys, [`r:${left}:1`]);
  t.match(
    await letters.look('deliveries', [dropped, sent, 'none']),
    new Map([
      [dropped, { state: 'dropped' }],
      [sent, { state: 'waiting' }],
    ]),
  );
  t.equal(await letters.drop('deliveries', {}), 1, 'all that wait');
});

t.test('pages with open dead letters stay, and those that would answer for one', async (t) => {
  const { store } = await stores.fresh(t);
  const letters = lettersOf(store);
  const [one = ''] = await die(store, '1', [1]);
  const [two = ''] = await die(store, '1', [2]);
  const later = Date.now() + KEEP_MS + DAY_MS;
  t.equal(await prunePages(store, '1', later), 0, 'both wait');
  await letters.drop('deliveries', [one]);
  t.equal(await prunePages(store, '1', later), 1, 'the page of the dropped one goes');
  t.equal(await letters.find('deliveries', one), undefined, 'with its letter');
  // A replay of the other was killed behind its append, and what it appended is long done.
  await t.rejects(lettersOf(store, dying(wayIn(store), 'after')).replay('deliveries', [two]));
  await sendStore(store, '1').commit({
    epoch: 1,
    deadLetters: [],
    unreachable: [],
    frozen: [],
    results: [],
    closed: [{ n: 3, k: undefined }],
  });
  await wayIn(store).messages('1', [{ chatId: 9, text: 'newer', lane: 'notify', class: 'at-least-once' }]);
  t.equal(await prunePages(store, '1', later), 0, 'the log still knows that it was replayed');
  t.same(await letters.replay('deliveries', [two]), { replayed: 1, refused: [] });
  t.same(await replayPages(store), { keys: [`r:${two}:1`], messages: 1 });
  t.equal(await prunePages(store, '1', later), 2);
});

t.test('updates are queued again for the receive owner', async (t) => {
  const { store } = await stores.fresh(t);
  const box = inbox(store, '1', systemClock);
  const letters = lettersOf(store);
  const row = (updateId: number) => store.models.Updates.findOne({ bot: '1', updateId }).lean();
  /** The update as the inbox hands it out. */
  const queued = async (updateId: number) => {
    const [found] = await box.find([updateId]);
    if (found === undefined) throw new Error(`update ${updateId} is not queued`);
    return found;
  };
  await box.batch([text(1, 7, '/one'), text(2, 8, '/two'), text(3, 9, '/three')]).write();
  const first = await queued(1);
  await box.recordTries(1, 2);
  await box.bury(first, 'Error: no', 3);
  t.match(await letters.find('updates', '1-1'), {
    id: '1-1',
    updateId: 1,
    state: 'waiting',
    reason: 'Error: no',
    update: { message: { text: '/one' } },
  });
  t.same(await box.replayed(10), [], 'nothing was asked for');

  await t.test('with no tries, until it is settled', async (t) => {
    t.same(await letters.replay('updates', ['1-1']), { replayed: 1, refused: [] });
    t.same(await letters.replay('updates', ['1-1']), { replayed: 0, refused: [] });
    t.match(await letters.find('updates', '1-1'), { state: 'replayed', replaying: true });
    const [again] = await box.replayed(10);
    t.match(again, { updateId: 1, chat: 7, tries: 0, crashes: 0, replays: 1, at: first.at });
    t.match(await row(1), { state: 'queued', settledAt: undefined });
    t.equal((await box.replayed(10)).length, 1, 'whoever asks next is told, too: the first may have died');
    await box.settle(1);
    t.same(await box.replayed(10), []);
    t.equal((await letters.find('updates', '1-1'))?.replaying, undefined, 'now it is seen through');
    t.same(await box.replayed(10), []);
    t.match(await row(1), { state: 'settled' });
  });

  await t.test('it may die again, and late copies of a death harm nothing', async (t) => {
    const second = await queued(2);
    await box.bury(second, 'first death', 3);
    await letters.replay('updates', {});
    const [again] = await box.replayed(10);
    if (again === undefined) throw new Error('not queued');
    await box.bury(second, 'first death, repeated', 3);
    t.match(await row(2), { state: 'queued' }, 'a repeat of the first death does not end the second run');
    t.match(await letters.find('updates', '1-2'), { state: 'replayed' });
    await box.bury(again, 'second death', 3);
    t.match(await letters.find('updates', '1-2'), { state: 'waiting', reason: 'second death' });
    t.match(await row(2), { state: 'dead' });
    t.same(await box.replayed(10), []);
    await letters.replay('updates', ['1-2']);
    await box.bury(again, 'second death, repeated', 3);
    t.match(await letters.find('updates', '1-2'), { state: 'replayed', reason: 'second death' });
    t.match(await box.replayed(10), [{ updateId: 2, replays: 2 }]);
    await box.settle(2);
    await box.replayed(10);
  });

  await t.test('a replay between the two writes of a death waits for the second', async (t) => {
    const third = await queued(3);
    const half = inbox(
      {
        models: {
          ...store.models,
          Updates: {
            ...store.models.Updates,
            collection: { updateOne: () => Promise.reject(new Error('killed')) },
          },
        },
      } as unknown as Store,
      '1',
      systemClock,
    );
    await t.rejects(half.bury(third, 'half dead', 3), { message: 'killed' });
    await letters.replay('updates', ['1-3']);
    t.same(await box.replayed(10), [], 'it is not dead yet');
    await box.bury(third, 'half dead', 3);
    t.match(await box.replayed(10), [{ updateId: 3, replays: 1 }], 'now it is, and it is queued again');
    await box.settle(3);
    await box.replayed(10);
  });

  await t.test('its row has expired: the letter has it all', async (t) => {
    await box.batch([text(4, 7, '/four')]).write();
    await box.bury(await queued(4), 'no', 3);
    await store.models.Updates.deleteOne({ bot: '1', updateId: 4 });
    await letters.replay('updates', { bot: '1' });
    t.match(await box.replayed(10), [
      { updateId: 4, chat: 7, tries: 0, replays: 1, body: { message: { text: '/four' } } },
    ]);
    t.match(await box.replayed(10), [{ updateId: 4 }]);
    await box.settle(4);
    await box.replayed(10);
  });

  await t.test('letters that were dealt with go after a week, and pages stay that would answer for one', async (t) => {
    await box.batch([text(5, 7, '/five')]).write();
    const message = { chatId: 7, text: 'answer', lane: 'reply', class: 'at-least-once' } as const;
    // It answered and then died: its replay must find the answer.
    await wayIn(store).outputs('1', 5, [message]);
    await box.bury(await queued(5), 'after its answer', 3);
    await store.models.Pages.updateMany({ bot: '1' }, { $unset: { open: '' }, closedAt: new Date() });
    await wayIn(store).messages('1', [message]);
    const later = Date.now() + KEEP_MS + DAY_MS;
    t.equal(await prunePages(store, '1', later), 0);
    t.equal(await store.models.DeadLetters.countDocuments({ queue: 'updates' }), 1, 'the one that waits');
    await letters.drop('updates', {});
    t.equal(await prunePages(store, '1', later), 1);
    t.equal(await store.models.DeadLetters.countDocuments({ queue: 'updates' }), 0);
  });
});

t.test('a full house is refused, and what was taken is replayed', async (t: Test) => {
  const { store } = await stores.fresh(t);
  await die(store, '1', [1]);
  await die(store, '2', [2]);
  await store.models.Owners.create({ bot: '2', part: 'send', owner: null, epoch: 1, beat: 1, waiting: 2_000_000 });
  const letters = lettersOf(store);
  await t.rejects(letters.replay('deliveries', {}), { code: 'PH_TOO_MANY_WAITING' });
  t.match((await letters.list('deliveries', LIST)).items, [{ id: '2-1-0', state: 'waiting' }]);
  t.same((await replayPages(store)).messages, 1);
});
