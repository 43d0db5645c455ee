import t from 'tap';
import { systemClock } from '../../src/actors/clock.js';
import { addBot, listBots, removeBot } from '../../src/api/bots.js';
import { createBroadcast, getBroadcast, listBroadcasts, moveBroadcast } from '../../src/api/broadcast.js';
import { notifyTelegram } from '../../src/api/notify.js';
import { getUser, importUsers, listUsers } from '../../src/api/people.js';
import { Problem, problemOf } from '../../src/api/problem.js';
import { sendMessages } from '../../src/api/send-messages.js';
import type { Services } from '../../src/api/services.js';
import { type BotSetup, storeServices } from '../../src/api/store-services.js';
import { silentLog } from '../../src/log.js';
import { acceptance } from '../../src/store/acceptance.js';
import { pageLog } from '../../src/store/page-log.js';
import { importPeople } from '../../src/store/people.js';
import { type Store, StoreError } from '../../src/store/store.js';
import type { Met } from '../../src/telegram/get-me.js';
import { broadcastView, fakeServices } from '../support/fake-services.js';
import { testStores } from '../support/test-store.js';

/** The wrong fields that an operation names, as `field: expected`. */
async function wrong(work: (services: Services) => Promise<unknown>): Promise<string[]> {
  const { services, calls } = fakeServices();
  const problem = await work(services).then(
    () => undefined,
    (error: unknown) => problemOf(error),
  );
  if (calls.length > 0) throw new Error('a refused request reached the store');
  if (problem?.status !== 400) throw new Error(`expected a 400, got ${problem?.code}`);
  return (problem.errors ?? []).map(({ field, expected }) => `${field}: ${expected}`);
}

const TEXT = 'a text of 1–32768 UTF-16 units';
const ID = 'a non-zero integer';

t.test('send_messages takes 1–1,000 messages of one bot', async (t) => {
  const { services, calls } = fakeServices();
  const body = {
    messages: [
      { chatId: 5, text: 'a' },
      {
        chatId: -9007199254740991,
        text: 'x'.repeat(4096),
        parseMode: 'HTML',
        lane: 'bulk',
        class: 'at-most-once',
        dedupKey: 'k',
        botId: '1',
      },
    ],
  };
  t.same(await sendMessages(services, body, 'key'), { ids: ['1-1-0', '1-1-1'] });
  const [bot, messages, idempotency] = calls[0]?.args ?? [];
  t.equal(bot, '1');
  t.same(messages, [
    { chatId: 5, text: 'a', lane: 'notify', class: 'at-least-once' },
    {
      chatId: -9007199254740991,
      text: 'x'.repeat(4096),
      parseMode: 'HTML',
      lane: 'bulk',
      class: 'at-most-once',
      dedupKey: 'k',
    },
  ]);
  t.match(idempotency, { key: 'key', bodyHash: /^[\w-]{43}$/ });
  await sendMessages(services, { messages: [{ chatId: 1, text: 'a', botId: '2' }] });
  t.equal(calls[1]?.args[0], '2', 'the bot that is named');
  t.equal(calls[1]?.args[2], undefined);
});

t.test('texts that cannot be sent have codes of their own, unless other fields are wrong too', async (t) => {
  const { services } = fakeServices();
  const codeOf = (input: object) =>
    createBroadcast(services, input).then(
      () => 'taken',
      (error: unknown) => problemOf(error)?.code,
    );
  t.equal(await codeOf({ text: '<b>x', parseMode: 'HTML' }), 'PH_TEXT_MALFORMED');
  t.equal(await codeOf({ text: ' \n ' }), 'PH_TEXT_MALFORMED');
  t.equal(await codeOf({ text: `\`${'x '.repeat(2_100)}\``, parseMode: 'MarkdownV2' }), 'PH_TEXT_UNSPLITTABLE');
  t.equal(await codeOf({ text: '<b>x', parseMode: 'HTML', lane: 'fast' }), 'PH_INPUT_INVALID');
  t.equal(await codeOf({ text: '<b>x' }), 'taken', 'without a parse mode it is a text like any other');
  const long = 'word '.repeat(1_000);
  const { services: others, calls } = fakeServices();
  await sendMessages(others, { messages: [{ chatId: 1, text: long }] });
  t.match(calls[0]?.args[1], [{ text: long, parts: [{ from: 0 }, {}] }], 'a long one is cut once, here');
});

t.test('a text with entities is kept as HTML; those that do not fit it are named', async (t) => {
  const { services, calls } = fakeServices();
  const bold = { type: 'bold', offset: 0, length: 1 };
  await sendMessages(services, { messages: [{ chatId: 1, text: 'a<b', entities: [bold] }] });
  t.match(calls[0]?.args[1], [{ text: '<b>a</b>&lt;b', parseMode: 'HTML', entities: undefined }]);
  await createBroadcast(services, { text: 'word '.repeat(1_000), entities: [bold] });
  t.match(calls[1]?.args[1], { parseMode: 'HTML', parts: [{}, {}] });
  const refused = (fields: object) =>
    wrong((others) => sendMessages(others, { messages: [{ chatId: 1, text: 'abc', ...fields }] }));
  t.same(await refused({ entities: [bold, { ...bold, offset: 3 }] }), [
    'messages[0].entities[1].offset: where a character of the text begins, in UTF-16 units',
  ]);
  t.same(await refused({ entities: [{ ...bold, type: 'text_link' }] }), [
    'messages[0].entities[0].url: the address of the link',
  ]);
  t.same(await refused({ entities: [{ ...bold, length: 'all' }] }), ['messages[0].entities[0].length: a whole number']);
  t.same(await refused({ entities: [bold], parseMode: 'HTML' }), [
    'messages[0].entities: either entities or parseMode',
  ]);
});

t.test('send_messages refuses what is wrong and names it', async (t) => {
  const send = (body: unknown, key?: string) => wrong((services) => sendMessages(services, body, key));
  const one = (fields: object) =>
    send({
      messages: [
        { chatId: 1, text: 'a' },
        { chatId: 1, text: 'a', ...fields },
      ],
    });
  t.same(await send(undefined), [': an object with messages']);
  t.same(await send([]), [': an object with messages']);
  t.same(await send({}), ['messages: 1–1,000 messages']);
  t.same(await send({ messages: [] }), ['messages: 1–1,000 messages']);
  t.same(await send({ messages: Array(1001).fill({ chatId: 1, text: 'a' }) }), ['messages: 1–1,000 messages']);
  t.same(await send({ messages: [1] }), ['messages[0]: a message: an object']);
  t.same(await send({ messages: [{}] }), [`messages[0].chatId: ${ID}`, `messages[0].text: ${TEXT}`]);
  for (const chatId of [0, 1.5, '1', null, 2 ** 53, Number.NaN])
    t.same(await one({ chatId }), [`messages[1].chatId: ${ID}`]);
  for (const text of ['', 'x'.repeat(32_769), '😀'.repeat(16_385), 5])
    t.same(await one({ text }), [`messages[1].text: ${TEXT}`]);
  t.same(await one({ parseMode: 'Markdown' }), ['messages[1].parseMode: HTML or MarkdownV2']);
  t.same(await one({ lane: 'fast' }), ['messages[1].lane: reply, notify or bulk']);
  t.same(await one({ class: 'once' }), ['messages[1].class: at-least-once or at-most-once']);
  for (const dedupKey of ['', 'x'.repeat(129)]) t.match(await one({ dedupKey }), [/^messages\[1\]\.dedupKey: /]);
  t.same(await one({ photo: 1 }), ['messages[1].photo: no such field']);
  t.same(await one({ 'a b': 1 }), ['messages[1]["a b"]: no such field']);
  t.same(await send({ messages: [{ chatId: 1, text: 'a' }], more: 1 }), ['more: no such field']);
  t.same(await one({ text: '<b>x', parseMode: 'HTML' }), [
    `messages[1].text: can't parse entities: Can't find end tag corresponding to start tag "b"`,
  ]);
  t.match(await one({ text: `<code>${'x '.repeat(2_100)}</code>`, parseMode: 'HTML' }), [
    /^messages\[1\]\.text: a link, code or custom emoji is longer than a message/,
  ]);
  t.same(await send(JSON.parse('{"messages":[{"chatId":1,"text":"a"}],"__proto__":{}}')), ['__proto__: no such field']);
  t.match(await one({ botId: '2' }), ['messages[0].botId: one bot for all messages of a request']);
  t.match(await send({ messages: [{ chatId: 1, text: 'a', botId: '9' }] }), [/^messages\[0\]\.botId: the id of a bot/]);
  for (const key of ['', 'x'.repeat(256), 'é', 'a\nb']) {
    t.match(await send({ messages: [{ chatId: 1, text: 'a' }] }, key), [/^Idempotency-Key: /]);
  }
  t.equal((await send({ messages: Array(1000).fill({}) })).length, 100, 'at most 100 are listed');
});

t.test('equal bodies have equal hashes, whatever the order of their fields', async (t) => {
  const { services, calls } = fakeServices();
  const lastHash = (): unknown => {
    const idempotency: unknown = calls.at(-1)?.args[2];
    return Reflect.get(Object(idempotency), 'bodyHash');
  };
  const hashOf = async (body: unknown): Promise<unknown> => {
    await createBroadcast(services, body, 'k');
    return lastHash();
  };
  const first = await hashOf({ text: 'a', audience: { tags: ['x'], types: ['private'] } });
  t.equal(await hashOf({ audience: { types: ['private'], tags: ['x'] }, text: 'a' }), first);
  t.not(await hashOf({ text: 'a', audience: { tags: ['y'], types: ['private'] } }), first);
  await notifyTelegram(services, { text: 'a', audience: { tags: ['x'], types: ['private'] } }, 'k');
  t.not(lastHash(), first, 'another operation is another request');
});

t.test('notify takes chat ids or an audience', async (t) => {
  const { services, calls } = fakeServices();
  t.same(await notifyTelegram(services, { text: 'a', chatIds: [1, -2], dedupKey: 'd' }), { ids: ['1-2-0', '1-2-1'] });
  t.same(calls[0]?.args.slice(0, 4), ['1', { text: 'a', lane: 'notify', class: 'at-least-once' }, [1, -2], 'd']);
  t.same(await notifyTelegram(services, { text: 'a', audience: { tags: ['x', 'x'] } }), { broadcastId: '1-3' });
  t.same(calls[1]?.args[1], {
    text: 'a',
    lane: 'bulk',
    class: 'at-least-once',
    audience: { tags: ['x'], types: ['private'] },
  });
  const refused = (body: unknown) => wrong((fake) => notifyTelegram(fake, body));
  t.same(await refused({ text: 'a' }), ['chatIds: either chatIds or audience']);
  t.same(await refused({ text: 'a', chatIds: [1], audience: {} }), ['audience: either chatIds or audience']);
  t.same(await refused({ text: 'a', chatIds: [] }), ['chatIds: 1–10,000 chat ids']);
  t.same(await refused({ text: 'a', chatIds: Array(10_001).fill(1) }), ['chatIds: 1–10,000 chat ids']);
  t.same(await refused({ text: 'a', chatIds: [1, 0] }), [`chatIds[1]: ${ID}`]);
  t.same(await refused({ text: 'a', chatId: 1, chatIds: [1] }), ['chatId: no such field']);
  t.match(await refused({ text: 'a', audience: {}, dedupKey: 'd' }), [/^dedupKey: /]);
  t.match(await refused({ text: 'a', audience: { types: ['people'] } }), [/^audience\.types\[0\]: /]);
});

t.test('broadcasts', async (t) => {
  const { services, calls } = fakeServices();
  const body = {
    text: 'a',
    name: 'n',
    lane: 'notify',
    class: 'at-most-once',
    botId: '2',
    audience: { types: ['group', 'channel'] },
  };
  t.same(await createBroadcast(services, body), { id: '1-3' });
  t.same(calls[0]?.args, [
    '2',
    { text: 'a', name: 'n', lane: 'notify', class: 'at-most-once', audience: { types: ['group', 'channel'] } },
    undefined,
  ]);
  const refused = (input: unknown) => wrong((fake) => createBroadcast(fake, input));
  t.same(await refused({ text: '' }), [`text: ${TEXT}`]);
  t.same(await refused({ text: 'a', chatId: 5 }), ['chatId: no such field']);
  t.match(await refused({ text: 'a', audience: { tags: [] } }), [/^audience\.tags: /]);
  t.match(await refused({ text: 'a', audience: { tags: 'x' } }), [/^audience\.tags: /]);
  t.same(await refused({ text: 'a', audience: { who: 1 } }), ['audience.who: no such field']);
  t.match(await refused({ text: 'a', botId: '77' }), [/^botId: /]);
  t.match(await refused({ text: 'a', botId: 1 }), [/^botId: /]);
  await t.rejects(getBroadcast(services, 'none'), { status: 404, code: 'PH_BROADCAST_NOT_FOUND' });
  t.match(await moveBroadcast(services, '1-3', 'pause'), { state: 'paused' });
  t.same(calls.at(-1)?.args, ['1-3', 'pause']);
  await t.rejects(moveBroadcast(services, 'none', 'pause'), { status: 404, code: 'PH_BROADCAST_NOT_FOUND' });
  for (const [move, state] of [
    ['pause', 'paused'],
    ['resume', 'running'],
    ['cancel', 'done'],
  ] as const) {
    const { services: still } = fakeServices({
      moveBroadcast: async () => ({ moved: false, view: broadcastView({ state }) }),
    });
    const detail = new RegExp(
      `^The broadcast is ${state}: only a .* can be ${move === 'cancel' ? 'cancelled' : `${move}d`}`,
    );
    await t.rejects(moveBroadcast(still, '1-3', move), { status: 409, code: 'PH_BROADCAST_STATE', detail });
  }
  await listBroadcasts(services, { limit: '1000', cursor: 'c', botId: '1' });
  t.same(calls.at(-1)?.args, [{ limit: 1000, cursor: 'c', bot: '1' }]);
  for (const limit of ['0', '1001', 'x', '-1', '', ['1', '2']]) {
    t.match(await wrong((fake) => listBroadcasts(fake, { limit })), [/^limit: an integer from 1/]);
  }
  t.same(await wrong((fake) => listBroadcasts(fake, { page: '2' })), ['page: no such field']);
});

t.test('people are listed and found', async (t) => {
  const { services, calls } = fakeServices();
  await listUsers(services, {});
  await listUsers(services, {
    limit: '5',
    botId: '1',
    subscription: 'stopped',
    reachability: 'blocked',
    type: 'group',
    tag: 'x',
    cursor: 'A'.repeat(16),
  });
  t.same(
    calls.map(({ args }) => args[0]),
    [
      { limit: 100 },
      {
        limit: 5,
        bot: '1',
        subscription: 'stopped',
        reachability: 'blocked',
        type: 'group',
        tag: 'x',
        cursor: 'A'.repeat(16),
      },
    ],
  );
  t.match(await wrong((fake) => listUsers(fake, { cursor: 'nonsense' })), [/^cursor: /]);
  t.match(await wrong((fake) => listUsers(fake, { subscription: 'gone' })), [/^subscription: /]);
  await t.rejects(getUser(services, '1', '5'), { status: 404, code: 'PH_USER_NOT_FOUND' });
  for (const chat of ['0', 'x', '1.5', '9007199254740993', '01']) {
    t.same(await wrong((fake) => getUser(fake, '1', chat)), [`chatId: ${ID}`]);
  }
});

t.test('errors from below become problems, bugs do not', async (t) => {
  const code = (error: unknown) => problemOf(error)?.code;
  t.match(problemOf(new StoreError('PH_TOO_MANY_WAITING', 'x', 30)), { status: 503, retryAfter: 30 });
  t.match(problemOf(new StoreError('PH_IDEMPOTENCY_CONFLICT', 'x')), { status: 409 });
  t.match(problemOf(new StoreError('PH_STORE_FULL', 'x')), { status: 503, retryAfter: 30 });
  t.match(problemOf(new StoreError('PH_PAGE_TOO_LARGE', 'x')), { status: 413 });
  t.equal(code(Object.assign(new Error('x'), { name: 'MongoServerSelectionError' })), 'PH_STORE_AWAY');
  t.equal(code(Object.assign(new Error('x'), { name: 'MongoNetworkError' })), 'PH_STORE_AWAY');
  t.equal(code(Object.assign(new Error('x'), { code: 'EPIPE' })), 'PH_STORE_AWAY');
  t.equal(code(Object.assign(new Error('x'), { code: 14031 })), 'PH_STORE_FULL');
  t.equal(code(new TypeError('x')), undefined);
  t.equal(code('x'), undefined);
  t.same(new Problem({ status: 404, code: 'PH_X' }).document(), {
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    code: 'PH_X',
  });
  const { services } = fakeServices({ bots: async () => ({ first: undefined, known: new Set() }) });
  await t.rejects(createBroadcast(services, { text: 'a' }), { status: 503, code: 'PH_BOT_NONE' });
});

/** Bytes cut into pieces of `size`, so that line ends, quotes and characters fall on every edge. */
async function* cut(text: string | Buffer, size = 7): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** What an import reads: people by line, and failures as `line: error`. */
async function read(text: string | Buffer, format: 'ndjson' | 'csv', size?: number) {
  const { services, rows } = fakeServices();
  await importUsers(services, { chunks: cut(text, size), format });
  return {
    people: rows.flatMap(({ line, person }) => (person === undefined ? [] : [{ line, ...person }])),
    failed: rows.flatMap(({ line, error }) => (error === undefined ? [] : [`${line}: ${error}`])),
  };
}

t.test('NDJSON: lines count from 1, empty ones are skipped, bad ones fail alone', async (t) => {
  const text = [
    '\ufeff{"chatId":1,"firstName":"Zoë","tags":["a","b","a"]}\r',
    '',
    '  ',
    '{"chatId":0}',
    'nonsense',
    '{"chatId":2,"active":false,"type":"group","botId":"2"}',
    '{"chatId":3,"nick":"x"}',
    '{"chatId":4,"botId":"9"}',
    '[]',
    '{"chatId":5,"tags":["a;b"]}',
    `{"chatId":6,"firstName":"${'x'.repeat(70_000)}"}`,
    '{"chatId":7}',
  ].join('\n');
  for (const size of [1, 7, 1_000_000]) {
    const { people, failed } = await read(text, 'ndjson', size);
    t.same(people, [
      { line: 1, bot: '1', chatId: 1, firstName: 'Zoë', tags: ['a', 'b'] },
      { line: 6, bot: '2', chatId: 2, active: false, type: 'group' },
      { line: 12, bot: '1', chatId: 7 },
    ]);
    t.match(failed, [
      '4: chatId: expected a non-zero integer',
      '5: not JSON',
      '7: nick: no such field',
      /^8: botId: expected the id of a bot/,
      '9: line: expected an object',
      /^10: tags\[0\]: expected a tag/,
      '11: longer than 65536 bytes',
    ]);
    t.equal(failed.length, 7);
  }
  const broken = Buffer.concat([
    Buffer.from('{"chatId":1,"firstName":"'),
    Buffer.from([0xff]),
    Buffer.from('"}\n{"chatId":2}'),
  ]);
  t.same(await read(broken, 'ndjson'), { people: [{ line: 2, bot: '1', chatId: 2 }], failed: ['1: not valid UTF-8'] });
  t.same(await read('', 'ndjson'), { people: [], failed: [] });
});

t.test('CSV: RFC 4180, a header row, quotes over line ends', async (t) => {
  const text = [
    '\ufeffchatId,firstName,tags,active,type',
    '1,"Smith, ""Jo""",a;b;,true,',
    '',
    '2,"two',
    'lines",,0,group',
    '3,short',
    'x,Bad,,,',
    '4,"a"b,,,',
    '5,a"b,,,',
    '6,,,maybe,',
    '7, Zoë ,,FALSE,private',
  ].join('\r\n');
  for (const size of [1, 7, 1_000_000]) {
    const { people, failed } = await read(text, 'csv', size);
    t.same(people, [
      { line: 2, bot: '1', chatId: 1, firstName: 'Smith, "Jo"', tags: ['a', 'b'], active: true },
      { line: 4, bot: '1', chatId: 2, firstName: 'two\r\nlines', active: false, type: 'group' },
      { line: 11, bot: '1', chatId: 7, firstName: 'Zoë', active: false, type: 'private' },
    ]);
    t.same(failed, [
      '6: expected 5 fields, found 2',
      '7: chatId: expected a non-zero integer',
      '8: text after a closing quote',
      '9: a quote inside a field without quotes',
      '10: active: expected true or false',
    ]);
  }
});

t.test('CSV: a stray quote costs its own line, not those after it', async (t) => {
  const rows = Array.from({ length: 300 }, (_, index) => (index === 100 ? '101,"oops' : `${index + 1},n`));
  const { people, failed } = await read(['chatId,firstName', ...rows].join('\n'), 'csv', 64);
  t.equal(people.length, 299);
  t.same(failed, ['102: a quoted field is not closed']);
  const last = await read('chatId,firstName\n1,a\n2,"open\n3,b', 'csv');
  t.same(
    last.people.map(({ chatId }) => chatId),
    [1, 3],
  );
  t.same(last.failed, ['3: a quoted field is not closed']);
});

t.test('CSV: a wrong header row refuses the file', async (t) => {
  const refused = (text: string) => wrong((services) => importUsers(services, { chunks: cut(text), format: 'csv' }));
  t.match(await refused('chatId,nick\n1,x'), [/^nick: a column of chatId/]);
  t.same(await refused('firstName\nx'), ['chatId: this column in the header row']);
  t.same(await refused('chatId,chatId\n1,1'), ['chatId: each column once']);
  t.match(await refused('chatId,"a"b\n1,1'), [/^header: /]);
  t.same(await read('', 'csv'), { people: [], failed: [] });
});

/** A collection that understands just the writes of an import. */
function fakeChats() {
  type Row = Record<string, unknown>;
  const rows = new Map<string, Row>();
  let bulks = 0;
  const collection = {
    fail: undefined as Error | undefined,
    async bulkWrite(operations: { updateOne: { filter: Row; update: { $set?: Row; $setOnInsert: Row } } }[]) {
      bulks += 1;
      if (collection.fail !== undefined) throw collection.fail;
      const upsertedIds: Record<number, unknown> = {};
      for (const [index, { updateOne }] of operations.entries()) {
        const key = JSON.stringify([updateOne.filter.bot, updateOne.filter.chatId]);
        const row = rows.get(key);
        const { $set, $setOnInsert } = updateOne.update;
        if (Object.keys($set ?? { x: 1 }).length === 0) throw new Error('an empty $set');
        if (row === undefined) {
          rows.set(key, { ...updateOne.filter, ...$setOnInsert, ...$set });
          upsertedIds[index] = index;
        } else Object.assign(row, $set);
      }
      return { upsertedIds };
    },
    async updateMany(filter: { bot: string; chatId: { $in: number[] } }, update: { $set: Row }) {
      let modifiedCount = 0;
      for (const chatId of filter.chatId.$in) {
        const row = rows.get(JSON.stringify([filter.bot, chatId]));
        if (row === undefined || row.subscription !== undefined || row.movedTo !== undefined) continue;
        Object.assign(row, update.$set);
        modifiedCount += 1;
      }
      return { modifiedCount };
    },
  };
  const put = (row: Row): void => void rows.set(JSON.stringify([row.bot, row.chatId]), row);
  const get = (chatId: number): Row | undefined => rows.get(JSON.stringify(['1', chatId]));
  const store = { models: { Chats: { collection } } } as unknown as Pick<Store, 'models'>;
  return { store, put, get, rows, collection, bulks: () => bulks };
}

/** Imports rows of bot 1 into a fake, each of its lines 1, 2, … */
function importInto(store: Pick<Store, 'models'>, people: readonly object[], onProgress?: () => void) {
  async function* rows() {
    yield people.map((person, index) => ({ line: index + 1, person: { bot: '1', chatId: 0, ...person } }));
  }
  return importPeople({ store, rows: rows(), now: () => new Date(0), onProgress });
}

t.test('an import never reactivates, and makes people of marks', async (t) => {
  const { store, put, get } = fakeChats();
  const known = { bot: '1', type: 'private', reach: 'ok', tags: ['old'] };
  put({ ...known, chatId: 1, subscription: 'stopped' });
  put({ ...known, chatId: 2, subscription: 'active', reach: 'blocked', firstName: 'Old' });
  put({ ...known, chatId: 3, reach: 'blocked' });
  put({ ...known, chatId: 4, movedTo: -100 });
  put({ ...known, chatId: 5, subscription: 'active' });
  const result = await importInto(store, [
    { chatId: 1, active: true },
    { chatId: 2, firstName: 'New' },
    { chatId: 3, tags: ['t'] },
    { chatId: 4 },
    { chatId: 5, active: false },
    { chatId: 6 },
    { chatId: 7, active: false, type: 'group' },
  ]);
  t.same(result, { imported: 3, updated: 4, failed: [], failedTotal: 0 });
  t.match(get(1), { subscription: 'stopped', tags: ['old'] });
  t.match(get(2), { subscription: 'active', reach: 'blocked', firstName: 'New' });
  t.match(
    get(3),
    { subscription: 'active', reach: 'blocked', tags: ['t'] },
    'a row made by a mark alone becomes a person',
  );
  t.equal(get(4)?.subscription, undefined, 'the stub of a chat that moved stays one');
  t.match(get(5), { subscription: 'stopped' }, 'active: false stops who is active');
  t.same(get(6), {
    bot: '1',
    chatId: 6,
    type: 'private',
    subscription: 'active',
    reach: 'ok',
    tags: [],
    createdAt: new Date(0),
  });
  t.match(get(7), { subscription: 'stopped', type: 'group' });
});

t.test('the same person twice is imported once; batches are of 1,000', async (t) => {
  const { store, get, rows, bulks } = fakeChats();
  const twice = await importInto(store, [
    { chatId: 1, firstName: 'A', lastName: 'L' },
    { chatId: 1, firstName: 'B', active: false },
    { chatId: 1, username: 'u', active: true },
  ]);
  t.same(twice, { imported: 1, updated: 2, failed: [], failedTotal: 0 });
  t.match(get(1), { firstName: 'B', lastName: 'L', username: 'u', subscription: 'stopped' });
  let seen = 0;
  const many = Array.from({ length: 2_500 }, (_, index) => ({ chatId: index + 1 }));
  t.match(await importInto(store, many, () => void seen++), { imported: 2_499, updated: 1 });
  t.equal(rows.size, 2_500);
  t.equal(bulks(), 4, 'one for the first import, three for the second');
  t.equal(seen, 3);
});

t.test('refused rows fail by line; a lost or full store ends the import', async (t) => {
  const { store, collection } = fakeChats();
  const original = collection.bulkWrite;
  let races = 1;
  collection.bulkWrite = async (operations) => {
    if (races-- > 0) {
      const writeErrors = [
        { index: 0, code: 11000, errmsg: 'duplicate' },
        { index: 1, code: 17280, errmsg: 'key too long' },
      ];
      throw Object.assign(new Error('bulk'), { writeErrors, result: { upsertedIds: { 2: 'id' } } });
    }
    return original(operations);
  };
  t.same(await importInto(store, [{ chatId: 1 }, { chatId: 2 }, { chatId: 3 }]), {
    imported: 2,
    updated: 0,
    failed: [{ line: 2, error: 'the store refused it: key too long' }],
    failedTotal: 1,
  });
  collection.bulkWrite = original;
  collection.fail = Object.assign(new Error('gone'), { name: 'MongoNetworkError' });
  await t.rejects(importInto(store, [{ chatId: 1 }]), { code: 'PH_STORE_AWAY' });
  collection.fail = Object.assign(new Error('full'), { code: 14031 });
  await t.rejects(importInto(store, [{ chatId: 1 }]), { code: 'PH_STORE_FULL' });
  collection.fail = new TypeError('a bug');
  await t.rejects(importInto(store, [{ chatId: 1 }]), TypeError);
});

t.test('an import lists its first 1,000 failures and counts the rest', async (t) => {
  const { store } = fakeChats();
  async function* rows() {
    for (let part = 0; part < 3; part += 1) {
      yield Array.from({ length: 500 }, (_, index) => ({ line: part * 500 + index + 1, error: 'bad' }));
    }
  }
  const result = await importPeople({ store, rows: rows(), now: () => new Date(0) });
  t.match(result, { imported: 0, failedTotal: 1_500 });
  t.equal(result.failed.length, 1_000);
});

const botSetup = (fields: Partial<BotSetup> = {}): BotSetup => ({
  first: undefined,
  local: false,
  rates: { rate: 30, chatRate: 1, groupRate: 20 },
  secretKey: async () => 's'.repeat(32),
  getMe: async () => ({ kind: 'ok', username: 'a_bot' }),
  ...fields,
});

t.test('bots: what is wrong is named, and nothing is kept', async (t) => {
  const rate = (most: number) => `an integer from 0 (unlimited) to ${most}, or null for the default`;
  const input = { token: '1', rate: -1, chatRate: 1.5, groupRate: '20', more: 1 };
  t.same(await wrong((services) => addBot(services, input)), [
    'token: a token: <digits>:<letters, digits, _ and ->, as BotFather gives it',
    `rate: ${rate(100_000)}`,
    `chatRate: ${rate(1_000)}`,
    `groupRate: ${rate(60_000)}`,
    'more: no such field',
  ]);
  t.same(await wrong((services) => removeBot(services, '1', { force: 'yes' })), ['force: true or false']);

  const of = (met: Met) => fakeServices({ getMe: async () => met });
  const refused = of({ kind: 'refused', description: 'Unauthorized' });
  await t.rejects(addBot(refused.services, { token: '9:a' }), {
    status: 400,
    code: 'PH_BOT_TOKEN_REFUSED',
    errors: [{ field: 'token', expected: 'a token that Telegram takes (getMe: Unauthorized)' }],
  });
  const away = of({ kind: 'failed', reason: 'timeout' });
  await t.rejects(addBot(away.services, { token: '9:a' }), { status: 503, code: 'PH_TELEGRAM_AWAY', retryAfter: 5 });
  t.same([...refused.calls, ...away.calls], []);

  const { services, calls } = fakeServices({ configuredBot: async () => '1' });
  for (const id of ['3', '9', 'x'.repeat(65)])
    await t.rejects(removeBot(services, id, {}), { status: 404, code: 'PH_BOT_NOT_FOUND' }, id);
  await t.rejects(removeBot(services, '1', {}), { status: 409, code: 'PH_BOT_OF_TOKEN' });
  t.same(calls, []);
  t.same(await removeBot(services, '1', { force: 'true' }), { id: '1', removed: true, open: 0 });
  t.same(
    (await listBots(services)).items.map(({ id }) => id),
    ['1', '2'],
    'a removed one with nothing open is not listed',
  );
});

t.test('bots on a store: added, changed, chosen, removed without loss', async (t) => {
  const { store } = await (await testStores(t)).fresh(t);
  const accepting = acceptance(store, pageLog(store, systemClock, silentLog), systemClock);
  const servicesOf = (fields: Partial<BotSetup> = {}) =>
    storeServices(store, accepting, () => new Date(), botSetup(fields));
  const services = servicesOf({ first: '2' });
  t.same(await listBots(services), { items: [] });
  const one = await addBot(services, { token: '1:a', rate: 5 });
  t.match(one, { id: '1', username: 'a_bot', state: 'active', first: true, rate: 5, chatRate: 1, groupRate: 20 });
  t.match(one, { waiting: 0, open: 0 });
  t.match(await addBot(services, { token: '2:b' }), { id: '2', first: true }, 'the one that the environment names');
  t.match(await addBot(services, { token: '1:new', rate: null, groupRate: 0 }), { id: '1', rate: 30, groupRate: 0 });
  t.match(await servicesOf({ local: true }).bots(), { first: undefined, known: new Set() });
  t.equal(await services.configuredBot(), '2');
  t.equal(await servicesOf({ local: true }).configuredBot(), undefined, 'no bot of the local Telegram is known');
  await t.rejects(addBot(servicesOf({ secretKey: async () => 'w'.repeat(32) }), { token: '1:c' }), {
    code: 'PH_SECRET_KEY_WRONG',
  });

  const messages = (botId?: string) =>
    sendMessages(services, { messages: [{ chatId: 5, text: 'a', ...(botId === undefined ? {} : { botId }) }] });
  t.same((await messages()).ids, ['2-1-0']);
  t.same((await messages('1')).ids, ['1-1-0']);
  await t.rejects(removeBot(services, '1', {}), { status: 409, code: 'PH_BOT_BUSY', message: /not done: 1/ });
  t.same((await messages('1')).ids, ['1-2-0'], 'it goes on as if nothing had been');
  t.same(await removeBot(services, '1', { force: 'true' }), { id: '1', removed: true, open: 2 });
  await t.rejects(messages('1'), { status: 400, errors: [{ field: 'messages[0].botId' }] });
  const { items } = await listBots(services);
  t.match(items, [{ id: '1', state: 'removed', open: 2 }, { id: '2' }], 'what waits is not hidden');
  t.match(await addBot(services, { token: '1:new' }), { id: '1', state: 'active', open: 2, groupRate: 0 });
  t.same((await messages('1')).ids, ['1-3-0'], 'its log goes on');

  // A command without BOT_TOKEN: the first that a start has kept is the one that the next start would bring back.
  const local = servicesOf({ local: true });
  for (const token of ['8:a', '9:a']) await addBot(local, { token });
  await t.rejects(removeBot(local, '8', {}), { status: 409, code: 'PH_BOT_OF_TOKEN' });
  t.match(await removeBot(local, '9', {}), { removed: true });
  t.match(await removeBot(local, '8', { force: 'true' }), { removed: true });
});

t.test('on a store', async (t) => {
  const { store } = await (await testStores(t)).fresh(t);
  const now = (): Date => new Date();
  const accepting = acceptance(store, pageLog(store, systemClock, silentLog), systemClock);
  const services = storeServices(store, accepting, now, botSetup());
  await t.rejects(createBroadcast(services, { text: 'a' }), { code: 'PH_BOT_NONE' });
  await store.models.Bots.collection.insertMany(
    ['1', '2'].map((bot) => ({ bot, token: 'sealed', state: 'active', createdAt: now() })) as never[],
  );
  const chats = store.models.Chats.collection;
  const mark = { bot: '1', type: 'private', tags: [], createdAt: now() };
  await chats.insertMany([
    { ...mark, chatId: 3, reach: 'blocked', blockedAt: new Date(5) },
    { ...mark, chatId: 4, reach: 'ok', movedTo: -1004 },
    { ...mark, chatId: 5, reach: 'ok', subscription: 'stopped' },
  ] as never[]);

  const lines = Array.from({ length: 2_100 }, (_, index) =>
    JSON.stringify({ chatId: index + 1, tags: [`t${index % 2}`] }),
  );
  const file = [...lines, '{"chatId":7,"botId":"2","type":"group"}', '{"chatId":7000000000000}'].join('\n');
  const first = await importUsers(services, { chunks: cut(file, 10_000), format: 'ndjson' });
  t.same(first, { imported: 2_100, updated: 2, failed: [], failedTotal: 0 });
  t.match(await importUsers(services, { chunks: cut(file, 10_000), format: 'ndjson' }), {
    imported: 0,
    updated: 2_102,
  });
  const two = await Promise.all(
    [1, 2].map(() => importUsers(services, { chunks: cut('{"chatId":9001}\n{"chatId":9002}'), format: 'ndjson' })),
  );
  t.match(
    two
      .map(({ imported, failedTotal }) => ({ imported, failedTotal }))
      .reduce((a, b) => ({ imported: a.imported + b.imported, failedTotal: a.failedTotal + b.failedTotal })),
    { imported: 2, failedTotal: 0 },
    'two imports at once',
  );

  t.match(await getUser(services, '1', '3'), {
    subscription: 'active',
    reachability: 'blocked',
    blockedAt: new Date(5).toISOString(),
    tags: ['t0'],
  });
  t.match(await getUser(services, '1', '5'), { subscription: 'stopped', reachability: 'ok' });
  t.match(await getUser(services, '2', '7'), { botId: '2', type: 'group' });
  t.match(await getUser(services, '1', '7000000000000'), { chatId: 7_000_000_000_000 });
  await t.rejects(
    getUser(services, '1', '4'),
    { code: 'PH_USER_NOT_FOUND' },
    'the stub of a chat that moved is no person',
  );

  const seen = new Set<string>();
  let pages = 0;
  for (let cursor: string | undefined = ''; cursor !== undefined; pages += 1) {
    const page: Awaited<ReturnType<typeof listUsers>> = await listUsers(services, {
      limit: '500',
      ...(cursor === '' ? {} : { cursor }),
    });
    for (const { botId, chatId } of page.items) seen.add(`${botId}:${chatId}`);
    cursor = page.next;
  }
  t.equal(pages, 5);
  t.equal(seen.size, 2_103, 'everybody once');
  const some = await listUsers(services, {
    botId: '1',
    subscription: 'stopped',
    tag: 't0',
    reachability: 'ok',
    type: 'private',
  });
  t.same(
    some.items.map(({ chatId }) => chatId),
    [5],
  );
  t.equal(some.next, undefined);

  const messages = [
    { chatId: 1, text: 'a' },
    { chatId: 2, text: 'b', dedupKey: 'd' },
  ];
  const sent = await sendMessages(services, { messages }, 'key');
  t.equal(sent.ids.length, 2);
  t.same(await sendMessages(services, { messages }, 'key'), sent, 'the same key again is answered the same');
  await t.rejects(
    sendMessages(services, { messages: messages.slice(1) }, 'key').catch((error: unknown) =>
      Promise.reject(problemOf(error)),
    ),
    { status: 409, code: 'PH_IDEMPOTENCY_CONFLICT' },
  );
  t.same(
    (await sendMessages(services, { messages: messages.slice(1) })).ids,
    sent.ids.slice(1),
    'the same dedupKey too',
  );
  const { id } = await createBroadcast(services, { text: 'a', name: 'n' });
  t.match(await getBroadcast(services, id), { id, name: 'n', state: 'running' });
  t.match(await listBroadcasts(services, {}), { items: [{ id }] });
});
