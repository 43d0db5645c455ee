import fc from 'fast-check';
import t from 'tap';
import { broadcastId, deliveryId, parseBroadcastId, parseDeliveryId } from '../../src/delivery/ids.js';
import { type ItemEnd, type KnownResult, type Ledger, ledger, type ResultWrite } from '../../src/delivery/ledger.js';
import {
  CHUNK_ITEMS,
  emptyTally,
  type FinalState,
  headAt,
  packChats,
  packHeads,
  RESULT_BYTES,
  resultAt,
  STATES,
  tallied,
  writeResult,
} from '../../src/delivery/packed.js';

const FINAL = STATES.slice(1) as readonly FinalState[];
const runs = process.env.POSTHORN_TEST_LONG ? 2_000 : 150;

/** A store of rows of results as the ledger writes them: the last write of a row holds. */
function rowsOf(): Map<string, ResultWrite> {
  return new Map();
}

function fresh(): Ledger {
  let sources = 0;
  return ledger(() => {
    sources += 1;
    return sources;
  });
}

const end = (state: FinalState, at: number, attempts = 1, messageId = 0): ItemEnd => ({
  state,
  at,
  attempts,
  messageId,
  ...(state === 'dead' || state === 'blocked' ? { error: { code: 400 + (at % 10), description: `no ${at}` } } : {}),
});

const known = (rows: Map<string, ResultWrite>, n: number, k: number | undefined): KnownResult[] =>
  [...rows.values()]
    .filter((row) => row.n === n && (k === undefined || row.k === k))
    .map(({ k: chunk, items, tally, rest }) => ({ k: chunk, items, tally, rest }));

t.test('whatever is settled in whatever order, and reloaded at any moment', async () => {
  const step = fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        do: fc.constant('settle' as const),
        page: fc.nat(3),
        index: fc.nat(1_200),
        state: fc.constantFrom(...FINAL),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('commit' as const), fails: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('reload' as const) }) },
  );
  fc.assert(
    fc.property(
      fc.array(fc.nat(3 * CHUNK_ITEMS), { minLength: 4, maxLength: 4 }),
      fc.array(step, { maxLength: 120 }),
      (sizes, steps) => {
        const places = sizes.map((size, index) => ({
          n: index + 1,
          k: index === 3 ? 2 : undefined,
          count: index === 3 ? Math.min(size, 500) : size,
        }));
        const rows = rowsOf();
        /** What was told to be durable: by `page/index` its end. */
        const durable = new Map<string, ItemEnd>();
        let memory = new Map<string, ItemEnd>();
        let book = fresh();
        const open = () => places.map(({ n, k, count }) => book.open(n, k, count, known(rows, n, k)));
        let pages = open();
        let pending: { batch: ReturnType<Ledger['take']>; ends: Map<string, ItemEnd> } | undefined;
        const closed = new Set<number>();
        const commit = (fails: boolean) => {
          pending ??= { batch: book.take(), ends: new Map([...memory].filter(([key]) => !durable.has(key))) };
          if (fails) return;
          for (const write of pending.batch.writes) rows.set(`${write.n}/${write.k}`, write);
          for (const [key, one] of pending.ends) durable.set(key, one);
          for (const page of book.written(pending.batch)) {
            if (book.page(page.source) !== undefined || book.find(page.n, page.k) !== undefined)
              throw new Error('a whole page stays open');
            closed.add(page.n);
          }
          pending = undefined;
        };
        steps.forEach((one, at) => {
          if (one.do === 'commit') commit(one.fails);
          else if (one.do === 'reload') {
            pending = undefined;
            memory = new Map(durable);
            book = fresh();
            closed.clear();
            pages = open();
          } else {
            const page = pages[one.page];
            if (page === undefined) return;
            const key = `${page.n}/${one.index}`;
            const told = end(one.state, at + 1, at % 300, at);
            const taken = book.settle(page.source, one.index, told);
            const expected = one.index < page.count && !memory.has(key) && !closed.has(page.n);
            if (taken !== expected) throw new Error(`settle of ${key} said ${taken}`);
            if (taken) memory.set(key, told);
          }
          const left = places.reduce(
            (sum, { n, k, count }) =>
              sum + (k === undefined ? count - [...memory.keys()].filter((key) => key.startsWith(`${n}/`)).length : 0),
            0,
          );
          if (book.waiting !== left) throw new Error(`${book.waiting} wait, ${left} are left`);
          for (const page of pages) {
            if (book.page(page.source) === undefined) continue;
            const mine = [...memory].filter(([key]) => key.startsWith(`${page.n}/`));
            if (tallied(book.tally(page.source)) !== mine.length || book.left(page.source) !== page.count - mine.length)
              throw new Error(`page ${page.n}: the tally is not what was settled`);
          }
        });
        commit(false);
        commit(false);
        for (const page of pages) {
          const whole =
            page.count > 0 && [...memory.keys()].filter((key) => key.startsWith(`${page.n}/`)).length === page.count;
          // A page that was whole when it was read has nothing to write: it is dropped by its reader.
          if (whole && book.page(page.source) !== undefined && book.left(page.source) !== 0)
            throw new Error(`page ${page.n} is not closed`);
        }
        // What is in the rows is what was settled: by item, by tally, by what is left.
        for (const [key, told] of memory) {
          const [n = 0, index = 0] = key.split('/').map(Number);
          const k = places[n - 1]?.k;
          const row = rows.get(`${n}/${k ?? Math.floor(index / CHUNK_ITEMS)}`);
          const at = k === undefined ? index % CHUNK_ITEMS : index;
          if (row === undefined) throw new Error(`no row for ${key}`);
          const read = resultAt(row.items, at);
          if (
            read.state !== told.state ||
            read.at !== told.at ||
            read.messageId !== told.messageId ||
            read.attempts !== Math.min(told.attempts, 255)
          )
            throw new Error(`${key} reads as ${JSON.stringify(read)}`);
          if (JSON.stringify(row.rest[String(at)]) !== JSON.stringify(told.error))
            throw new Error(`the error of ${key} is lost`);
        }
        for (const row of rows.values()) {
          const states = Array.from(
            { length: row.items.length / RESULT_BYTES },
            (_, index) => resultAt(row.items, index).state,
          );
          const settled = states.filter((state) => state !== 'queued');
          if (row.left !== states.length - settled.length) throw new Error('left is wrong');
          for (const state of FINAL)
            if (row.tally[state] !== settled.filter((one) => one === state).length)
              throw new Error('the tally of a row is wrong');
        }
      },
    ),
    { numRuns: runs },
  );
});

t.test('a batch is a copy: what is settled during its write goes with the next', async (t) => {
  const book = fresh();
  const page = book.open(1, undefined, 3, []);
  book.settle(page.source, 0, end('sent', 1));
  const first = book.take();
  book.settle(page.source, 1, end('blocked', 2));
  t.equal(resultAt(first.writes[0]?.items ?? Buffer.alloc(0), 1).state, 'queued');
  t.match(first.writes, [{ n: 1, k: 0, left: 2, tally: { ...emptyTally(), sent: 1 }, rest: {} }]);
  t.same(first.ends, [{ source: page.source, index: 0 }]);
  t.same(book.written(first), []);
  t.ok(book.dirty);
  const second = book.take();
  t.notOk(book.dirty);
  t.match(second.writes, [
    { left: 1, tally: { sent: 1, blocked: 1 }, rest: { 1: { code: 402, description: 'no 2' } } },
  ]);
  book.settle(page.source, 2, end('sent', 3));
  const third = book.take();
  t.same(book.written(second), [], 'not whole before the last is durable');
  t.same(
    book.written(third).map(({ n, k }) => ({ n, k })),
    [{ n: 1, k: undefined }],
  );
  t.equal(book.find(1, undefined), undefined);
  t.notOk(book.settle(page.source, 0, end('dead', 9)), 'a closed page takes nothing');
  t.equal(book.waiting, 0);
});

t.test('rows of a page of messages end at the borders of chunks', async (t) => {
  const book = fresh();
  const count = 2 * CHUNK_ITEMS + 3;
  const page = book.open(4, undefined, count, []);
  for (const index of [0, CHUNK_ITEMS - 1, CHUNK_ITEMS, 2 * CHUNK_ITEMS - 1, 2 * CHUNK_ITEMS, count - 1])
    t.ok(book.settle(page.source, index, end('sent', index + 1)), `${index}`);
  t.notOk(book.settle(page.source, count, end('sent', 1)), 'there is no item behind the last');
  const { writes } = book.take();
  t.same(
    writes.map(({ k, items, left }) => [k, items.length / RESULT_BYTES, left]),
    [
      [0, CHUNK_ITEMS, CHUNK_ITEMS - 2],
      [1, CHUNK_ITEMS, CHUNK_ITEMS - 2],
      [2, 3, 1],
    ],
  );
  t.equal(book.id('42', page.source, CHUNK_ITEMS), `42-4-${CHUNK_ITEMS}`);
  t.equal(book.left(page.source), count - 6);
});

t.test('a page of a broadcast is one row, whatever its k', async (t) => {
  const book = fresh();
  const page = book.open(4, 9, 500, []);
  const other = book.open(4, 10, 2, []);
  t.equal(book.waiting, 0, 'an audience does not count as waiting');
  book.settle(page.source, 499, end('blocked', 5));
  t.match(book.take().writes, [{ n: 4, k: 9, left: 499 }]);
  t.equal(book.id('42', page.source, 499), '42-4-9-499');
  t.equal(book.find(4, 10), other);
  book.drop(other.source);
  t.equal(book.page(other.source), undefined);
  t.same(
    [...book.pages()].map((one) => one.k),
    [9],
  );
});

t.test('packed forms', async () => {
  const chat = fc.maxSafeInteger().filter((id) => id !== 0);
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          chatId: chat,
          body: fc.nat(0xffffffff),
          lane: fc.constantFrom('reply' as const, 'notify' as const, 'bulk' as const),
          class: fc.constantFrom('at-least-once' as const, 'at-most-once' as const),
        }),
        { maxLength: 20 },
      ),
      (heads) => {
        const packed = packHeads(heads);
        heads.forEach((head, index) => {
          if (JSON.stringify(headAt(packed, index)) !== JSON.stringify(head)) throw new Error(`${index}`);
        });
        const chats = packChats(heads.map((head) => head.chatId));
        heads.forEach((head, index) => {
          if (chats.readDoubleLE(index * 8) !== head.chatId) throw new Error(`${index}`);
        });
      },
    ),
  );
});

t.test('packed forms have ends', async (t) => {
  t.throws(() => headAt(packHeads([]), 0), RangeError);
  t.throws(() => resultAt(Buffer.alloc(RESULT_BYTES), 1), RangeError);
  const items = Buffer.alloc(2 * RESULT_BYTES);
  writeResult(items, 1, { state: 'sent', attempts: 1_000, messageId: 2 ** 40, at: 1_700_000_000_000 });
  t.same(resultAt(items, 1), { state: 'sent', attempts: 255, messageId: 2 ** 40, at: 1_700_000_000_000 });
  t.same(resultAt(items, 0), { state: 'queued', attempts: 0, messageId: 0, at: 0 });
});

t.test('ids', async (t) => {
  for (const place of [
    { bot: '42', n: 7, index: 0 },
    { bot: '42', n: 7, k: 0, index: 499 },
    { bot: '1234567890123456', n: 999_999_999_999_999, index: 9_999 },
  ])
    t.same(parseDeliveryId(deliveryId(place)), place);
  for (const bad of [
    '',
    '42',
    '42-7',
    '42-7-',
    '42-7-1-2-3',
    'x-7-1',
    '42-7-1 ',
    '-42-7-1',
    '42-7-1e3',
    `42-${'9'.repeat(16)}-1`,
  ])
    t.equal(parseDeliveryId(bad), undefined, bad);
  t.same(parseBroadcastId(broadcastId('42', 7)), { bot: '42', n: 7 });
  for (const bad of ['', '42', '42-', '42-7-1', 'a-1', '42-1.5']) t.equal(parseBroadcastId(bad), undefined, bad);
});
