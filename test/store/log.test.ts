import t, { type Test } from 'tap';
import { silentLog } from '../../src/log.js';
import { acceptance, type NewBroadcast, type NewMessage } from '../../src/store/acceptance.js';
import type { PageRow } from '../../src/store/models.js';
import type { AppendRequest } from '../../src/store/page-compose.js';
import { type AppendedPage, type PageLog, pageLog } from '../../src/store/page-log.js';
import type { Store } from '../../src/store/store.js';
import { testStores } from '../support/test-store.js';

const stores = await testStores(t);

/** Wall time that goes `speed` times as fast, so that bounds in seconds cost less. */
function clockOf(speed = 1) {
  const start = Date.now();
  return {
    now: () => performance.now() * speed,
    wallNow: () => start + (Date.now() - start) * speed,
    setTimer(delayMs: number, run: () => void) {
      const timer = setTimeout(run, delayMs / speed);
      return () => clearTimeout(timer);
    },
  };
}

const logOf = (store: Store): PageLog => pageLog(store, clockOf(), silentLog);
const wayIn = (store: Store, log = logOf(store), maxWaiting?: number) => acceptance(store, log, clockOf(), maxWaiting);

const message = (chatId: number, more: Partial<NewMessage> = {}): NewMessage => ({
  chatId,
  text: `to ${chatId}`,
  lane: 'notify',
  class: 'at-least-once',
  ...more,
});

const request = (chats: readonly number[], more: Partial<AppendRequest> = {}): AppendRequest => ({
  heads: chats.map((chatId) => ({ chatId, body: 0, lane: 'notify', class: 'at-least-once' })),
  bodies: [{ text: 'a text' }],
  ...more,
});

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

async function rows(store: Store, bot: string): Promise<PageRow[]> {
  return (await store.models.Pages.collection.find({ bot }).sort({ n: 1 }).toArray()) as unknown as PageRow[];
}

const items = (row: PageRow | undefined): number =>
  row === undefined ? -1 : (row.heads as unknown as { length(): number }).length() / 16;

async function code(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

t.test('many appenders in two processes: n without gaps, in the order of commit', async (t) => {
  const { store, another } = await stores.fresh(t);
  const logs = [logOf(store), logOf(await another())];
  const seen: { began: number; ended: number; ids: string[] }[] = [];
  const told: AppendedPage[] = [];
  for (const log of logs) log.onAppended((page) => told.push(page));
  let tick = 0;
  const caller = async (who: number) => {
    for (let i = 0; i < 12; i += 1) {
      tick += 1;
      const began = tick;
      const { ids } = await (logs[who % 2] ?? logOf(store)).append('1', request(range(1 + ((who * 7 + i) % 9))));
      tick += 1;
      seen.push({ began, ended: tick, ids });
    }
  };
  await Promise.all(range(10).map(caller));
  const pages = await rows(store, '1');
  t.same(
    pages.map((page) => page.n),
    range(pages.length),
  );
  t.ok(pages.length < 120, `requests that wait share pages: ${pages.length} pages of 120 requests`);
  t.same(
    told.map((page) => page.n).sort((a, b) => a - b),
    range(pages.length),
    'each page is told once',
  );
  const place = (id = '') => id.split('-').slice(1).map(Number) as [number, number];
  const all = seen.flatMap(({ ids }) => ids);
  t.equal(new Set(all).size, all.length, 'no id is given twice');
  t.equal(
    pages.reduce((sum, page) => sum + items(page), 0),
    all.length,
  );
  for (const { ids } of seen) {
    const [n, first] = place(ids[0]);
    if (!ids.every((id, index) => place(id)[0] === n && place(id)[1] === first + index))
      t.fail(`torn apart: ${ids.join()}`);
  }
  for (const a of seen) {
    for (const b of seen) {
      if (a.ended >= b.began) continue;
      const [[an, ai], [bn, bi]] = [place(a.ids[0]), place(b.ids[0])];
      if (an > bn || (an === bn && ai > bi)) t.fail(`${a.ids[0]} was answered before ${b.ids[0]} began`);
    }
  }
});

t.test('what shares a page', async (t) => {
  const { store } = await stores.fresh(t);
  const log = logOf(store);
  const sizes = async (bot: string, requests: readonly AppendRequest[]) => {
    await Promise.all(requests.map((one) => log.append(bot, one)));
    return (await rows(store, bot)).map(items);
  };
  // The first finds nobody to wait for; the others wait for it together.
  t.same(
    await sizes(
      '1',
      range(25).map(() => request(range(100))),
    ),
    [100, 1_000, 1_000, 400],
  );
  t.same(
    await sizes('2', [request([1]), request([1]), request(range(1_500)), request([1])]),
    [1, 1, 1_500, 1],
    'a large one travels alone',
  );
  const heavy = () => request([1], { bodies: [{ text: 'x'.repeat(1_500_000) }] });
  t.same(await sizes('3', range(7).map(heavy)), [1, 2, 2, 2], '4 MB');
  const broadcast = request([], {
    broadcast: { lane: 'bulk', class: 'at-least-once', audience: { types: ['private'] } },
  });
  t.same(await sizes('4', [request([1]), request([1]), broadcast, request([1]), request([1])]), [1, 1, 0, 2]);
  t.same(
    (await rows(store, '4')).map((page) => page.kind),
    ['messages', 'messages', 'broadcast', 'messages'],
  );
  t.equal(
    await code(log.append('5', request([1], { bodies: [{ text: 'x'.repeat(17_000_000) }] }))),
    'PH_PAGE_TOO_LARGE',
  );
  t.equal((await rows(store, '5')).length, 0);
});

t.test('dedupKey', async (t) => {
  const { store, another } = await stores.fresh(t);
  const log = logOf(store);
  const keyed = (chatId: number, dedupKey?: string) => message(chatId, dedupKey === undefined ? {} : { dedupKey });

  await t.test('within a request, within a page, across pages', async (t) => {
    const way = wayIn(store, log);
    const { ids } = await way.messages('1', [keyed(1, 'a'), keyed(2, 'a'), keyed(1, 'a'), keyed(1), keyed(1, 'b')]);
    t.same(ids, ['1-1-0', '1-1-1', '1-1-0', '1-1-2', '1-1-3']);
    const again = await way.messages('1', [keyed(3), keyed(1, 'b'), keyed(4)]);
    t.same(again.ids, ['1-2-0', '1-1-3', '1-2-1'], 'the rest is appended');
    const together = await Promise.all([
      way.messages('1', [keyed(9)]),
      way.messages('1', [keyed(5, 'c'), keyed(6, 'c')]),
      way.messages('1', [keyed(6, 'c'), keyed(7, 'c'), keyed(2, 'a')]),
    ]);
    const [, second, third] = together.map((one) => one.ids);
    t.equal(third?.[0], second?.[1], 'the key waits for the same page');
    t.equal(third?.[2], '1-1-1');
    t.not(third?.[1], second?.[0]);
    t.same((await way.chatIds('1', message(0), [1, 2, 8], 'a')).ids.slice(0, 2), ['1-1-0', '1-1-1']);
    t.same((await wayIn(store, log).messages('2', [keyed(1, 'a')])).ids, ['2-1-0'], 'unique by bot');
    const total = (await rows(store, '1')).reduce((sum, page) => sum + items(page), 0);
    t.equal(total, 4 + 2 + 1 + 2 + 1 + 1, 'nothing is in the log twice');
  });

  await t.test('two processes at once: each key is once in the log, all get the same id', async (t) => {
    const ways = [wayIn(store), wayIn(await another())];
    const answers = await Promise.all(
      range(40).map(async (i) => {
        const chats = range(10).map((chat) => keyed(chat, `k${(i + chat) % 8}`));
        const { ids } = await (ways[i % 2] ?? wayIn(store)).messages('3', [...chats, keyed(99)]);
        return { chats, ids };
      }),
    );
    const byKey = new Map<string, Set<string>>();
    for (const { chats, ids } of answers)
      for (const [index, { chatId, dedupKey }] of chats.entries()) {
        const key = `${chatId}:${dedupKey}`;
        byKey.set(key, (byKey.get(key) ?? new Set()).add(ids[index] ?? ''));
      }
    t.equal(byKey.size, 80);
    t.ok([...byKey.values()].every((ids) => ids.size === 1));
    const pages = await rows(store, '3');
    t.equal(
      pages.reduce((sum, page) => sum + items(page), 0),
      80 + 40,
    );
    t.same(
      pages.map((page) => page.n),
      range(pages.length),
    );
  });
});

t.test('Idempotency-Key', async (t) => {
  const { store, another } = await stores.fresh(t);
  const ways = [wayIn(store), wayIn(await another())] as const;
  const once = { key: 'order 7', bodyHash: 'h1' };
  const first = await ways[0].messages('1', [message(1), message(2)], once);
  t.same(await ways[1].messages('1', [message(1), message(2)], once), first, 'the same answer from another process');
  t.equal(await code(ways[1].messages('1', [message(3)], { ...once, bodyHash: 'h2' })), 'PH_IDEMPOTENCY_CONFLICT');
  t.equal((await rows(store, '1')).length, 1);

  const many = await Promise.all(
    range(12).map((i) =>
      ways[i % 2 === 0 ? 0 : 1].messages('1', [message(1), message(4)], { key: 'race', bodyHash: 'h' }),
    ),
  );
  t.equal(new Set(many.map((one) => one.ids.join())).size, 1, 'twelve at once are one');
  const mixed = await Promise.allSettled(
    range(6).map((i) => ways[0].messages('1', [message(i)], { key: 'mixed', bodyHash: `h${i % 2}` })),
  );
  t.equal(
    mixed.filter((one) => one.status === 'rejected').length,
    3,
    'another body is refused, also when both wait for one page',
  );

  const audience: NewBroadcast = {
    lane: 'bulk',
    class: 'at-least-once',
    audience: { types: ['private'] },
    text: 'all',
  };
  const run = await ways[0].broadcast('1', audience, { key: 'b', bodyHash: 'x' });
  t.same(await ways[1].broadcast('1', audience, { key: 'b', bodyHash: 'x' }), run);
  t.equal(await code(ways[1].broadcast('1', audience, { key: 'b', bodyHash: 'y' })), 'PH_IDEMPOTENCY_CONFLICT');
  t.equal((await rows(store, '1')).filter((page) => page.kind === 'broadcast').length, 1);
});

t.test('a request of duplicates only leaves a page without items, closed at once', async (t) => {
  const { store } = await stores.fresh(t);
  const way = wayIn(store);
  const { ids } = await way.messages('1', [message(1, { dedupKey: 'a' }), message(2, { dedupKey: 'a' })]);
  const idempotency = { key: 'k', bodyHash: 'h' };
  const repeat = [message(2, { dedupKey: 'a' }), message(1, { dedupKey: 'a' })];
  const wanted = [ids[1], ids[0]];
  t.same((await way.messages('1', repeat, idempotency)).ids, wanted);
  const [, page] = await rows(store, '1');
  t.equal(items(page), 0);
  t.equal(page?.open, undefined);
  t.type(page?.closedAt, Date);
  t.same((await way.messages('1', repeat, idempotency)).ids, wanted);
  t.same((await way.messages('1', repeat)).ids, wanted);
  t.equal((await rows(store, '1')).length, 2, 'without a key there is nothing to write');
});

t.test('outputs of an update are appended once, whoever runs it', async (t) => {
  const { store, another } = await stores.fresh(t);
  const ways = [wayIn(store), wayIn(await another())] as const;
  await Promise.all(range(8).map((i) => ways[i % 2 === 0 ? 0 : 1].outputs('1', 77, [message(i), message(i)])));
  await ways[0].outputs('1', 78, []);
  await ways[1].outputs('1', 79, [message(1)]);
  const pages = await rows(store, '1');
  t.same(pages.map(items), [2, 1], 'the first outputs win');
  t.same(
    pages.map((page) => page.keys),
    [['u:77'], ['u:79']],
  );
});

t.test('an insert whose answer is lost is made once', async (t) => {
  const { store, another, proxy } = await stores.fresh(t);
  const cut = await proxy();
  const far = await another(cut);
  const way = wayIn(far);
  await way.messages('1', [message(1)]);
  for (let round = 0; round < 3; round += 1) {
    cut.loseAnswers(1, 'insert', 'pages', '"text"'.replaceAll('"', ''));
    const answers = await Promise.all([
      way.messages('1', [message(1), message(2, { dedupKey: `d${round}` })], { key: `k${round}`, bodyHash: 'h' }),
      way.messages('1', [message(3)]),
    ]);
    t.equal(cut.lost, round + 1, 'it was cut');
    t.equal(new Set(answers.flatMap((one) => one.ids)).size, 3);
  }
  const pages = await rows(store, '1');
  t.same(
    pages.map((page) => page.n),
    range(pages.length),
  );
  t.equal(
    pages.reduce((sum, page) => sum + items(page), 0),
    10,
    'each message is in the log once',
  );
});

t.test('the store is away: refused with a code after the time given, and taken again when it is back', async (t) => {
  const { store, another, proxy } = await stores.fresh(t);
  const cut = await proxy();
  const far = await another(cut);
  const log = pageLog(far, clockOf(20), silentLog);
  const way = acceptance(far, log, clockOf());
  await way.messages('1', [message(1)]);
  cut.shut();
  const refused = await Promise.all([code(way.messages('1', [message(1)])), code(way.messages('1', [message(2)]))]);
  t.same(refused, ['PH_STORE_AWAY', 'PH_STORE_AWAY']);
  cut.open();
  const back = async (): Promise<string[]> => {
    for (let left = 50; ; left -= 1) {
      try {
        return (await way.messages('1', [message(3)])).ids;
      } catch (error) {
        if (left === 0) throw error;
      }
    }
  };
  const [id = ''] = await back();
  const pages = await rows(store, '1');
  t.equal(id, `1-${pages.length}-0`);
  t.same(
    pages.map((page) => page.n),
    range(pages.length),
  );
});

t.test('a key that the index knows and a read does not show yet, or that is pruned meanwhile', async (t) => {
  const { store } = await stores.fresh(t);
  const { collection } = store.models.Pages;
  let blind = 0;
  const fate = { prune: false as boolean };
  /** The store, whose next `blind` looks for keys find nothing. */
  const stale = {
    ...store,
    models: {
      ...store.models,
      Pages: {
        ...store.models.Pages,
        collection: new Proxy(collection, {
          get(target, name) {
            if (name === 'find')
              return (filter: object, options: object) => {
                if (!('keys' in filter) || blind === 0) return target.find(filter, options);
                blind -= 1;
                return {
                  async toArray() {
                    if (fate.prune) await target.deleteMany({ bot: '1', n: 1 });
                    return [];
                  },
                };
              };
            const value: unknown = Reflect.get(target, name);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        }),
      },
    },
  } as unknown as Store;
  const way = wayIn(stale);
  const keyed = [message(1, { dedupKey: 'a' })];
  const { ids } = await way.messages('1', keyed);
  await way.messages('1', [message(2)]);
  blind = 2;
  t.same((await way.messages('1', keyed)).ids, ids, 'it is looked for again');
  t.equal(blind, 0);
  blind = 1;
  fate.prune = true;
  t.same((await way.messages('1', keyed)).ids, ['1-3-0'], 'a pruned one is taken as new');
});

t.test('too many waiting', async (t) => {
  const { store } = await stores.fresh(t);
  await store.models.Owners.collection.insertOne({
    bot: '1',
    part: 'send',
    owner: null,
    epoch: 1,
    beat: 0,
    begun: [],
    handling: [],
    waiting: 11,
  } as never);
  const way = wayIn(store, logOf(store), 10);
  t.equal(await code(way.messages('1', [message(1)])), 'PH_TOO_MANY_WAITING');
  t.equal(await code(way.chatIds('1', message(0), [1])), 'PH_TOO_MANY_WAITING');
  t.same((await way.messages('2', [message(1)])).ids, ['2-1-0'], 'another bot has room');
  await way.outputs('1', 5, [message(1)]);
  t.equal((await rows(store, '1')).length, 1, 'what a handler answers is not refused');
});

t.test('bodies are shared within a request', async (t: Test) => {
  const { store } = await stores.fresh(t);
  await wayIn(store).messages('1', [
    message(1, { text: 'same' }),
    message(2, { text: 'same' }),
    message(3, { text: 'same', parseMode: 'HTML' }),
    message(4, { text: 'other' }),
  ]);
  const [page] = await rows(store, '1');
  t.same(page?.bodies, [{ text: 'same' }, { text: 'same', parseMode: 'HTML' }, { text: 'other' }]);
});
