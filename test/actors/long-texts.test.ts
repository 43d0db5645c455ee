import t, { type Test } from 'tap';
import { cutText, partText } from '../../src/delivery/text/cut-text.js';
import { blocked, limited, lost, refusal, type SendingWorld, sendingWorld } from '../support/sending-world.js';

const UNLIMITED = { perSecond: 0, perChatSecond: 0, perGroupMinute: 0 };

function worldOf(t: Pick<Test, 'teardown'>): SendingWorld {
  const world = sendingWorld();
  t.teardown(() => world.stop());
  return world;
}

/** A text of three parts, each of which says whose it is and which. */
const long = (name: string): string => [1, 2, 3].map((part) => `${name}/${part} ${'x'.repeat(2_500)}`).join('\n\n');

/** What was called, in order: `name/part` of a long text, else the text. */
const called = (world: SendingWorld, chatId?: number): string[] =>
  world.calls
    .filter((call) => chatId === undefined || call.chatId === chatId)
    .map(({ text }) => /^\S+\/\d/.exec(text)?.[0] ?? text);

t.test('the text of these tests has three parts', async (t) => {
  const text = long('a');
  const cut = cutText(text, undefined);
  t.equal(cut.kind === 'parts' && cut.parts.length, 3);
  t.match(cut.kind === 'parts' && partText({ text, parts: cut.parts }, 1), /^a\/2 x+$/);
});

t.test('parts go in order, paced, each durable before the next, nothing of the chat between them', async (t) => {
  const world = worldOf(t);
  const process = await world.process();
  const [whole = '', bulk = '', other = ''] = world.append(
    [
      { chatId: 1, text: long('a') },
      { chatId: 1, lane: 'bulk', text: 'bulk' },
      { chatId: 2, text: 'other' },
    ],
    'none',
  );
  await process.take();
  await world.clock.advance(1_300);
  t.same(called(world, 1), ['a/1']);
  t.equal(world.parts(whole).length, 1, 'the first part is durable');
  t.equal(world.state(whole), 'queued');
  t.equal(world.state(other), 'sent', 'other chats go on');
  const [reply = ''] = world.append([{ chatId: 1, lane: 'reply', text: 'reply' }]);
  await world.finish(10_000);
  t.same(called(world, 1), ['a/1', 'a/2', 'a/3', 'reply', 'bulk'], 'not even a reply comes between');
  const times = world.calls.filter(({ chatId }) => chatId === 1).map(({ at }) => at);
  t.ok(
    times.every((at, i) => i === 0 || at - (times[i - 1] ?? 0) >= 1_000),
    'each part keeps the spacing of its chat',
  );
  t.same(world.states([whole, bulk, reply]), ['sent', 'sent', 'sent']);
  t.equal(world.parts(whole).length, 2, 'the last id is in the outcome itself');
  t.equal(process.line.registry.size, 0);
  t.equal(process.line.pacing.inFlight, 0);
  world.check();
});

t.test('429 and an ambiguous end in the middle: the same part again, with attempts of its own', async (t) => {
  const world = worldOf(t);
  world.plan = (_chat, text, nth) => {
    if (text.startsWith('a/2') && nth === 1) return { answer: limited(5) };
    return /^a\/[23]/.test(text) && nth <= 2 ? { answer: lost() } : undefined;
  };
  const process = await world.process();
  const [id = ''] = world.append([{ chatId: 1, text: long('a') }], 'none');
  world.append([{ chatId: 1, text: 'next' }], 'none');
  await process.take();
  await world.clock.advance(4_000);
  world.append([{ chatId: 1, lane: 'reply', text: 'reply' }]);
  for (let i = 0; i < 30; i += 1) {
    world.append([{ chatId: 100 + i }]); // others get through, so failures are the message's own
    await world.clock.advance(1_000);
  }
  await world.finish(60_000);
  t.same(called(world, 1), ['a/1', 'a/2', 'a/2', 'a/2', 'a/3', 'a/3', 'a/3', 'reply', 'next']);
  t.equal(world.state(id), 'sent');
  world.check();
});

t.test('a refusal in the middle: dead, with what was sent', async (t) => {
  const world = worldOf(t);
  world.plan = (_chat, text) =>
    text.startsWith('a/3') ? { answer: refusal(400, 'Bad Request: something') } : undefined;
  const process = await world.process({ rates: UNLIMITED });
  const [id = '', next = ''] = world.append([{ chatId: 1, text: long('a') }, { chatId: 1 }], 'none');
  await process.take();
  await world.finish(10_000);
  t.same(world.states([id, next]), ['dead', 'sent']);
  t.equal(world.parts(id).length, 2);
  t.match(world.deadLetters.get(id), { payload: { text: long('a'), messageIds: world.parts(id) } });
  t.equal(
    world.deadLetters.get(id)?.payload.parts?.length,
    3,
    'and how it is cut, so that a replay goes on behind that',
  );
});

t.test('a refusal of the first part: dead with its cut, since a replay may hold the rest of a text only', async (t) => {
  const world = worldOf(t);
  world.plan = () => ({ answer: refusal(400, 'Bad Request: something') });
  const process = await world.process({ rates: UNLIMITED });
  const [id = ''] = world.append([{ chatId: 1, text: long('a') }], 'none');
  await process.take();
  await world.finish(10_000);
  t.equal(world.deadLetters.get(id)?.payload.parts?.length, 3);
  t.equal(world.deadLetters.get(id)?.payload.messageIds, undefined);
});

t.test('a block in the middle: blocked, with what was sent, and the rest of the chat too', async (t) => {
  const world = worldOf(t);
  world.plan = (_chat, text) => (text.startsWith('a/2') ? { answer: blocked() } : undefined);
  const process = await world.process({ rates: UNLIMITED });
  const ids = world.append([{ chatId: 1, text: long('a') }, { chatId: 1 }], 'none');
  await process.take();
  await world.finish(10_000);
  t.same(world.states(ids), ['blocked', 'blocked']);
  t.same(called(world, 1), ['a/1', 'a/2']);
  t.equal(world.parts(ids[0] ?? '').length, 1);
});

t.test('at-most-once: begun part by part, an ambiguous part ends it as unknown', async (t) => {
  const world = worldOf(t);
  world.plan = (chatId, text) => (chatId === 1 && text.startsWith('a/2') ? { answer: lost() } : undefined);
  const process = await world.process({ rates: UNLIMITED });
  const ids = world.append(
    [
      { chatId: 1, class: 'at-most-once', text: long('a') },
      { chatId: 2, class: 'at-most-once', text: long('b') },
    ],
    'none',
  );
  await process.take();
  await world.finish(10_000);
  t.same(world.states(ids), ['unknown', 'sent']);
  t.same(called(world, 1), ['a/1', 'a/2']);
  t.same(called(world, 2), ['b/1', 'b/2', 'b/3']);
  t.equal(process.line.begun.size, 0);
  t.equal(process.line.begunDurable.size, 0);
});

for (const lane of ['at-least-once', 'at-most-once'] as const) {
  t.test(`${lane}: a crash between two parts goes on at the next one`, async (t) => {
    const world = worldOf(t);
    const first = await world.process({ rates: { ...UNLIMITED, perChatSecond: 1 } });
    const ids = world.append(
      [
        { chatId: 1, class: lane, text: long('a') },
        { chatId: 1, text: 'next' },
      ],
      'none',
    );
    await first.take();
    await world.clock.advance(1_400);
    t.same(called(world), ['a/1']);
    t.equal(world.parts(ids[0] ?? '').length, 1);
    first.kill();
    const second = await world.process({ rates: UNLIMITED });
    await second.take(false);
    await world.finish(20_000);
    t.same(called(world), ['a/1', 'a/2', 'a/3', 'next']);
    t.same(world.states(ids), ['sent', 'sent']);
    world.check();
  });
}

t.test('a crash while a part is in the air: repeated, or unknown when it must not be', async (t) => {
  const world = worldOf(t);
  const first = await world.process({ rates: UNLIMITED });
  const ids = world.append(
    [
      { chatId: 1, text: long('a') },
      { chatId: 2, class: 'at-most-once', text: long('b') },
    ],
    'none',
  );
  world.plan = (_chat, text) => (/^[ab]\/2/.test(text) ? { afterMs: 5_000 } : undefined);
  await first.take();
  await world.clock.advance(1_400);
  t.same(
    called(world).sort((a, b) => a.localeCompare(b)),
    ['a/1', 'a/2', 'b/1', 'b/2'],
  );
  first.kill();
  world.plan = () => undefined;
  const second = await world.process({ rates: UNLIMITED });
  await second.take(false);
  await world.finish(20_000);
  t.same(called(world, 1), ['a/1', 'a/2', 'a/2', 'a/3']);
  t.same(called(world, 2), ['b/1', 'b/2']);
  t.same(world.states(ids), ['sent', 'unknown']);
  t.equal(world.parts(ids[1] ?? '').length, 1);
  t.match(world.deadLetters.get(ids[1] ?? ''), { payload: { messageIds: world.parts(ids[1] ?? '') } });
  world.check({ repeats: 1 });
});

t.test('crashes of shards and pool at any moment repeat nothing and tear nothing apart', async (t) => {
  const world = worldOf(t);
  const process = await world.process({ rates: UNLIMITED });
  const ids = world.append(
    [1, 2, 3, 4, 5, 6].flatMap((chatId) => [
      { chatId, text: long(`a${chatId}`) },
      { chatId, class: 'at-most-once' as const, text: long(`b${chatId}`) },
    ]),
    'none',
  );
  await process.take();
  await world.clock.advance(1_060);
  for (let i = 0; i < 40; i += 1) {
    await world.clock.advance([3, 17, 41, 44, 46, 90][i % 6] ?? 1);
    if (i % 3 === 0) process.crash(i % 2 === 0 ? 'pool' : i % 4);
    if (i % 10 === 0) await world.clock.advance(1_300);
  }
  await world.finish(120_000);
  t.same(new Set(world.states(ids)), new Set(['sent']));
  for (const chat of [1, 2, 3, 4, 5, 6])
    t.same(
      called(world, chat),
      ['a', 'b'].flatMap((name) => [1, 2, 3].map((part) => `${name}${chat}/${part}`)),
    );
  world.check({ perSecond: 0 });
});

t.test('outcomes that are written but answered with an error, and late: no part twice', async (t) => {
  const world = worldOf(t);
  const process = await world.process({ rates: UNLIMITED });
  const ids = world.append([{ chatId: 1, text: long('a') }], 'none');
  await process.take();
  await world.clock.advance(1_060);
  world.lose = /commit results/;
  await world.clock.advance(700);
  world.lose = undefined;
  await world.finish(20_000);
  t.same(called(world), ['a/1', 'a/2', 'a/3']);
  t.same(world.states(ids), ['sent']);
});

t.test('a broadcast with a long text: everyone gets all parts in order, through a kill', async (t) => {
  const world = worldOf(t);
  const first = await world.process();
  const people = Array.from({ length: 30 }, (_, i) => i + 1);
  const n = world.broadcast(people, { text: long('b') });
  const after = world.broadcast(people.slice(0, 5));
  await first.take();
  await world.clock.advance(2_500);
  const before = called(world).length;
  t.ok(before > 30 && before < 90, `${before} calls before the kill`);
  first.kill();
  const second = await world.process();
  await second.take(false);
  await world.finish(60_000);
  const repeats = world.calls.length - 95;
  t.ok(repeats <= 64, `${repeats} calls were in the air`);
  for (const chat of people) {
    const parts = called(world, chat).map((text) => text.replace(/@.*/, ''));
    t.same([...new Set(parts)].slice(0, 3), ['b/1', 'b/2', 'b/3']);
  }
  t.same(world.tally(n), { sent: 30 });
  t.same(world.tally(after), { sent: 5 });
  world.check({ repeats: 64 });
});
