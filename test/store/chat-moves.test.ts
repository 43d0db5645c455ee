import { ObjectId } from 'mongodb';
import t from 'tap';
import { broadcastStore } from '../../src/store/broadcast-store.js';
import { moveChat } from '../../src/store/chat-moves.js';
import { sendStore } from '../../src/store/send-store.js';
import { subscribers } from '../../src/store/subscribers.js';
import { testStores } from '../support/test-store.js';

const { store } = await (await testStores(t)).fresh(t);
const chats = store.models.Chats.collection;
let bots = 0;

/** Rows of a bot of its own: chat id, and what the row is beside it. */
async function rows(given: readonly { readonly chatId: number; readonly [field: string]: unknown }[]) {
  bots += 1;
  const bot = String(bots);
  if (given.length > 0)
    await chats.insertMany(
      given.map((row) => ({ bot, type: 'group', reach: 'ok', tags: [], createdAt: new Date(), ...row })) as never,
    );
  return {
    bot,
    move: (chatId: number, to: number) => moveChat(chats as never, bot, { chatId, to }),
    all: () => chats.find({ bot }).sort({ chatId: -1 }).toArray(),
    audience: async () => (await broadcastStore(store, bot).audience({ types: ['group', 'supergroup'] }, null)).chats,
  };
}

t.test('the row keeps its uid and all else, a stub stays', async (t) => {
  const uid = new ObjectId();
  const world = await rows([{ _id: uid, chatId: -5, subscription: 'active', tags: ['x'] }]);
  for (let i = 0; i < 2; i += 1) {
    await world.move(-5, -100);
    const [stub, row, ...more] = await world.all();
    t.match(stub, { chatId: -5, movedTo: -100 });
    t.equal(stub?.subscription, undefined);
    t.match(row, { chatId: -100, type: 'supergroup', subscription: 'active', tags: ['x'] });
    t.ok(row?._id.equals(uid));
    t.equal(row?.movedTo, undefined);
    t.equal(more.length, 0);
    t.same(await world.audience(), [-100], 'an audience meets it once');
  }
  t.same(
    (await sendStore(store, world.bot).marks([-5, -100])).map(({ chatId, movedTo }) => [chatId, movedTo]),
    [[-5, -100]],
    'who sends is told',
  );
  await chats.updateOne({ bot: world.bot, chatId: -5 }, { $set: { subscription: 'active' } });
  t.same(await world.audience(), [-100], 'not even when somebody subscribes the old id');
});

t.test('a row that is there already gives way, but for what it knows of being reached', async (t) => {
  const uid = new ObjectId();
  const seen = new Date(Date.UTC(2026, 1, 1));
  const world = await rows([
    { _id: uid, chatId: -5, subscription: 'active', reach: 'blocked' },
    { chatId: -100, type: 'supergroup', subscription: 'active', lastUpdateAt: seen },
  ]);
  await world.move(-5, -100);
  const found = await world.all();
  t.equal(found.length, 2);
  t.ok(found[1]?._id.equals(uid));
  t.match(found[1], { chatId: -100, reach: 'ok', lastUpdateAt: seen });
  t.same(await world.audience(), [-100]);
});

t.test('a row that a mark alone made never takes the place of a subscriber', async (t) => {
  const uid = new ObjectId();
  const world = await rows([
    { chatId: -5, frozenUntil: new Date() },
    { _id: uid, chatId: -100, subscription: 'active' },
  ]);
  await world.move(-5, -100);
  t.ok((await world.all())[1]?._id.equals(uid), 'as after a crash between the two writes');
  t.same(await world.audience(), [-100]);
});

t.test('a chat that nobody knows becomes a stub; two moves make a chain; a circle is left alone', async (t) => {
  const world = await rows([]);
  await world.move(-5, -100);
  t.match(await world.all(), [{ chatId: -5, movedTo: -100, reach: 'ok' }]);
  const chain = await rows([{ chatId: -5, subscription: 'active' }]);
  await chain.move(-5, -100);
  await chain.move(-100, -200);
  t.same(await chain.audience(), [-200]);
  t.match(await chain.all(), [{ movedTo: -100 }, { movedTo: -200 }, { chatId: -200, subscription: 'active' }]);
  await chain.move(-5, -100);
  t.same(await chain.audience(), [-200], 'an old word once more changes nothing');
  await chain.move(-200, -5);
  t.same(await chain.audience(), [-200]);
});

t.test('many at once: ingress and senders may write the same move together', async (t) => {
  const world = await rows([
    { chatId: -5, subscription: 'active' },
    { chatId: -100, type: 'supergroup' },
  ]);
  const mark = () =>
    chats
      .updateOne(
        { bot: world.bot, chatId: -100 },
        { $set: { reach: 'ok' }, $setOnInsert: { type: 'supergroup', tags: [], createdAt: new Date() } },
        { upsert: true },
      )
      .catch(() => undefined);
  await Promise.all([world.move(-5, -100), mark(), world.move(-5, -100), mark(), world.move(-5, -100)]);
  await world.move(-5, -100);
  t.match(await world.all(), [
    { chatId: -5, movedTo: -100 },
    { chatId: -100, subscription: 'active' },
  ]);
});

/** The collection, its calls one after the other; `act` is done right before the call `at`, from 1 on. `calls` tells how many were made. */
function interrupted(at: number, act: () => Promise<unknown>) {
  let calls = 0;
  let last: Promise<unknown> = Promise.resolve();
  const collection = new Proxy(chats, {
    get: (target, name) => {
      const method = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      return (...given: unknown[]) => {
        const answer = last.then(async () => {
          calls += 1;
          if (calls === at) await act();
          return Reflect.apply(method, target, given);
        });
        last = answer.catch(() => undefined);
        return answer;
      };
    },
  });
  return { collection, calls: () => calls };
}

/** The chat id that the stubs among these rows lead to. */
function leadsTo(all: readonly { readonly [field: string]: unknown }[], chatId: unknown): unknown {
  const row = all.find((one) => one.chatId === chatId);
  return row?.movedTo === undefined ? row?.chatId : leadsTo(all, row.movedTo);
}

const occasion = { updateId: 1, at: new Date() };
const member = { chatId: -5, subscription: 'active' };
const marked = { chatId: -100, type: 'supergroup' };

/** What comes between two calls of a move of -5 to -100, and the rows before it. Afterwards the bot has this one subscriber. */
const between = {
  'another does all of it': {
    befores: [[member], [member, marked], [{ chatId: -5 }, { ...marked, subscription: 'active' }]],
    act: (bot: string) => moveChat(chats as never, bot, { chatId: -5, to: -100 }),
    subscriber: -100,
  },
  'another does all of it, and the supergroup moves on': {
    befores: [[member], [member, marked]],
    act: async (bot: string) => {
      await moveChat(chats as never, bot, { chatId: -5, to: -100 });
      await moveChat(chats as never, bot, { chatId: -100, to: -200 });
    },
    subscriber: -200,
  },
  'the supergroup subscribes': {
    befores: [[{ chatId: -5 }, marked], [marked], [member, marked]],
    act: (bot: string) => subscribers(store, bot).subscribe(-100, 'active', occasion),
    subscriber: -100,
  },
  'the group registers and subscribes under its old id': {
    befores: [[], [{ chatId: -5 }], [marked]],
    act: async (bot: string) => {
      const { mark, subscribe } = subscribers(store, bot);
      await mark({ chatId: -5, type: 'group', reach: 'ok' }, occasion);
      await subscribe(-5, 'active', occasion);
    },
    subscriber: -100,
  },
};

for (const [name, { befores, act, subscriber }] of Object.entries(between)) {
  t.test(`a subscriber is there and is one, whatever comes between two calls of a move: ${name}`, async (t) => {
    for (const before of befores) {
      for (let at = 1; ; at += 1) {
        const { bot, audience, all } = await rows(before);
        const there = interrupted(at, () => act(bot));
        await moveChat(there.collection as never, bot, { chatId: -5, to: -100 });
        if (there.calls() < at) break;
        const shown = `${JSON.stringify(before)}, before call ${at}`;
        t.same(await audience(), [subscriber], shown);
        t.equal(leadsTo(await all(), -5), subscriber, `${shown}: the old id leads there`);
      }
    }
  });
}
