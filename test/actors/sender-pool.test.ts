import t, { type Test } from 'tap';
import { settle } from '../support/fake-clock.js';
import {
  AUDIENCE_PAGE,
  blocked,
  type Draft,
  limited,
  lost,
  ok,
  refusal,
  type SendingWorld,
  sendingWorld,
  unsent,
} from '../support/sending-world.js';

const chats = (count: number, from = 1): number[] => Array.from({ length: count }, (_, index) => from + index);
const one = (chatId: number, more: Omit<Draft, 'chatId'> = {}): Draft => ({ chatId, ...more });
const textsOf = (world: SendingWorld, chatId?: number): string[] =>
  world.calls.filter((call) => chatId === undefined || call.chatId === chatId).map((call) => call.text);
const UNLIMITED = { perSecond: 0, perChatSecond: 0, perGroupMinute: 0 };

function worldOf(t: Pick<Test, 'teardown'>): SendingWorld {
  const world = sendingWorld();
  t.teardown(() => world.stop());
  return world;
}

t.test('messages by chat id', async (t) => {
  await t.test('order per chat, pace, durable before the next call', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const ids: string[] = [];
    for (let page = 0; page < 6; page += 1)
      ids.push(
        ...world.append(
          chats(30).map((chat) => one(chat, { lane: page % 2 === 0 ? 'notify' : 'reply' })),
          'none',
        ),
      );
    await process.take();
    await world.finish(60_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    t.equal(world.calls.length, 180);
    t.ok((world.calls[0]?.at ?? 0) >= 1_050, 'nothing is called in the quiet time after the takeover');
    t.ok((world.calls.at(-1)?.at ?? 0) < 9_000, 'the rate is used: 180 calls at 30 a second');
    world.check();
    for (const chat of chats(30)) {
      const times = world.calls.filter((call) => call.chatId === chat).map((call) => call.at);
      t.ok(
        times.every((at, i) => i === 0 || at - (times[i - 1] ?? 0) >= 1_000),
        `chat ${chat} keeps its spacing`,
      );
    }
    t.equal(process.line.registry.size, 0, 'every slot is given back');
    t.equal(process.line.pacing.inFlight, 0);
  });

  await t.test('news by memory, by a wake, by the scan, and with a gap', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ rates: UNLIMITED });
    await process.take();
    await world.clock.advance(1_200);
    for (const how of ['handed', 'wake'] as const) {
      const [id = ''] = world.append([one(1)], how);
      await world.clock.advance(60);
      t.equal(world.state(id), 'sent', how);
    }
    const [silent = ''] = world.append([one(2)], 'none');
    await world.clock.advance(100);
    t.equal(world.state(silent), 'queued');
    await world.clock.advance(2_000);
    t.equal(world.state(silent), 'sent', 'a lost wake costs one scan');
    const [unseen = ''] = world.append([one(3)], 'none');
    const [seen = ''] = world.append([one(3)], 'handed');
    await world.clock.advance(200);
    t.same(world.states([unseen, seen]), ['sent', 'sent'], 'the gap is read');
    world.check({ perSecond: 0 });
  });

  await t.test('slots bound the calls in the air, and are given back only when the outcome is durable', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ rates: UNLIMITED, concurrency: 5 });
    await process.take();
    await world.clock.advance(1_200);
    const release = world.hold(/commit/);
    world.append(chats(12).map((chat) => one(chat)));
    await world.clock.advance(900);
    t.equal(world.calls.length, 5);
    t.ok(
      world.calls.every((call) => call.endedAt !== undefined),
      'all have ended, none is durable',
    );
    release();
    await world.finish(5_000);
    t.equal(world.calls.length, 12);
  });

  await t.test('commits gather the ends of calls that are as fast as they are, and hold no lone reply', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ rates: UNLIMITED, concurrency: 20 });
    world.plan = (chatId) => ({ afterMs: chatId % 20 === 0 ? 4 : 1 });
    await process.take();
    await world.clock.advance(1_200);
    const commits = () => world.events.filter((event) => event === 'commit results').length;
    world.append(chats(400).map((chat) => one(chat)));
    await world.finish(5_000);
    t.ok(commits() <= 30, `20 commits carry 400 outcomes when all slots go into each: ${commits()}`);
    await world.clock.advance(1_000);
    const [reply = ''] = world.append([one(1_001)]);
    await world.clock.advance(10);
    t.equal(world.state(reply), 'sent', 'committed in the time that call and commit take');
  });

  await t.test('a commit that stalls for a second stops the calls', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ rates: UNLIMITED });
    await process.take();
    await world.clock.advance(1_200);
    const release = world.hold(/commit/);
    world.append([one(1)]);
    await world.clock.advance(1_100);
    world.append([one(2)]);
    await world.clock.advance(3_000);
    t.same(textsOf(world), ['m1.0']);
    release();
    await world.finish(3_000);
    t.same(textsOf(world), ['m1.0', 'm2.0']);
  });

  await t.test('the store is away and comes back: nothing is lost or repeated', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ rates: UNLIMITED });
    await process.take();
    await world.clock.advance(1_200);
    const ids = world.append(chats(40).flatMap((chat) => [one(chat), one(chat)]));
    await world.clock.advance(20);
    world.away = /./;
    await world.clock.advance(20_000);
    const during = world.calls.length;
    world.away = undefined;
    await world.finish(20_000);
    t.equal(world.calls.length, 80);
    t.ok(during < 80, 'it stopped meanwhile');
    t.same(new Set(world.states(ids)), new Set(['sent']));
    world.check({ perSecond: 0 });
  });

  await t.test('late beats stop the calls, and they go on by themselves', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ rates: UNLIMITED });
    await process.take();
    await world.clock.advance(1_200);
    process.mayCall = false;
    world.append([one(1)]);
    await world.clock.advance(5_000);
    t.equal(world.calls.length, 0);
    process.mayCall = true;
    await world.finish(2_000);
    t.equal(world.calls.length, 1);
  });

  await t.test('groups are spaced by the minute', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    world.append([one(-5), one(-5), one(-5), one(6)], 'none');
    await process.take();
    await world.finish(30_000);
    const times = world.calls.filter((call) => call.chatId === -5).map((call) => call.at);
    t.ok((times[0] ?? 0) >= 3_050, 'the quiet time of groups is longer');
    t.ok(times.every((at, i) => i === 0 || at - (times[i - 1] ?? 0) >= 3_000));
    world.check();
  });
});

t.test('ends of a call', async (t) => {
  await t.test('429 freezes its chat only, and is remembered by the store', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId, _text, nth) =>
      chatId === 1 && world.calls.length === 1 && nth === 1 ? { answer: limited(7) } : undefined;
    const process = await world.process();
    world.append([one(1), ...chats(20, 2).map((chat) => one(chat)), one(1)], 'none');
    await process.take();
    await world.clock.advance(4_000);
    t.equal(world.calls.length, 21, 'all others went');
    t.equal(world.frozen.get(1), world.clock.wallNow() - world.clock.now() + (world.calls[0]?.endedAt ?? 0) + 7_000);
    await world.finish(20_000);
    t.same(textsOf(world, 1), ['m1.0', 'm1.0', 'm1.21']);
    const [first, second] = world.calls.filter((call) => call.chatId === 1);
    t.ok((second?.at ?? 0) - (first?.endedAt ?? 0) >= 7_000);
    world.check();
  });

  await t.test('a frozen chat stays frozen over a takeover', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    world.frozen.set(1, world.clock.wallNow() + 9_000);
    world.append([one(1), one(2)], 'none');
    await process.take();
    await world.finish(20_000);
    t.ok((world.calls.find((call) => call.chatId === 1)?.at ?? 0) >= 9_000);
    t.ok((world.calls.find((call) => call.chatId === 2)?.at ?? 0) < 2_000);
  });

  await t.test('waiting spends no attempt, however often', async (t) => {
    const world = worldOf(t);
    world.plan = (_chatId, _text, nth) => (nth <= 6 ? { answer: limited(1) } : undefined);
    const process = await world.process();
    const [id = ''] = world.append([one(1)], 'none');
    await process.take();
    await world.finish(30_000);
    t.equal(world.calls.length, 7);
    t.equal(world.state(id), 'sent');
    t.equal(world.deadLetters.size, 0);
  });

  await t.test(
    'three chats in five seconds cut the rate, which a takeover keeps and silence brings back',
    async (t) => {
      const world = worldOf(t);
      world.plan = () => (world.calls.length <= 3 ? { answer: limited(1) } : undefined);
      const first = await world.process();
      world.append(
        chats(400).map((chat) => one(chat)),
        'none',
      );
      await first.take();
      await world.clock.advance(1_400);
      t.equal(first.line.pacing.rate, 15);
      t.equal(world.lease.rate, 15, 'the lease has it at once');
      first.kill();
      const second = await world.process();
      await second.take();
      t.equal(second.line.pacing.rate, 15);
      await world.clock.advance(4_000);
      const slow = world.calls.filter((call) => call.by === second && call.at < world.clock.now()).length;
      t.ok(slow > 30 && slow <= 46, `${slow} calls in about 3 s at 15 a second`);
      await world.clock.advance(20_000);
      t.equal(second.line.pacing.rate, 30);
      await world.finish(60_000);
      world.check({ repeats: 64 });
    },
  );

  await t.test('a long wait of one chat: shown with its end, over a takeover too; the others go on', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId, _text, nth) => (chatId === 1 && nth === 1 ? { answer: limited(7_200) } : undefined);
    const first = await world.process();
    world.append(
      chats(30).map((chat) => one(chat)),
      'none',
    );
    await first.take();
    await world.clock.advance(4_000);
    t.equal(world.calls.length, 30);
    const until = world.frozen.get(1) ?? 0;
    t.ok(until > world.clock.wallNow() + 7_100_000);
    t.same(first.reports.at(-1)?.waits, { chats: 1, until });
    first.kill();
    const second = await world.process();
    await second.take();
    await world.clock.advance(3_000);
    t.same(second.reports.at(-1)?.waits, { chats: 1, until });
    await world.clock.advance(7_180_000, 1);
    t.equal(world.calls.length, 30);
    await world.finish(30_000);
    t.equal(world.calls.length, 31);
    await world.clock.advance(2_000);
    t.equal(second.reports.at(-1)?.waits, undefined);
  });

  await t.test(
    'a long wait that means the bot: three calls, then silence until it is over, over takeovers and crashes',
    async (t) => {
      const world = worldOf(t);
      world.plan = () => ({ answer: limited(3_600) });
      const first = await world.process({ concurrency: 4 });
      const ids = world.append(
        chats(50).map((chat) => one(chat)),
        'none',
      );
      await first.take();
      await world.clock.advance(5_000);
      const called = world.calls.length;
      t.ok(called >= 3 && called <= 3 + 4, `${called} calls`);
      const until = first.reports.at(-1)?.waits?.bot ?? 0;
      t.ok(Math.abs(until - world.clock.wallNow() - 3_596_000) < 3_000);
      first.crash('pool');
      await world.clock.advance(60_000, 2);
      t.equal(first.reports.at(-1)?.waits?.bot, until, 'a crash of the pool changes nothing');
      first.kill();
      const second = await world.process({ concurrency: 4 });
      await second.take();
      await world.clock.advance(600_000, 2);
      t.equal(world.calls.length, called, 'nor does a takeover');
      t.equal(Math.round((second.reports.at(-1)?.waits?.bot ?? 0) - until), 0);
      world.plan = () => undefined;
      await world.finish(3_600_000, 2);
      t.same(new Set(world.states(ids)), new Set(['sent']));
      t.ok((world.calls[called]?.at ?? 0) >= until - (world.clock.wallNow() - world.clock.now()));
      t.equal(world.deadLetters.size, 0);
      world.check();
    },
  );

  await t.test('403 marks the person, and what waits ends without a call', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId) => (chatId === 1 ? { answer: blocked() } : undefined);
    const process = await world.process();
    const ids = world.append([one(1), one(2), one(1), one(1, { lane: 'bulk' })], 'none');
    await process.take();
    await world.finish(10_000);
    t.same(world.states(ids), ['blocked', 'sent', 'blocked', 'blocked']);
    t.equal(textsOf(world, 1).length, 1);
    t.ok(world.unreachable.has(1));
    const [later = ''] = world.append([one(1)]);
    await world.finish(5_000);
    t.equal(world.state(later), 'blocked');
    t.equal(textsOf(world, 1).length, 1, 'a known one is not called at all');
  });

  await t.test('403 of a person who came back meanwhile: the mark is not set and what waits is called', async (t) => {
    const world = worldOf(t);
    world.plan = (_chat, text) => (text === 'm1.0' ? { answer: blocked() } : undefined);
    world.cameBack.add(1);
    const process = await world.process();
    const ids = world.append([one(1), one(1)], 'none');
    await process.take();
    await world.finish(10_000);
    t.same(world.states(ids), ['blocked', 'sent']);
  });

  await t.test('a page whose marks were read before the mark was set does not call once more', async (t) => {
    const world = worldOf(t);
    world.plan = () => ({ answer: blocked() });
    const process = await world.process({ rates: UNLIMITED });
    await process.take();
    await world.clock.advance(1_200);
    world.append([one(1)]);
    await world.clock.advance(30);
    const release = world.hold(/^marks/, 'after', 1);
    const [late = ''] = world.append([one(1)]);
    await settle();
    t.equal(world.events.at(-1), 'marks', 'the marks of the second page are read, and tell nothing yet');
    await world.clock.advance(100);
    t.ok(world.unreachable.has(1));
    release();
    await world.finish(3_000);
    t.equal(world.state(late), 'blocked');
    t.equal(world.calls.length, 1);
  });

  await t.test('an ambiguous end: the chat rests 2 s, the item goes again first', async (t) => {
    const world = worldOf(t);
    world.plan = (_chat, text, nth) => (text === 'm1.0' && nth === 1 ? { answer: lost() } : undefined);
    const process = await world.process();
    const ids = world.append([one(1), one(1), one(2)], 'none');
    await process.take();
    await world.finish(20_000);
    t.same(textsOf(world, 1), ['m1.0', 'm1.0', 'm1.1']);
    const [first, second] = world.calls.filter((call) => call.chatId === 1);
    t.ok((second?.at ?? 0) - (first?.endedAt ?? 0) >= 2_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    world.check();
  });

  await t.test('dead after 3 attempts when others succeed, with a dead letter first', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId) => (chatId === 1 ? { answer: lost() } : undefined);
    const process = await world.process();
    const [poison = '', next = ''] = world.append([one(1), one(1, { text: 'later' })], 'none');
    await process.take();
    for (let i = 0; i < 60; i += 1) {
      world.append([one(100 + i)]);
      await world.clock.advance(1_000);
    }
    await world.finish(120_000);
    t.equal(world.state(poison), 'dead');
    t.equal(textsOf(world, 1).filter((text) => text === 'm1.0').length, 3);
    const letter = world.deadLetters.get(poison);
    t.match(letter, {
      attempts: 3,
      payload: { chatId: 1, text: 'm1.0', lane: 'notify', class: 'at-least-once', state: 'dead' },
    });
    t.ok(world.deadLetters.has(next) || world.state(next) === 'sent');
    const written = world.events.indexOf('commit letters');
    t.ok(written !== -1);
  });

  await t.test('a refused message is dead at once; the chat goes on', async (t) => {
    const world = worldOf(t);
    world.plan = (_chat, text) =>
      text === 'm1.0' ? { answer: refusal(400, "Bad Request: can't parse entities") } : undefined;
    const process = await world.process();
    const ids = world.append([one(1), one(1)], 'none');
    await process.take();
    await world.finish(10_000);
    t.same(world.states(ids), ['dead', 'sent']);
    t.match(world.deadLetters.get(ids[0] ?? ''), { reason: "Bad Request: can't parse entities" });
  });

  /** A process with a message to each of so many chats, at a Telegram that is down until `telegram.down` is false. */
  async function inOutage(test: Test, count: number) {
    const world = worldOf(test);
    const telegram = { down: true as boolean };
    world.plan = () => (telegram.down ? { answer: unsent(), afterMs: 5 } : undefined);
    world.getMe = () => (telegram.down ? unsent() : ok());
    const process = await world.process({ concurrency: 8 });
    const ids = world.append(
      chats(count).map((chat) => one(chat)),
      'none',
    );
    await process.take();
    return { world, telegram, process, ids };
  }

  await t.test('an outage of the bot: it pauses, probes, and goes on; nothing is dead', async (t) => {
    const { world, telegram, process, ids } = await inOutage(t, 50);
    await world.clock.advance(60_000);
    const tried = world.calls.length;
    t.ok(tried <= 16, `few calls meet a bot that is down: ${tried}`);
    t.ok(world.probes >= 4 && world.probes <= 8, `probes back off: ${world.probes}`);
    t.match(process.reports.at(-1), { outage: /\w/ });
    telegram.down = false;
    await world.finish(120_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    t.equal(world.deadLetters.size, 0);
    t.equal(process.reports.at(-1)?.outage, undefined);
    world.check();
  });

  await t.test('the pool crashes while a probe is under way: another is asked, and the bot goes on', async (t) => {
    const { world, telegram, process, ids } = await inOutage(t, 20);
    await world.clock.advance(10_000);
    const asked = world.probes;
    for (let waited = 0; world.probes === asked && waited < 60_000; waited += 5) await world.clock.advance(5);
    t.ok(world.probes > asked, 'a probe is under way');
    process.crash('pool');
    telegram.down = false;
    await world.finish(120_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    world.check();
  });

  await t.test('401 pauses the bot and is asked each minute', async (t) => {
    const world = worldOf(t);
    const token = { revoked: true as boolean };
    world.plan = () => (token.revoked ? { answer: refusal(401, 'Unauthorized') } : undefined);
    world.getMe = () => (token.revoked ? refusal(401, 'Unauthorized') : ok());
    const process = await world.process();
    const ids = world.append(
      chats(10).map((chat) => one(chat)),
      'none',
    );
    await process.take();
    await world.clock.advance(200_000);
    t.ok(world.probes >= 2 && world.probes <= 5, `${world.probes} probes`);
    token.revoked = false;
    await world.finish(200_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    t.equal(world.deadLetters.size, 0);
  });
});

t.test('at-most-once', async (t) => {
  await t.test('is written down before it is called, and leaves the lease when it is settled', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const begunAtCall: boolean[] = [];
    world.plan = (_chat, text) => {
      begunAtCall.push(world.lease.begun.includes(`7-1-${text.split('.')[1]}`));
      return undefined;
    };
    const ids = world.append(
      chats(10).map((chat) => one(chat, { class: 'at-most-once' })),
      'none',
    );
    await process.take();
    await world.finish(10_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    t.same(new Set(begunAtCall), new Set([true]));
    t.equal(process.line.begun.size, 0);
    t.equal(process.line.begunDurable.size, 0);
    world.check();
  });

  await t.test('an ambiguous end is unknown, shown to the operator, never repeated', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId) => (chatId === 1 ? { answer: lost() } : undefined);
    const process = await world.process();
    const ids = world.append([one(1, { class: 'at-most-once' }), one(1, { class: 'at-most-once' }), one(2)], 'none');
    await process.take();
    await world.finish(20_000);
    t.same(world.states(ids), ['unknown', 'unknown', 'sent']);
    t.equal(textsOf(world, 1).length, 2);
    t.match(world.deadLetters.get(ids[0] ?? ''), { payload: { state: 'unknown', text: 'm1.0' } });
    const [first, second] = world.calls.filter((call) => call.chatId === 1);
    t.ok((second?.at ?? 0) - (first?.endedAt ?? 0) >= 2_000, 'the chat rests');
  });

  await t.test('429 and certainly-not-sent are called again', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId, _text, nth) => (nth > 1 ? undefined : { answer: chatId === 1 ? limited(1) : unsent() });
    const process = await world.process();
    const ids = world.append([one(1, { class: 'at-most-once' }), one(2, { class: 'at-most-once' })], 'none');
    await process.take();
    await world.finish(20_000);
    t.same(world.states(ids), ['sent', 'sent']);
    t.equal(world.calls.length, 4);
  });

  await t.test('few slots, several lanes and classes: nobody waits for ever', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ concurrency: 2, rates: UNLIMITED });
    const drafts = (['bulk', 'notify', 'reply'] as const).flatMap((lane) =>
      chats(12).flatMap((chat) => [one(chat, { lane, class: 'at-most-once' }), one(chat + 100, { lane })]),
    );
    const ids = world.append(drafts, 'none');
    await process.take();
    await world.clock.advance(1_500);
    const more = world.append(drafts.map((draft) => ({ ...draft })));
    await world.finish(60_000);
    t.same(new Set(world.states([...ids, ...more])), new Set(['sent']));
    world.check({ perSecond: 0 });
  });

  await t.test('the lease cannot be written: not called before it can', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    world.away = /publishNow/;
    world.append([one(1, { class: 'at-most-once' })], 'none');
    await process.take();
    await world.clock.advance(10_000);
    t.equal(world.calls.length, 0);
    world.away = undefined;
    await world.finish(5_000);
    t.equal(world.calls.length, 1);
  });
});

t.test('crashes of actors with calls in the air', async (t) => {
  for (const klass of ['at-least-once', 'at-most-once'] as const) {
    for (const who of ['pool', 'shards', 'both'] as const) {
      await t.test(`${klass}, ${who}`, async (t) => {
        const world = worldOf(t);
        world.plan = (chatId) => ({ afterMs: 20 + ((chatId * 37) % 400) });
        const process = await world.process({ concurrency: 16 });
        const ids: string[] = [];
        const add = () =>
          ids.push(
            ...world.append(
              chats(40).flatMap((chat) => [
                one(chat, { class: klass }),
                one(chat, { class: klass, lane: chat % 3 === 0 ? 'reply' : 'bulk' }),
              ]),
            ),
          );
        add();
        await process.take();
        for (let round = 0; round < 9; round += 1) {
          await world.clock.advance(1_100 + round * 137);
          if (who !== 'shards') process.crash('pool');
          if (who !== 'pool') for (const shard of [0, 1, 2, 3]) if ((round + shard) % 2 === 0) process.crash(shard);
          if (round === 4) add();
        }
        await world.finish(200_000);
        t.same(new Set(world.states(ids)), new Set(['sent']));
        t.equal(world.calls.length, ids.length, 'nothing was called twice');
        t.equal(process.line.registry.size, 0, 'no slot leaks');
        t.equal(process.line.pacing.inFlight, 0);
        t.equal(process.line.begun.size, 0);
        world.check();
      });
    }
  }

  await t.test('a shard falls while a commit is under way, whose end comes before or after', async (t) => {
    for (const release of ['before', 'after', 'fails'] as const) {
      const world = worldOf(t);
      const process = await world.process({ rates: UNLIMITED });
      await process.take();
      await world.clock.advance(1_200);
      const go = world.hold(/commit results/);
      const ids = world.append(chats(8).flatMap((chat) => [one(chat), one(chat)]));
      await world.clock.advance(60);
      if (release === 'before') go();
      if (release === 'fails') world.away = /commit/;
      process.crash(1);
      await world.clock.advance(400);
      if (release !== 'before') go();
      await world.clock.advance(400);
      world.away = undefined;
      await world.finish(20_000);
      t.same(new Set(world.states(ids)), new Set(['sent']), release);
      t.equal(world.calls.length, ids.length);
      t.equal(process.line.pacing.inFlight, 0);
      world.check({ perSecond: 0 });
    }
  });

  await t.test(
    'a message that is given up keeps its chat until its result is durable, not its dead letter alone',
    async (t) => {
      const world = worldOf(t);
      world.plan = (_chat, text) => (text.endsWith('.0') ? { answer: refusal(400, 'Bad Request: odd') } : undefined);
      const process = await world.process({ rates: UNLIMITED });
      await process.take();
      await world.clock.advance(1_200);
      const go = world.hold(/commit results/);
      world.append([one(1), one(1)]);
      await world.clock.advance(3_000);
      t.same([world.calls.length, world.deadLetters.size], [1, 1]);
      go();
      await world.finish(5_000);
      t.equal(world.calls.length, 2);
      world.check({ perSecond: 0 });
    },
  );

  await t.test('a 429 is not forgotten by a crash', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId, _text, nth) => (chatId === 1 && nth === 1 ? { answer: limited(30) } : undefined);
    const process = await world.process();
    world.append([one(1), one(1)], 'none');
    await process.take();
    const go = world.hold(/commit/);
    await world.clock.advance(1_500);
    process.crash(0);
    process.crash(1);
    process.crash(2);
    process.crash(3);
    await world.clock.advance(1_000);
    go();
    await world.finish(60_000);
    const [first, second] = world.calls;
    t.ok((second?.at ?? 0) - (first?.endedAt ?? 0) >= 30_000);
  });
});

t.test('owning', async (t) => {
  await t.test('a lost lease drops everything, and a new grant reads it again', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    world.append(
      chats(60).map((chat) => one(chat)),
      'none',
    );
    await process.take();
    await world.clock.advance(1_500);
    const go = world.hold(/commit/);
    process.lose();
    await world.clock.advance(3_000);
    const called = world.calls.length;
    t.ok(called > 0 && called < 60);
    t.equal(process.destroyed(), 1, 'the connections are cut');
    t.equal(process.line.registry.size, 0);
    t.equal(process.line.pacing.inFlight, 0);
    t.equal(process.reports.at(-1)?.sending, 'starting');
    go();
    await world.clock.advance(3_000);
    t.equal(world.calls.length, called, 'no call without the lease');
    await process.take();
    await world.finish(30_000);
    world.check({ repeats: 64 });
  });

  await t.test('results of a later epoch fence the owner', async (t) => {
    const world = worldOf(t);
    const older = await world.process({ rates: UNLIMITED });
    const newer = await world.process({ rates: UNLIMITED });
    const go = world.hold(/commit/);
    const ids = world.append(
      chats(5).map((chat) => one(chat)),
      'none',
    );
    await older.take();
    await world.clock.advance(1_300);
    t.equal(world.calls.length, 5);
    // Suspended, taken over without a word, and going on.
    await newer.take(false);
    older.mayCall = false;
    await world.clock.advance(1_300);
    go();
    await world.finish(10_000);
    await world.clock.advance(2_000);
    t.same(new Set(world.states(ids)), new Set(['sent']));
    t.ok(world.calls.length <= 10);
    const [more = ''] = world.append([one(9)], 'wake');
    await world.finish(5_000);
    t.equal(world.state(more), 'sent');
  });

  await t.test('takeover after a kill: the begun become unknown, the open go on, dead letters settle', async (t) => {
    const world = worldOf(t);
    const first = await world.process();
    world.plan = () => ({ afterMs: 5_000 });
    const ids = world.append(
      [
        ...chats(4).map((chat) => one(chat, { class: 'at-most-once' })),
        ...chats(4, 11).map((chat) => one(chat)),
        one(1),
        one(99),
      ],
      'none',
    );
    await first.take();
    await world.clock.advance(2_000);
    t.equal(world.lease.begun.length, 4);
    first.kill();
    const letter = {
      source: ids[9] ?? '',
      reason: 'given up before',
      attempts: 3,
      payload: { chatId: 99, text: 'm1.9', lane: 'notify', class: 'at-least-once', state: 'dead' },
    } as const;
    world.deadLetters.set(letter.source, letter);
    const callsBefore = textsOf(world, 99).length;
    world.plan = () => undefined;
    const second = await world.process();
    await second.take();
    const takenAt = world.clock.now();
    await world.finish(30_000);
    t.same(world.states(ids.slice(0, 4)), ['unknown', 'unknown', 'unknown', 'unknown']);
    t.same(new Set(world.states(ids.slice(4, 9))), new Set(['sent']));
    t.equal(world.state(ids[9] ?? ''), 'dead', 'an open item with a dead letter is settled by it');
    t.equal(textsOf(world, 99).length, callsBefore, 'and never called');
    for (const index of [0, 1, 2, 3]) {
      t.equal(textsOf(world).filter((text) => text === `m1.${index}`).length, 1);
      t.match(world.deadLetters.get(ids[index] ?? ''), { payload: { state: 'unknown', text: `m1.${index}` } });
    }
    const later = world.calls.filter((call) => call.by === second);
    t.ok(later.every((call) => call.at >= takenAt + 1_050));
    const after = later.find((call) => call.chatId === 1);
    t.ok((after?.at ?? 0) >= takenAt + 5_000, 'the chat of a begun call rests 5 s');
    t.same(
      world.lease.begun.filter((id) => ids.slice(0, 4).includes(id) && world.state(id) === 'queued'),
      [],
    );
    await world.clock.advance(1_000);
    t.equal(second.line.begun.size, 0);
    world.check({ repeats: 4 });
  });

  await t.test('begun calls that were settled before the takeover do not hold up others', async (t) => {
    const world = worldOf(t);
    const first = await world.process({ concurrency: 2 });
    const done = world.append([one(1, { class: 'at-most-once' }), one(2, { class: 'at-most-once' })], 'none');
    await first.take();
    await world.finish(5_000);
    await first.drain(1_000);
    first.kill();
    world.lease.begun = done;
    const next = world.append([one(3, { class: 'at-most-once' }), one(4, { class: 'at-most-once' })], 'none');
    const second = await world.process({ concurrency: 2 });
    await second.take();
    await world.finish(5_000);
    t.same(world.states([...done, ...next]), ['sent', 'sent', 'sent', 'sent']);
    t.equal(world.calls.length, 4);
  });

  await t.test('kill -9 again and again', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId) => ({ afterMs: 10 + ((chatId * 53) % 300) });
    const ids = world.append(
      chats(120).flatMap((chat) => [one(chat), one(chat + 1_000, { class: 'at-most-once' })]),
      'none',
    );
    let kills = 0;
    for (; kills < 4; kills += 1) {
      const process = await world.process({ concurrency: 8 });
      await process.take();
      await world.clock.advance(2_300 + kills * 217);
      process.kill();
    }
    const last = await world.process({ concurrency: 8 });
    await last.take();
    await world.finish(60_000);
    const states = world.states(ids);
    t.ok(states.every((state) => state === 'sent' || state === 'unknown'));
    t.ok(states.filter((state) => state === 'unknown').length <= kills * 8);
    for (const [index, state] of states.entries())
      if (index % 2 === 0 && state !== 'sent') t.fail(`${index} is ${state}`);
    const once = world.calls.filter((call) => call.chatId > 1_000).map((call) => call.text);
    t.equal(new Set(once).size, once.length, 'at-most-once is never called twice');
    world.check({ repeats: kills * 8 });
  });

  await t.test('drain answers when all is written; what was not begun stays', async (t) => {
    const world = worldOf(t);
    world.plan = () => ({ afterMs: 300 });
    const process = await world.process({ concurrency: 8 });
    const ids = world.append(
      chats(50).map((chat) => one(chat, chat % 2 === 0 ? { class: 'at-most-once' } : {})),
      'none',
    );
    await process.take();
    await world.clock.advance(1_300);
    const before = world.calls.length;
    let drained = false;
    const draining = process.drain(20_000).then(() => {
      drained = true;
    });
    await settle();
    t.notOk(drained, 'calls are in the air');
    await world.clock.advance(600);
    t.ok(drained);
    await draining;
    t.equal(world.calls.length, before, 'nothing was begun any more');
    t.same(world.states(ids).filter((state) => state === 'sent').length, before);
    t.equal(process.line.registry.size, 0);
    await process.system.stop();
    t.equal(world.lease.released, 1);
    t.same(world.lease.begun, [], 'what was begun and not called is not left as begun');
    const next = await world.process();
    await next.take();
    await world.finish(20_000);
    t.equal(world.calls.length, 50);
    world.check();
  });

  await t.test('a drain before begun calls of the owner before are settled leaves them begun', async (t) => {
    const world = worldOf(t);
    const [id = ''] = world.append([one(1, { class: 'at-most-once' })], 'none');
    world.lease.begun = [id];
    const release = world.hold(/^openPages/);
    const first = await world.process();
    await first.take();
    await world.clock.advance(100);
    await first.drain(1_000);
    await first.system.stop();
    t.same(world.lease.begun, [id]);
    first.kill();
    release();
    const second = await world.process();
    await second.take();
    await world.finish(10_000);
    t.equal(world.state(id), 'unknown');
    t.equal(world.calls.length, 0, 'it may have been called: nobody calls it again');
  });

  await t.test('a drain that takes too long ends at its time', async (t) => {
    const world = worldOf(t);
    world.plan = () => ({ afterMs: 60_000 });
    const process = await world.process();
    world.append([one(1)], 'none');
    await process.take();
    await world.clock.advance(1_500);
    let drained = false;
    const draining = process.drain(2_000).then(() => {
      drained = true;
    });
    await world.clock.advance(1_900);
    t.notOk(drained);
    await world.clock.advance(200);
    t.ok(drained);
    await draining;
  });
});

t.test('lanes', async (t) => {
  await t.test('replies without end: notify and bulk each get their share', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    world.append(
      chats(400, 10_000).map((chat) => one(chat, { lane: 'notify' })),
      'none',
    );
    const n = world.broadcast(chats(400, 20_000));
    world.append(
      chats(2_500).map((chat) => one(chat, { lane: 'reply' })),
      'none',
    );
    await process.take();
    await world.clock.advance(61_000);
    const count = (from: number, to: number) =>
      world.calls.filter(({ chatId }) => chatId >= from && chatId < to).length;
    const [reply, notify, bulk] = [count(1, 10_000), count(10_000, 20_000), count(20_000, 30_000)];
    const all = world.calls.length;
    t.ok(all > 1_700, `${all} calls: the rate is used`);
    t.ok(notify >= all * 0.07, `${notify} of lane notify`);
    t.ok(bulk >= all * 0.07, `${bulk} of broadcast ${n}`);
    t.ok(reply >= all * 0.78, `${reply} replies`);
    world.check();
  });

  await t.test('the shares hold without limits too, where slots are what is short', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ rates: UNLIMITED, concurrency: 8 });
    world.append(
      chats(300, 10_000).map((chat) => one(chat, { lane: 'notify' })),
      'none',
    );
    world.append(
      chats(300, 20_000).map((chat) => one(chat, { lane: 'bulk' })),
      'none',
    );
    world.append(
      chats(4_000).map((chat) => one(chat, { lane: 'reply' })),
      'none',
    );
    await process.take();
    while (world.calls.length < 1_000) await world.clock.advance(100);
    const count = (from: number, to: number) =>
      world.calls.filter(({ chatId }) => chatId >= from && chatId < to).length;
    t.ok(count(10_000, 20_000) >= 70, `${count(10_000, 20_000)} of lane notify`);
    t.ok(count(20_000, 30_000) >= 70, `${count(20_000, 30_000)} of lane bulk`);
  });

  await t.test('a broadcast delays no reply beyond the pace, and replies pass bulk in their chat', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    world.broadcast(chats(3_000, 20_000));
    await process.take();
    await world.clock.advance(3_000);
    const waits: number[] = [];
    for (let i = 0; i < 60; i += 1) {
      const from = world.clock.now();
      world.append([one(1 + i, { lane: 'reply', text: `r${i}` })]);
      await world.clock.advance(1_013);
      waits.push((world.calls.find((call) => call.text === `r${i}`)?.at ?? Number.POSITIVE_INFINITY) - from);
    }
    t.ok(Math.max(...waits) <= 150, `at most ${Math.max(...waits)} ms`);
    world.append([...Array.from({ length: 5 }, (_, i) => one(900, { lane: 'bulk', text: `bulk${i}` }))]);
    await world.clock.advance(1_500);
    world.append([one(900, { lane: 'reply', text: 'reply' }), one(900, { lane: 'notify', text: 'notify' })]);
    await world.finish(200_000);
    const order = textsOf(world, 900);
    t.ok(
      order.indexOf('reply') < order.indexOf('notify') && order.indexOf('notify') < order.indexOf('bulk4'),
      order.join(),
    );
    t.same(
      order.filter((text) => text.startsWith('bulk')),
      ['bulk0', 'bulk1', 'bulk2', 'bulk3', 'bulk4'],
    );
    world.check();
  });
});

t.test('broadcasts', async (t) => {
  await t.test('page by page, unreachable people counted as blocked without a call, exact sums', async (t) => {
    const world = worldOf(t);
    for (const chat of [3, 25, 44]) world.unreachable.add(chat);
    world.plan = (chatId) =>
      chatId % 10 === 7
        ? { answer: blocked() }
        : chatId === 11
          ? { answer: refusal(400, 'Bad Request: text is too odd') }
          : undefined;
    const process = await world.process();
    const n = world.broadcast(chats(50));
    await process.take();
    await world.finish(30_000);
    await world.clock.advance(3_000);
    t.match(world.broadcasts.get(n), {
      state: 'done',
      k: 3,
      total: 50,
      sum: { sent: 41, blocked: 8, dead: 1, unknown: 0, cancelled: 0, skipped: 0 },
    });
    t.same(world.tally(n), { sent: 41, blocked: 8, dead: 1 });
    t.equal(world.calls.length, 47);
    t.ok(world.isClosed(n));
    const page = world.events.indexOf(`addPage ${n}/0`);
    t.ok(
      page !== -1 && page < world.events.findIndex((event) => event.startsWith('call')),
      'the page is durable before its first call',
    );
    world.check();
  });

  await t.test('an audience that ends on the border of a page, and one of nobody', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const whole = world.broadcast(chats(AUDIENCE_PAGE));
    const nobody = world.broadcast([]);
    await process.take();
    await world.finish(10_000);
    t.match(world.broadcasts.get(whole), { state: 'done', total: AUDIENCE_PAGE, sum: { sent: AUDIENCE_PAGE } });
    t.match(world.broadcasts.get(nobody), { state: 'done', total: 0, k: 1 });
  });

  await t.test('one after another: the next begins when the one before leaves nothing that could go', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId, text, nth) =>
      chatId === 5 && text.startsWith('b1') && nth === 1 ? { answer: limited(20) } : undefined;
    const process = await world.process();
    const first = world.broadcast(chats(40));
    const second = world.broadcast(chats(40));
    await process.take();
    await world.finish(60_000);
    const texts = textsOf(world);
    const begins = texts.findIndex((text) => text.startsWith(`b${second}@`));
    t.equal(
      texts.slice(0, begins).filter((text) => text.startsWith(`b${first}@`)).length,
      40,
      'all of the first were called before',
    );
    t.ok(begins < texts.lastIndexOf(`b${first}@5`), 'but one chat that waits for itself holds up nobody');
    t.same(textsOf(world, 5), [`b${first}@5`, `b${first}@5`, `b${second}@5`], 'in that chat too the order is kept');
    t.match(world.broadcasts.get(first), { state: 'done', sum: { sent: 40 } });
    t.match(world.broadcasts.get(second), { state: 'done', sum: { sent: 40 } });
    world.check();
  });

  await t.test('messages by chat id go between', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    world.broadcast(chats(120));
    await process.take();
    await world.clock.advance(2_000);
    const [id = ''] = world.append([one(500, { lane: 'reply' })]);
    await world.clock.advance(200);
    t.equal(world.state(id), 'sent', 'a reply does not wait for a broadcast');
    await world.finish(20_000);
    world.check();
  });

  for (const klass of ['at-least-once', 'at-most-once'] as const) {
    await t.test(`${klass}: killed and resumed from its rows, exact sums`, async (t) => {
      const world = worldOf(t);
      world.plan = (chatId) => (chatId % 13 === 0 ? { answer: blocked() } : { afterMs: 10 + ((chatId * 31) % 200) });
      const n = world.broadcast(chats(150), { class: klass });
      const two = world.broadcast(chats(30), { class: klass });
      let kills = 0;
      for (; kills < 4; kills += 1) {
        const process = await world.process({ concurrency: 6 });
        await process.take();
        await world.clock.advance(2_100 + kills * 313);
        process.kill();
      }
      const last = await world.process({ concurrency: 6 });
      await last.take();
      await world.finish(60_000);
      const row = world.broadcasts.get(n);
      t.match(row, { state: 'done', total: 150 });
      t.same(
        { ...row?.sum },
        { sent: 0, blocked: 0, dead: 0, unknown: 0, cancelled: 0, skipped: 0, ...world.tally(n) },
      );
      t.equal(
        Object.values(row?.sum ?? {}).reduce((a, b) => a + b, 0),
        150,
      );
      t.equal((row?.sum.sent ?? 0) + (row?.sum.blocked ?? 0) + (row?.sum.unknown ?? 0), 150);
      if (klass === 'at-least-once') t.equal(row?.sum.unknown, 0);
      t.match(world.broadcasts.get(two), { state: 'done', total: 30 });
      const texts = textsOf(world);
      if (klass === 'at-most-once') t.equal(new Set(texts).size, texts.length, 'none is called twice');
      world.check({ repeats: klass === 'at-most-once' ? 0 : kills * 6 });
    });
  }

  await t.test('crashes of actors: exact sums, nothing twice', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId) => ({ afterMs: 20 + ((chatId * 31) % 300) });
    const process = await world.process({ concurrency: 12 });
    const first = world.broadcast(chats(110));
    const second = world.broadcast(chats(110));
    await process.take();
    for (let round = 0; round < 8; round += 1) {
      await world.clock.advance(1_300 + round * 111);
      process.crash(round % 3 === 0 ? 'pool' : round % 4);
    }
    await world.finish(60_000);
    for (const n of [first, second])
      t.match(world.broadcasts.get(n), { state: 'done', total: 110, sum: { sent: 110 } });
    t.equal(world.calls.length, 220);
    t.equal(process.line.pacing.inFlight, 0);
    world.check();
  });

  await t.test('people who were unreachable when the page was made are not called after a kill', async (t) => {
    const world = worldOf(t);
    for (const chat of chats(20)) world.unreachable.add(chat);
    const n = world.broadcast(chats(25));
    const first = await world.process();
    await first.take();
    const held = world.hold(/commit/);
    await world.clock.advance(900);
    t.ok(world.events.includes(`addPage ${n}/0`));
    first.kill();
    held();
    const second = await world.process();
    await second.take();
    await world.finish(20_000);
    t.equal(world.calls.length, 5);
    t.match(world.broadcasts.get(n), { state: 'done', sum: { sent: 5, blocked: 20 } });
  });

  await t.test(
    'answers of the store that are lost: pages are adopted, moves go on from where the row is',
    async (t) => {
      const world = worldOf(t);
      for (const chat of [2, 22]) world.unreachable.add(chat);
      const process = await world.process();
      const n = world.broadcast(chats(90));
      await process.take();
      world.lose = /addPage/;
      await world.clock.advance(1_500);
      world.lose = /move/;
      await world.clock.advance(1_600);
      world.lose = undefined;
      await world.clock.advance(1_500);
      world.lose = /move|addPage|commit/;
      await world.clock.advance(900);
      world.lose = undefined;
      await world.finish(60_000);
      await world.clock.advance(5_000);
      t.match(world.broadcasts.get(n), { state: 'done', total: 90, sum: { sent: 88, blocked: 2 } });
      t.equal(world.calls.length, 88, 'nobody twice, the unreachable not at all');
      world.check();
    },
  );

  await t.test('a page of the owner before that comes while a broadcast is read at a takeover', async (t) => {
    const world = worldOf(t);
    const addPage = world.hold(/^addPage/, 'before', 1);
    const first = await world.process();
    await first.take();
    const n = world.broadcast(chats(10));
    await world.clock.advance(3_000);
    const lastPart = world.hold(/^lastPart/, 'before', 1);
    const second = await world.process();
    await second.take();
    await world.clock.advance(500);
    addPage();
    await world.clock.advance(100);
    lastPart();
    await world.finish(10_000);
    t.match(world.broadcasts.get(n), { state: 'done', total: 10, sum: { sent: 10 } });
    world.check();
  });

  await t.test('the store is away while a broadcast is read at a takeover', async (t) => {
    const world = worldOf(t);
    const first = await world.process();
    const n = world.broadcast(chats(40));
    const after = world.broadcast(chats(10));
    await first.take();
    await world.clock.advance(1_500);
    first.kill();
    world.away = new RegExp(`openParts ${n}`);
    const second = await world.process();
    await second.take();
    await world.clock.advance(6_000);
    t.notOk(
      textsOf(world).some((text) => text.startsWith(`b${after}@`)),
      'the next does not overtake',
    );
    world.away = undefined;
    await world.finish(30_000);
    t.match(world.broadcasts.get(n), { state: 'done', total: 40, sum: { sent: 40 } });
    t.match(world.broadcasts.get(after), { state: 'done', sum: { sent: 10 } });
    world.check({ repeats: 64 });
  });
});

t.test('broadcasts that are paused, resumed and cancelled', async (t) => {
  const empty = { sent: 0, blocked: 0, dead: 0, unknown: 0, cancelled: 0, skipped: 0 };

  await t.test('paused: the next runs; resumed: it takes its place again before the next', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const first = world.broadcast(chats(90));
    const second = world.broadcast(chats(90, 1_000));
    await process.take();
    await world.clock.advance(2_000);
    world.move(first, 'paused');
    await world.clock.advance(300);
    const called = textsOf(world).filter((text) => text.startsWith(`b${first}@`)).length;
    t.ok(called > 5 && called < 60, `${called} of the first were called before the pause`);
    await world.clock.advance(1_500);
    const texts = textsOf(world);
    t.equal(
      texts.filter((text) => text.startsWith(`b${first}@`)).length,
      called,
      'none of a paused broadcast is called',
    );
    t.ok(
      texts.some((text) => text.startsWith(`b${second}@`)),
      'the next runs meanwhile',
    );
    t.match(world.broadcasts.get(first), { state: 'paused' });
    world.move(first, 'running');
    await world.clock.advance(300);
    const from = world.calls.length;
    await world.finish(60_000);
    const after = textsOf(world).slice(from);
    const lastOfFirst = after.findLastIndex((text) => text.startsWith(`b${first}@`));
    t.equal(
      lastOfFirst,
      90 -
        textsOf(world)
          .slice(0, from)
          .filter((text) => text.startsWith(`b${first}@`)).length -
        1,
      'the resumed one goes alone to its end',
    );
    for (const n of [first, second])
      t.match(world.broadcasts.get(n), { state: 'done', total: 90, sum: { ...empty, sent: 90 } });
    t.equal(world.calls.length, 180, 'nobody twice');
    t.equal(process.line.pacing.inFlight, 0);
    world.check();
  });

  await t.test('resumed while a later one makes its first page: the order holds behind it', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const [paused, second, third] = [world.broadcast([1]), world.broadcast([1, 2]), world.broadcast([1, 3])];
    world.move(paused, 'paused', 'none');
    // The chat is busy for some seconds: the second broadcast gives way, and the third begins.
    world.append(
      Array.from({ length: 8 }, (_, index) => ({ chatId: 1, text: `w${index}` })),
      'none',
    );
    const release = world.hold(new RegExp(`^addPage ${third}/`), 'before', 1);
    await process.take();
    await world.clock.advance(4_000);
    t.ok(textsOf(world).includes(`b${second}@2`), 'the second is under way');
    const releaseFlags = world.hold(/^flags/);
    world.move(paused, 'running');
    await world.clock.advance(400);
    release();
    await world.clock.advance(50);
    releaseFlags();
    await world.finish(60_000);
    const met = textsOf(world, 1).filter((text) => text.startsWith('b'));
    t.same(
      met,
      [paused, second, third].map((n) => `b${n}@1`),
    );
  });

  await t.test('one that was fenced and has not heard of it ends no broadcast', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const n = world.broadcast(chats(90));
    await process.take();
    await world.clock.advance(2_000);
    world.lease.owner = undefined;
    world.move(n, 'cancelled');
    await world.clock.advance(5_000);
    t.ok(world.events.includes('wishes'), 'it has read the move');
    t.match(world.broadcasts.get(n), { state: 'cancelled', sum: { cancelled: 0 } });
    t.notOk(world.broadcasts.get(n)?.finishedAt);
  });

  await t.test('without a wake a move is found within a second', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const n = world.broadcast(chats(120));
    await process.take();
    await world.clock.advance(2_000);
    world.move(n, 'paused', 'none');
    await world.clock.advance(1_200);
    const called = world.calls.length;
    await world.clock.advance(5_000);
    t.equal(world.calls.length, called);
  });

  await t.test('flags of people are read again after a pause', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const n = world.broadcast(chats(60));
    await process.take();
    await world.clock.advance(1_500);
    world.move(n, 'paused');
    await world.clock.advance(500);
    const open = chats(60).filter((chat) => !textsOf(world).includes(`b${n}@${chat}`));
    const [left = 0, gone = 0] = open;
    world.stopped.add(left);
    world.unreachable.add(gone);
    world.move(n, 'running');
    await world.finish(20_000);
    t.match(world.broadcasts.get(n), { state: 'done', total: 60, sum: { ...empty, sent: 58, skipped: 1, blocked: 1 } });
    t.same(textsOf(world, left).concat(textsOf(world, gone)), []);
  });

  await t.test(
    'cancelled: what is in the air ends, the rest of made pages is cancelled, the others are skipped',
    async (t) => {
      const world = worldOf(t);
      world.plan = () => ({ afterMs: 400 });
      const process = await world.process();
      const n = world.broadcast(chats(700));
      const next = world.broadcast(chats(10, 1_000));
      await process.take();
      await world.clock.advance(1_500);
      const inAir = world.calls.filter((call) => call.endedAt === undefined).length;
      t.ok(inAir > 3, `${inAir} in the air`);
      world.move(n, 'cancelled');
      await world.clock.advance(20);
      const called = textsOf(world).filter((text) => text.startsWith(`b${n}@`)).length;
      t.notOk(world.broadcasts.get(n)?.finishedAt, 'not over while calls are in the air');
      await world.finish(20_000);
      t.equal(textsOf(world).filter((text) => text.startsWith(`b${n}@`)).length, called, 'no call after the cancel');
      const row = world.broadcasts.get(n);
      t.match(row, { state: 'cancelled', total: 700, ratePerSecond: 0 });
      t.ok(row?.finishedAt);
      t.equal(row?.sum.sent, called);
      t.equal((row?.sum.cancelled ?? 0) + called, AUDIENCE_PAGE * (row?.k ?? 0), 'all of the pages that were made');
      t.equal(row?.sum.skipped, 700 - AUDIENCE_PAGE * (row?.k ?? 0), 'whom no page had reached');
      t.same(world.tally(n), { sent: called, cancelled: row?.sum.cancelled });
      t.ok(world.isClosed(n));
      t.match(world.broadcasts.get(next), { state: 'done', sum: { sent: 10 } });
      world.check();
    },
  );

  await t.test('cancelled before its turn, and while it is paused', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const first = world.broadcast(chats(60));
    const second = world.broadcast(chats(30));
    const third = world.broadcast(chats(30, 500));
    await process.take();
    await world.clock.advance(1_500);
    world.move(second, 'cancelled');
    world.move(first, 'paused');
    world.move(third, 'paused');
    await world.clock.advance(3_000);
    t.match(world.broadcasts.get(second), { state: 'cancelled', total: 30, sum: { ...empty, skipped: 30 } });
    t.ok(world.isClosed(second));
    const called = world.calls.length;
    world.move(first, 'cancelled');
    await world.clock.advance(3_000);
    t.ok(world.isClosed(first));
    t.equal(world.calls.length, called);
    t.match(world.broadcasts.get(first), { state: 'cancelled', total: 60, sum: { sent: called } });
    world.move(third, 'running');
    await world.finish(10_000);
    t.match(world.broadcasts.get(third), { state: 'done', total: 30, sum: { ...empty, sent: 30 } });
    t.ok(world.broadcasts.get(third)?.startedAt, 'one that was paused before its turn starts then');
  });

  await t.test('a call that must be made again waits for the end of the pause, or is cancelled', async (t) => {
    for (const to of ['paused', 'cancelled'] as const) {
      const world = worldOf(t);
      world.plan = (chatId, _text, nth) =>
        nth > 1 ? undefined : { afterMs: 300, answer: chatId % 2 === 0 ? limited(1) : lost() };
      const process = await world.process();
      const n = world.broadcast(chats(6));
      await process.take();
      await world.clock.advance(1_250);
      const called = world.calls.length;
      t.ok(called > 2 && world.calls.every((call) => call.endedAt === undefined));
      world.move(n, to);
      await world.clock.advance(10_000);
      t.equal(world.calls.length, called, `none is called again while it is ${to}`);
      t.equal(process.line.pacing.inFlight, 0);
      if (to === 'paused') world.move(n, 'running');
      await world.finish(20_000);
      const sum = to === 'paused' ? { ...empty, sent: 6 } : { ...empty, cancelled: 6 };
      t.match(world.broadcasts.get(n), { state: to === 'paused' ? 'done' : 'cancelled', total: 6, sum });
      world.check({ repeats: 6 });
    }
  });

  await t.test('at-most-once that is begun and not called is given up, and leaves the lease', async (t) => {
    const world = worldOf(t);
    const process = await world.process({ rates: { perSecond: 1 } });
    const n = world.broadcast(chats(15), { class: 'at-most-once' });
    await process.take();
    await world.clock.advance(3_000);
    t.ok(process.line.begun.size > 0);
    world.move(n, 'paused');
    await world.clock.advance(2_000);
    t.equal(process.line.begun.size, 0);
    t.ok(world.lease.begun.length <= 1, 'one was in the air: it leaves with the next beat');
    world.move(n, 'running');
    await world.finish(60_000);
    t.match(world.broadcasts.get(n), { state: 'done', sum: { ...empty, sent: 15 } });
    t.equal(world.calls.length, 15);
  });

  for (const to of ['paused', 'cancelled'] as const) {
    await t.test(`${to}: taken over at any moment, nothing is lost or doubled and the counts are exact`, async (t) => {
      for (const killAfter of [0, 3, 8, 30, 700, 2_500]) {
        const world = worldOf(t);
        world.plan = (chatId) => ({ afterMs: 10 + ((chatId * 31) % 200) });
        const first = await world.process({ concurrency: 6 });
        const n = world.broadcast(chats(70));
        await first.take();
        await world.clock.advance(2_000);
        world.move(n, to);
        await world.clock.advance(killAfter);
        first.kill();
        const second = await world.process({ concurrency: 6 });
        await second.take();
        await world.clock.advance(3_000);
        const called = world.calls.filter((call) => call.by === second).length;
        t.equal(called, 0, `${killAfter} ms: nothing is called while it is ${to}`);
        if (to === 'paused') world.move(n, 'running');
        await world.finish(60_000);
        const row = world.broadcasts.get(n);
        t.match(row, { state: to === 'paused' ? 'done' : 'cancelled', total: 70 });
        t.equal(
          Object.values(row?.sum ?? {}).reduce((a, b) => a + b, 0),
          70,
        );
        t.same({ ...row?.sum, skipped: 0 }, { ...empty, ...world.tally(n) });
        if (to === 'paused') t.equal(row?.sum.sent, 70);
        world.check({ repeats: 6 });
      }
    });
  }

  await t.test(
    'lost answers of the store: a page that was hidden is cancelled too, the counts are written once',
    async (t) => {
      const world = worldOf(t);
      const process = await world.process();
      const n = world.broadcast(chats(90));
      await process.take();
      world.lose = /addPage/;
      await world.clock.advance(1_200);
      world.move(n, 'cancelled');
      await world.clock.advance(100);
      world.lose = /move|commit|count|lastPart/;
      await world.clock.advance(3_000);
      world.lose = undefined;
      await world.finish(30_000);
      const row = world.broadcasts.get(n);
      t.match(row, { state: 'cancelled', total: 90 });
      t.equal(
        Object.values(row?.sum ?? {}).reduce((a, b) => a + b, 0),
        90,
      );
      t.same({ ...row?.sum, skipped: 0 }, { ...empty, ...world.tally(n) });
      world.check();
    },
  );

  await t.test('a long text of which a part is sent goes on to its last part, over a kill too', async (t) => {
    for (const to of ['paused', 'cancelled'] as const) {
      const world = worldOf(t);
      const long = [1, 2, 3].map((part) => `${part} ${'x'.repeat(2_500)}`).join('\n\n');
      const first = await world.process({ rates: { perSecond: 4 } });
      const n = world.broadcast(chats(12), { text: long });
      await first.take();
      await world.clock.advance(2_700);
      world.move(n, to);
      await world.clock.advance(200);
      first.kill();
      const second = await world.process({ rates: { perSecond: 4 } });
      await second.take();
      await world.clock.advance(15_000);
      const callsOf = (chat: number) => world.calls.filter((call) => call.chatId === chat).length;
      const begun = chats(12).filter((chat) => callsOf(chat) > 0);
      t.ok(begun.length > 0 && begun.length < 12, `${begun.length} were begun`);
      if (to === 'paused') world.move(n, 'running');
      await world.finish(60_000);
      const row = world.broadcasts.get(n);
      t.match(row, { state: to === 'paused' ? 'done' : 'cancelled', total: 12 });
      const sum = to === 'paused' ? { ...empty, sent: 12 } : { ...empty, ...world.tally(n) };
      t.match(row?.sum, sum);
      t.equal(
        Object.values(row?.sum ?? {}).reduce((a, b) => a + b, 0),
        12,
      );
      for (const chat of chats(12)) {
        const isSent = to === 'paused' || world.state(`7-${n}-0-${chat - 1}`) === 'sent';
        if (isSent) t.ok(callsOf(chat) >= 3, `chat ${chat} got all parts`);
      }
      world.check({ repeats: 64, perSecond: 4 });
    }
  });

  await t.test('a cancel that meets the last move: either it is done, or it is cancelled', async (t) => {
    const world = worldOf(t);
    const process = await world.process();
    const n = world.broadcast(chats(5));
    await process.take();
    const release = world.hold(/^move/);
    await world.clock.advance(3_000);
    world.move(n, 'cancelled');
    release();
    await world.finish(5_000);
    t.match(world.broadcasts.get(n), { state: 'cancelled', total: 5, sum: { ...empty, sent: 5 } });
  });

  await t.test('crashes of actors while it is moved', async (t) => {
    const world = worldOf(t);
    world.plan = (chatId) => ({ afterMs: 20 + ((chatId * 31) % 300) });
    const process = await world.process({ concurrency: 12 });
    const first = world.broadcast(chats(110));
    const second = world.broadcast(chats(110));
    await process.take();
    for (let round = 0; round < 8; round += 1) {
      await world.clock.advance(900 + round * 111);
      world.move(first, round % 2 === 0 ? 'paused' : 'running');
      process.crash(round % 3 === 0 ? 'pool' : round % 4);
    }
    await world.clock.advance(700);
    world.move(second, 'cancelled');
    process.crash('pool');
    await world.finish(60_000);
    t.match(world.broadcasts.get(first), { state: 'done', total: 110, sum: { sent: 110 } });
    const row = world.broadcasts.get(second);
    t.match(row, { state: 'cancelled', total: 110 });
    t.equal(
      Object.values(row?.sum ?? {}).reduce((a, b) => a + b, 0),
      110,
    );
    t.equal(process.line.registry.size + process.line.pacing.inFlight, 0);
    world.check();
  });
});

/** A small seeded generator (mulberry32): a failure is replayed by its seed. */
function seeded(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let x = Math.imul(a ^ (a >>> 15), 1 | a);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

/** Kills, crashes, takeovers, an absent store, lost answers of both sides, limits and blocks in any order; then everything must settle. */
async function chaos(world: SendingWorld, seed: number): Promise<void> {
  const random = seeded(seed);
  const chance = (share: number) => random() < share;
  const below = (bound: number) => Math.floor(random() * bound);
  const concurrency = 1 + below(12);
  const ids: string[] = [];
  const classes = new Map<string, string>();
  const runs: { n: number; people: number; klass: string }[] = [];
  const weather = { calm: false as boolean };
  world.plan = (chatId) => {
    const afterMs = 5 + below(chance(0.1) ? 3_000 : 200);
    if (chatId % 11 === 0) return { afterMs, answer: blocked() };
    if (weather.calm || chance(0.9)) return { afterMs };
    const ends = [
      limited(1 + below(4)),
      lost(),
      unsent(),
      refusal(502, 'Bad Gateway'),
      refusal(400, 'Bad Request: odd'),
    ];
    return { afterMs, answer: ends[below(ends.length)] ?? lost() };
  };
  const accept = () => {
    if (chance(0.15)) {
      const klass = chance(0.5) ? 'at-least-once' : 'at-most-once';
      const people = below(70);
      runs.push({ n: world.broadcast(chats(people, 1 + below(40)), { class: klass }), people, klass });
      return;
    }
    const drafts = Array.from({ length: 1 + below(12) }, () =>
      one(1 + below(30), {
        lane: (['reply', 'notify', 'bulk'] as const)[below(3)] ?? 'bulk',
        class: chance(0.4) ? 'at-most-once' : 'at-least-once',
      }),
    );
    const made = world.append(drafts, (['handed', 'wake', 'none'] as const)[below(3)] ?? 'none');
    for (const [index, id] of made.entries()) classes.set(id, drafts[index]?.class ?? '');
    ids.push(...made);
  };
  let process = await world.process({ concurrency });
  let breaks = 1;
  await process.take();
  for (let step = 0; step < 40; step += 1) {
    for (let i = below(4); i > 0; i -= 1) accept();
    world.away = chance(0.1) ? /commit|openPages|publishNow|addPage|bodies/ : undefined;
    world.lose = chance(0.1) ? /commit|addPage|move|begin|publishNow/ : undefined;
    if (chance(0.15)) process.crash(below(4));
    if (chance(0.05)) process.crash('pool');
    if (chance(0.07)) {
      process.kill();
      process = await world.process({ concurrency });
      breaks += 1;
    }
    if (chance(0.05)) {
      process.lose();
      breaks += 1;
    }
    if (world.lease.owner !== process || process.line.holding?.grant === undefined) {
      breaks += 1;
      await process.take();
    }
    process.mayCall = !chance(0.05);
    const moved = runs[below(runs.length + 1)];
    if (moved !== undefined && chance(0.3)) {
      const to = (['paused', 'paused', 'running', 'running', 'cancelled'] as const)[below(5)] ?? 'running';
      world.move(moved.n, to, chance(0.5) ? 'wake' : 'none');
    }
    await world.clock.advance(below(2_000), 4);
  }
  world.away = undefined;
  world.lose = undefined;
  process.mayCall = true;
  weather.calm = true;
  for (const { n } of runs) if (world.broadcasts.get(n)?.state === 'paused') world.move(n, 'running');
  if (process.line.holding?.grant === undefined) await process.take();
  await world.finish(600_000, 4);
  await world.clock.advance(5_000);
  const final = new Set(['sent', 'blocked', 'dead', 'unknown']);
  for (const id of ids) if (!final.has(world.state(id))) throw new Error(`${id} is ${world.state(id)}`);
  for (const id of ids) {
    if (['dead', 'unknown'].includes(world.state(id)) && !world.deadLetters.has(id))
      throw new Error(`${id} has no dead letter`);
    if (world.state(id) === 'unknown' && classes.get(id) === 'at-least-once') throw new Error(`${id} is unknown`);
  }
  const once = world.calls.filter((call) => isOnce(call.text) && call.answer !== undefined && !isRefusal(call.answer));
  const seen = new Set<string>();
  for (const { text } of once) {
    if (seen.has(text)) throw new Error(`${text} is at-most-once and was called again`);
    seen.add(text);
  }
  for (const { n, people } of runs) {
    const row = world.broadcasts.get(n);
    const sum = Object.values(row?.sum ?? {}).reduce((a, b) => a + b, 0);
    const counted = Object.values(world.tally(n)).reduce((a, b) => a + b, 0);
    const reached = people - (row?.state === 'cancelled' ? people - counted : 0);
    const isExact =
      sum === people &&
      Object.entries(world.tally(n)).every(([end, count]) => count <= (row?.sum[end as keyof typeof row.sum] ?? 0));
    if (row?.finishedAt === undefined || row.total !== people || !isExact || counted !== reached)
      throw new Error(`broadcast ${n}: ${JSON.stringify(row)} of ${people}, ${counted} counted`);
  }
  if (process.line.registry.size + process.line.pacing.inFlight + process.line.begun.size > 0)
    throw new Error(
      `left over: ${process.line.registry.size}, ${process.line.pacing.inFlight}, ${process.line.begun.size}`,
    );
  world.check({ repeats: breaks * concurrency });

  function isOnce(text: string): boolean {
    const [, n = '', index = ''] = /^m(\d+)\.(\d+)$/.exec(text) ?? [];
    if (n !== '') return classes.get(`7-${n}-${index}`) === 'at-most-once';
    const run = runs.find((one) => text.startsWith(`b${one.n}@`));
    return run?.klass === 'at-most-once';
  }
  /** Ends after which even at-most-once may be called again: certainly not sent. */
  function isRefusal(answer: object): boolean {
    const { status, beforeFirstByte } = answer as { status?: number; beforeFirstByte?: boolean };
    return status === 429 || beforeFirstByte === true;
  }
}

t.test('chaos', async (t) => {
  const runs = process.env.POSTHORN_TEST_LONG ? 300 : 4;
  const from = Number(process.env.POSTHORN_TEST_SEED ?? 1);
  for (let seed = from; seed < from + runs; seed += 1) {
    const world = worldOf(t);
    await t.resolves(chaos(world, seed), `seed ${seed}`);
  }
});
