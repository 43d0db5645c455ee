import t, { type Test } from 'tap';
import { shardOf } from '../../src/delivery/shards.js';
import { type Plan, refusal, type SendingWorld, sendingWorld } from '../support/sending-world.js';

const UNLIMITED = { perSecond: 0, perChatSecond: 0, perGroupMinute: 0 };
const SHARDS = 4;
const OLD = -5;

/** Ids of supergroups whose shard is another than that of `OLD`, and the same. */
const supergroups = Array.from({ length: 40 }, (_, index) => -1_000_000_000_001 - index);
const ELSEWHERE = supergroups.find((id) => shardOf(id, SHARDS) !== shardOf(OLD, SHARDS)) ?? 0;
const SAME_SHARD = supergroups.find((id) => shardOf(id, SHARDS) === shardOf(OLD, SHARDS)) ?? 0;
const FURTHER = supergroups.find((id) => id !== ELSEWHERE && shardOf(id, SHARDS) !== shardOf(ELSEWHERE, SHARDS)) ?? 0;

function worldOf(t: Pick<Test, 'teardown'>): SendingWorld {
  const world = sendingWorld();
  t.teardown(() => world.stop());
  return world;
}

const upgraded = (to: number): Plan => ({
  answer: refusal(400, 'Bad Request: group chat was upgraded to a supergroup chat', { migrate_to_chat_id: to }),
});

const called = (world: SendingWorld): string[] => world.calls.map(({ chatId, text }) => `${chatId} ${text}`);

for (const to of [ELSEWHERE, SAME_SHARD]) {
  t.test(`the same message first, then what waits, in order, under the new id (${to})`, async (t) => {
    const world = worldOf(t);
    world.plan = (chatId) => (chatId === OLD ? upgraded(to) : undefined);
    const process = await world.process({ rates: UNLIMITED });
    const texts = Array.from({ length: 8 }, (_, index) => `w${index}`);
    const ids = world.append(
      texts.map((text) => ({ chatId: OLD, text })),
      'none',
    );
    await process.take();
    await world.clock.advance(3_060);
    // Accepted while the handover is under way: to the old id, and to the new one as soon as the move is known.
    const late = Array.from({ length: 20 }, (_, index) => `l${index}`);
    for (const [i, text] of late.entries()) {
      const chatId = i % 2 === 1 && process.line.moved.has(OLD) ? to : OLD;
      ids.push(...world.append([{ chatId, text }]));
      await world.clock.advance(3);
    }
    await world.finish(20_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    t.same(called(world), [`${OLD} w0`, ...[...texts, ...late].map((x) => `${to} ${x}`)]);
    t.equal(world.moved.get(OLD), to);
    t.ok(
      world.events.indexOf('commit letters') < world.events.lastIndexOf('call w0'),
      'that it moved is durable before the message goes to the new id',
    );
    t.equal(process.line.moving.size, 0);
    t.equal(process.line.registry.size, 0);
    world.check({ perSecond: 0 });
  });
}

t.test(
  'lanes, a long text of which a part is sent, at-most-once, and what waits in the new chat already',
  async (t) => {
    const world = worldOf(t);
    const long = [1, 2].map((part) => `p${part} ${'x'.repeat(2_500)}`).join('\n\n');
    const process = await world.process({ rates: { ...UNLIMITED, perGroupMinute: 60 } });
    const ids = world.append(
      [
        { chatId: ELSEWHERE, text: 'n0' },
        { chatId: ELSEWHERE, text: 'n1' },
        { chatId: OLD, text: long },
        { chatId: OLD, text: 'once', class: 'at-most-once' },
        { chatId: OLD, text: 'bulk', lane: 'bulk' },
        { chatId: ELSEWHERE, text: 'n2' },
        { chatId: OLD, text: 'reply', lane: 'reply' },
      ],
      'none',
    );
    // The reply goes first and through; then the group is upgraded between the parts.
    world.plan = (chatId, text) => (chatId === OLD && text.startsWith('p2') ? upgraded(ELSEWHERE) : undefined);
    await process.take();
    await world.finish(30_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    const texts = world.calls.map(({ chatId, text }) => `${chatId === OLD ? 'old' : 'new'} ${text.slice(0, 5).trim()}`);
    const order = (of: string[]) => texts.filter((text) => of.includes(text.replace(/^\S+ /, '')));
    t.same(order(['reply', 'p1 xx', 'p2 xx', 'once']), [
      'old reply',
      'old p1 xx',
      'old p2 xx',
      'new p2 xx',
      'new once',
    ]);
    t.same(order(['n0', 'n1', 'n2']), ['new n0', 'new n1', 'new n2']);
    t.equal(texts.at(-1), 'new bulk', 'the lower lane goes last');
    t.equal(process.line.begun.size, 0);
  },
);

t.test('two upgrades one after the other, and later messages to each old id', async (t) => {
  const world = worldOf(t);
  world.plan = (chatId) => {
    if (chatId === OLD) return upgraded(ELSEWHERE);
    return chatId === ELSEWHERE ? upgraded(FURTHER) : undefined;
  };
  const process = await world.process({ rates: UNLIMITED });
  const ids = world.append(
    [
      { chatId: OLD, text: 'a' },
      { chatId: OLD, text: 'b' },
      { chatId: ELSEWHERE, text: 'c' },
    ],
    'none',
  );
  await process.take();
  await world.finish(20_000);
  ids.push(
    ...world.append([
      { chatId: OLD, text: 'd' },
      { chatId: ELSEWHERE, text: 'e' },
      { chatId: FURTHER, text: 'f' },
    ]),
  );
  await world.finish(20_000);
  t.same(new Set(world.states(ids)), new Set(['sent']));
  t.same(
    called(world).filter((call) => call.startsWith(`${FURTHER} `)),
    ['a', 'b', 'c', 'd', 'e', 'f'].map((text) => `${FURTHER} ${text}`),
  );
  world.check({ perSecond: 0 });
});

t.test('a move that another process wrote, while messages wait: they follow in order', async (t) => {
  const world = worldOf(t);
  const process = await world.process({ rates: { ...UNLIMITED, perGroupMinute: 30 } });
  const ids = world.append(
    [1, 2, 3, 4].map((i) => ({ chatId: OLD, text: `w${i}` })),
    'none',
  );
  await process.take();
  await world.clock.advance(3_200);
  t.same(called(world), [`${OLD} w1`]);
  world.plan = (chatId) => (chatId === OLD ? upgraded(ELSEWHERE) : undefined);
  world.moved.set(OLD, ELSEWHERE);
  ids.push(
    ...world.append([
      { chatId: OLD, text: 'later' },
      { chatId: ELSEWHERE, text: 'new' },
    ]),
  );
  await world.finish(60_000);
  t.same(new Set(world.states(ids)), new Set(['sent']));
  t.same(called(world), [`${OLD} w1`, ...['w2', 'w3', 'w4', 'later', 'new'].map((text) => `${ELSEWHERE} ${text}`)]);
  world.check({ perSecond: 0 });
});

t.test('a takeover after the move, and one before it is durable', async (t) => {
  for (const when of ['after', 'before'] as const) {
    const world = worldOf(t);
    world.plan = (chatId) => (chatId === OLD ? upgraded(ELSEWHERE) : undefined);
    const first = await world.process({ rates: { ...UNLIMITED, perGroupMinute: 20 } });
    const ids = world.append(
      [1, 2, 3].map((i) => ({ chatId: OLD, text: `w${i}` })),
      'none',
    );
    const release = when === 'before' ? world.hold(/commit letters/) : () => undefined;
    await first.take();
    await world.clock.advance(when === 'before' ? 3_300 : 6_500);
    t.equal(world.calls.length, when === 'before' ? 1 : 2);
    first.kill();
    release();
    const second = await world.process({ rates: UNLIMITED });
    await second.take(false);
    ids.push(...world.append([{ chatId: OLD, text: 'later' }]));
    await world.finish(30_000);
    t.same(new Set(world.states(ids)), new Set(['sent']), when);
    t.same(
      [...new Set(world.calls.filter(({ chatId }) => chatId === ELSEWHERE).map(({ text }) => text))],
      ['w1', 'w2', 'w3', 'later'],
    );
    if (when === 'after')
      t.equal(world.calls.filter(({ chatId }) => chatId === OLD).length, 1, 'the old id is not asked again');
    world.check({ repeats: 1 });
  }
});

t.test('crashes of shards and pool around the handover', async (t) => {
  for (let delay = 0; delay < 12; delay += 1) {
    const world = worldOf(t);
    world.plan = (chatId) => (chatId === OLD ? upgraded(ELSEWHERE) : undefined);
    const process = await world.process({ rates: UNLIMITED });
    const texts = Array.from({ length: 6 }, (_, index) => `w${index}`);
    const ids = world.append(
      texts.map((text) => ({ chatId: OLD, text })),
      'none',
    );
    await process.take();
    await world.clock.advance(3_052 + 36 + delay * 2);
    process.crash(delay % 3 === 0 ? 'pool' : shardOf(delay % 3 === 1 ? OLD : ELSEWHERE, SHARDS));
    await world.clock.advance(1);
    ids.push(...world.append([{ chatId: OLD, text: 'later' }]));
    await world.finish(30_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    t.same(
      world.calls.filter(({ chatId }) => chatId === ELSEWHERE).map(({ text }) => text),
      [...texts, 'later'],
    );
    t.equal(process.line.registry.size, 0);
    world.check({ perSecond: 0 });
  }
});

t.test('in a broadcast: the group is met once, and counts as sent', async (t) => {
  const world = worldOf(t);
  world.plan = (chatId) => (chatId === OLD ? upgraded(ELSEWHERE) : undefined);
  const process = await world.process({ rates: UNLIMITED });
  const n = world.broadcast([1, 2, OLD, 3]);
  await process.take();
  await world.finish(20_000);
  t.same(world.tally(n), { sent: 4 });
  t.same(
    called(world).filter((call) => call.includes('-')),
    [`${OLD} b1@${OLD}`, `${ELSEWHERE} b1@${ELSEWHERE}`],
  );
});

t.test('a group that is in a broadcast under both ids gets it once', async (t) => {
  const both = { sent: 3, skipped: 1 };
  const metOnce = (world: SendingWorld) =>
    called(world).filter((call) => call.startsWith(`${ELSEWHERE} b`) || call.startsWith(`${SAME_SHARD} b`)).length;

  for (const to of [ELSEWHERE, SAME_SHARD]) {
    for (const people of [
      [1, OLD, to, 2],
      [to, 1, 2, OLD],
    ])
      await t.test(`of which its old id tells (${people})`, async (t) => {
        const world = worldOf(t);
        world.plan = (chatId) => (chatId === OLD ? { ...upgraded(to), afterMs: 300 } : undefined);
        const process = await world.process({ concurrency: 1, rates: UNLIMITED });
        const n = world.broadcast(people);
        await process.take();
        await world.finish(20_000);
        t.same(world.tally(n), both);
        t.equal(metOnce(world), 1);
        t.equal(process.line.moving.size, 0);
        world.check({ perSecond: 0 });
      });
  }

  await t.test('while the store is away', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId) => (chatId === OLD ? upgraded(ELSEWHERE) : undefined);
    const process = await world.process({ rates: UNLIMITED });
    const n = world.broadcast([1, OLD, ELSEWHERE, 2]);
    const release = world.hold(/^among/);
    await process.take();
    while (!called(world).some((call) => call.startsWith(`${OLD} `))) await world.clock.advance(20);
    world.away = /^among/;
    release();
    await world.clock.advance(5_000);
    world.away = undefined;
    await world.finish(20_000);
    t.same(world.tally(n), both);
    t.equal(metOnce(world), 1);
  });

  await t.test('after a takeover, and after a pause', async (t) => {
    for (const how of ['takeover', 'pause'] as const) {
      const world = worldOf(t);
      world.plan = (chatId) => (chatId === 1 ? { afterMs: 400 } : undefined);
      const process = await world.process({ concurrency: 1, rates: UNLIMITED });
      const n = world.broadcast([OLD, 1, 2, ELSEWHERE]);
      await process.take();
      while (called(world).length === 0) await world.clock.advance(20);
      const isOld = called(world)[0]?.startsWith(`${OLD} `) === true;
      t.notOk(isOld, 'the group waits');
      if (how === 'pause') world.move(n, 'paused');
      else process.kill();
      await world.clock.advance(2_000);
      const isMet = metOnce(world);
      world.moved.set(OLD, ELSEWHERE);
      if (how === 'pause') world.move(n, 'running');
      else await (await world.process({ rates: UNLIMITED })).take();
      await world.finish(20_000);
      t.same(world.tally(n), both, how);
      t.equal(metOnce(world), 1, `${isMet} before`);
      t.notOk(called(world).some((call) => call.startsWith(`${OLD} b`)));
    }
  });
});

for (const to of ['running', 'cancelled'] as const) {
  for (const how of [
    'the call in the air tells it',
    'a note to the group tells it',
    'another process wrote it',
  ] as const) {
    t.test(`a group moves while its broadcast is paused (${how}), and then it is ${to}`, async (t) => {
      const world = worldOf(t);
      world.plan = (chatId, text) => {
        if (chatId === OLD) return { ...upgraded(ELSEWHERE), afterMs: 400 };
        return text.startsWith('b') ? { afterMs: 200 } : undefined;
      };
      // One call at once: while it is in the air the rest waits.
      const process = await world.process({ concurrency: 1, rates: UNLIMITED });
      const n = world.broadcast([1, OLD, 2]);
      await process.take();
      const isAwaited = () => called(world).some((call) => !how.startsWith('the call') || call.startsWith(`${OLD} `));
      while (!isAwaited()) await world.clock.advance(20);
      world.move(n, 'paused');
      await world.clock.advance(50);
      const people = called(world).filter((call) => !call.startsWith('-')).length;
      t.equal(called(world).length - people, how.startsWith('the call') ? 1 : 0, 'the group has a call, or waits');
      const notes = how.startsWith('a note') ? world.append([{ chatId: OLD, text: 'note' }]) : [];
      if (how.startsWith('another')) world.moved.set(OLD, ELSEWHERE);
      await world.clock.advance(3_000);
      t.same(new Set(world.states(notes)), new Set(notes.map(() => 'sent')), 'a note goes on, to the new id');
      t.equal(called(world).filter((call) => call.startsWith(`${ELSEWHERE} b`)).length, 0, 'nothing else meanwhile');
      t.equal(world.moved.get(OLD), ELSEWHERE);
      const before = called(world).length;
      world.move(n, to);
      await world.finish(20_000);
      const after = called(world).slice(before);
      if (to === 'cancelled') {
        t.same(after, []);
        t.match(world.broadcasts.get(n), { state: to, sum: { sent: people, cancelled: 3 - people } });
      } else {
        t.same(
          after.filter((call) => call.startsWith('-')),
          [`${ELSEWHERE} b${n}@${ELSEWHERE}`],
          'met once, under its new id',
        );
        t.same(world.tally(n), { sent: 3 });
      }
      t.equal(process.line.moving.size, 0);
      t.equal(process.line.registry.size, 0);
      world.check({ perSecond: 0 });
    });
  }
}

t.test('a chat that became itself is an error like any other', async (t) => {
  const world = worldOf(t);
  world.plan = (chatId) => (chatId === OLD ? upgraded(OLD) : undefined);
  const process = await world.process({ rates: UNLIMITED });
  const [id = ''] = world.append([{ chatId: OLD }], 'none');
  await process.take();
  await world.finish(20_000);
  t.equal(world.state(id), 'dead');
});
