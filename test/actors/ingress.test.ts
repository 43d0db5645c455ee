import t from 'tap';
import type { Feature, HandlerContext } from '../../src/feature.js';
import { settle } from '../support/fake-clock.js';
import { type ReceivingWorld, receivingWorld, text } from '../support/receiving-world.js';

const replies = (world: ReceivingWorld) =>
  [...world.pages].sort(([a], [b]) => a - b).map(([id, page]) => [id, page.map((message) => message.text)]);
const begins = (event: string) => (one: string) => one.startsWith(event);

/** A feature whose handler does what the test says for each text. */
function scripted(script: (ctx: HandlerContext, words: string) => unknown): Feature {
  return {
    name: 'scripted',
    handlers: () => async (ctx) => {
      await script(ctx, ctx.text ?? '');
    },
  };
}

const refusal = (status: number, description: string, parameters?: object) => ({
  kind: 'answer' as const,
  status,
  body: { ok: false, error_code: status, description, parameters },
});

t.test('what is durable before what', async (t) => {
  const world = receivingWorld();
  await world.start();
  world.arrive(text(41, 7, '/start'), text(42, 8, 'hello'));
  await settle(40);
  const at = (event: string) => world.events.indexOf(event);
  t.ok(at('deleteWebhook') < at('getUpdates'), 'no webhook is left when polling begins');
  t.ok(at('insert 41,42') >= 0 && at('insert 41,42') < at('getUpdates 43'), 'the inbox, then the offset');
  t.ok(at('handling 41,42') < at('mark 7 ok'), 'one write of the lease for both, before anything is done');
  t.ok(at('mark 7 ok') < at('subscribe 7 active by 41'), 'reachability first');
  t.ok(
    at('subscribe 7 active by 41') < at('outputs 41') && at('outputs 41') < at('settle 41'),
    'outputs, then settled',
  );
  t.ok(at('settle 42') > at('mark 8 ok'));
  t.match(replies(world), [[41, [/^Hello, Ada! You are subscribed/]]], 'plain text gets no answer');
  t.match(world.pages.get(41), [{ chatId: 7, lane: 'reply', class: 'at-least-once' }]);
  t.same(world.published.handling, [], 'nothing is being handled any more');
  t.equal(world.statuses.at(-1)?.state, 'polling');
  t.ok(at('setMyCommands') > 0);
  await world.clock.advance(26_000);
  t.equal(world.events.filter(begins('getUpdates')).at(-1), 'getUpdates', 'an offset that is confirmed is not kept');
  await world.system.stop();
});

t.test('the commands', async (t) => {
  const world = receivingWorld();
  await world.start();
  const say = async (...updates: Parameters<typeof world.arrive>) => {
    world.arrive(...updates);
    await settle(60);
  };
  await say(
    text(1, 7, '/status'),
    text(2, 7, '/start link_x'),
    text(3, 7, '/status@Test_Bot'),
    text(4, 7, '/stop'),
    text(5, 7, '/status'),
  );
  await say(
    text(6, 7, '/help'),
    text(7, 7, '/nonsense'),
    text(8, 7, '/status@other_bot'),
    text(9, -5, '/start'),
    text(10, -5, '/help'),
    text(11, -5, '/what'),
  );
  t.match(replies(world), [
    [1, [/not subscribed\. \/start begins/]],
    [2, [/You are subscribed now/]],
    [3, [/subscribed since 2026-01-01 00:00 UTC/]],
    [4, [/unsubscribed/]],
    [5, [/you stopped on 2026-01-01/]],
    [6, [/\/start – .*\n\/stop – .*\n\/status – .*\n\/help – /]],
    [7, [/do not know that command/]],
    [8, [/do not know that command/]],
    [10, [/\/help/]],
  ]);
  t.equal(world.people.get(-5), undefined, 'a group is no person');
  t.equal(world.marks.get(-5)?.type, 'group');
  t.equal(
    [...world.rows.values()].every((row) => row.state === 'settled'),
    true,
  );
  await world.system.stop();
});

t.test('blocking takes the reachability, any update gives it back', async (t) => {
  const world = receivingWorld();
  await world.start();
  const member = (update_id: number, status: string) => ({
    update_id,
    my_chat_member: { chat: { id: 7, type: 'private' }, from: { id: 7 }, date: 0, new_chat_member: { status } },
  });
  world.arrive(text(1, 7, '/start'), member(2, 'kicked'));
  await settle(40);
  t.match(world.marks.get(7), { reach: 'blocked' });
  t.equal(world.people.get(7)?.subscription, 'active', 'the subscription stays');
  world.arrive(member(3, 'member'));
  await settle(40);
  t.match(world.marks.get(7), { reach: 'ok' });
  t.same([...world.pages.keys()], [1]);
  await world.system.stop();
});

t.test('a group became a supergroup: its row moves before anything else is written of the chat', async (t) => {
  const world = receivingWorld();
  await world.start();
  const supergroup = { id: -1_001, type: 'supergroup', title: 'g' };
  world.arrive({ update_id: 1, message: { message_id: 1, date: 1, chat: supergroup, migrate_from_chat_id: -5 } });
  await settle(40);
  t.same(
    world.events.filter((event) => /^(move|mark) /.test(event)),
    ['move -5 to -1001', 'mark -1001 ok'],
  );
  await world.system.stop();
});

t.test('the same update three times is handled once', async (t) => {
  const world = receivingWorld([scripted((ctx) => ctx.reply('once'))]);
  await world.start();
  for (let i = 0; i < 3; i += 1) {
    world.repeat(text(5, 7, 'x'));
    await settle(40);
  }
  t.equal(world.events.filter(begins('insert 5')).length, 3);
  t.equal(world.events.filter((event) => event === 'outputs 5').length, 1);
  await world.system.stop();
});

t.test('a failing update: three tries, then the dead letters; its chat waits, others go on', async (t) => {
  const tried: string[] = [];
  const world = receivingWorld([
    scripted(async (ctx, words) => {
      tried.push(`${words}@${world.clock.now()}`);
      await ctx.reply(`got ${words}`);
      if (words === 'bad') throw Object.assign(new Error('it broke'), { code: 'PH_TEST_BROKEN' });
    }),
  ]);
  await world.start();
  world.arrive(text(1, 7, 'bad'), text(2, 7, 'after'), text(3, 8, 'other'));
  await settle(40);
  t.same(tried, ['bad@0', 'other@0']);
  t.same(world.published.handling, [], 'a resting update is not being handled');
  await world.clock.advance(1_000);
  await world.clock.advance(2_000, 20);
  t.same(tried, ['bad@0', 'other@0', 'bad@1000', 'bad@3000', 'after@3000']);
  t.same([...world.pages.keys()], [3, 2], 'nothing of a failed handler goes out');
  t.same(world.deadLetters.get(1), { reason: 'PH_TEST_BROKEN: it broke', attempts: 3 });
  t.same(
    [...world.rows.values()].map((row) => row.state),
    ['dead', 'settled', 'settled'],
  );
  t.equal(world.rows.get(1)?.tries, 2, 'tries are counted through restarts');
  await world.system.stop();
});

t.test('a replayed update is handled once in a round', async (t) => {
  const tried: string[] = [];
  let isBroken = true as boolean;
  let end: () => void = () => undefined;
  const world = receivingWorld([
    scripted(async (ctx, words) => {
      tried.push(`${words}@${world.clock.now()}`);
      if (isBroken) throw new Error('it broke');
      await new Promise<void>((resolve) => {
        end = resolve;
      });
      await ctx.reply(`got ${words}`);
    }),
  ]);
  await world.start();
  world.arrive(text(1, 7, 'hello'));
  await settle(40);
  await world.clock.advance(1_000);
  await world.clock.advance(2_000, 20);
  t.same(world.rows.get(1)?.state, 'dead');
  isBroken = false;
  const row = world.rows.get(1);
  if (row !== undefined) Object.assign(row, { state: 'queued', tries: 0, replays: 1 });
  await world.clock.advance(5_000, 20);
  t.match(tried.slice(3), [/^hello@\d+$/], 'the owner finds it within 5 s');
  await world.clock.advance(12_000, 20);
  t.equal(tried.length, 4, 'and hands it over once, while it is under way');
  end();
  await settle(40);
  t.equal(world.rows.get(1)?.state, 'settled');
  t.match(world.pages.get(1), [{ text: 'got hello' }]);
  await world.clock.advance(12_000, 20);
  t.equal(tried.length, 4);
  // It dies and is replayed again: another replay is another hand-over.
  if (row !== undefined) Object.assign(row, { state: 'queued', tries: 0, replays: 2 });
  await world.clock.advance(5_000, 20);
  t.equal(tried.length, 5);
  end();
  await settle(40);
  await world.system.stop();
});

t.test('what handlers cannot do', async (t) => {
  const late: unknown[] = [];
  const world = receivingWorld([
    scripted(async (ctx, words) => {
      if (words === 'method') await ctx.telegram.getChat(7);
      if (words === 'option') await ctx.reply('x', { reply_markup: { inline_keyboard: [] } });
      if (words === 'long') await ctx.reply('x'.repeat(32_769));
      if (words === 'mode') await ctx.replyWithMarkdown('x');
      if (words === 'hang') await new Promise(() => undefined);
      if (words === 'late') setImmediate(() => ctx.reply('too late').catch((error: unknown) => late.push(error)));
      if (words === 'html') await ctx.replyWithHTML('<b>x</b>');
      if (words === 'parts') await ctx.reply('word '.repeat(1_000));
      if (words === 'broken') await ctx.replyWithHTML('<b>x');
      if (words === 'entities') await ctx.reply('bold', { entities: [{ type: 'bold', offset: 0, length: 4 }] });
      if (words === 'crooked') await ctx.reply('bold', { entities: [{ type: 'bold', offset: 4, length: 1 }] });
    }),
  ]);
  await world.start();
  const words = ['method', 'option', 'long', 'mode', 'hang', 'late', 'html', 'parts', 'broken', 'entities', 'crooked'];
  world.arrive(...words.map((word, index) => text(index + 1, index + 1, word)));
  await settle(40);
  for (let i = 0; i < 4; i += 1) await world.clock.advance(31_000);
  const reasons = Object.fromEntries([...world.deadLetters].map(([id, letter]) => [words[id - 1], letter.reason]));
  t.match(reasons, {
    method: /^PH_HANDLER_METHOD: a handler cannot call getChat/,
    option: /^PH_HANDLER_OPTION: .*reply_markup/,
    long: /^PH_HANDLER_TEXT/,
    mode: /^PH_HANDLER_OPTION: .*Markdown/,
    hang: /^PH_HANDLER_TIMEOUT/,
    broken: /^PH_HANDLER_TEXT: can't parse entities/,
    crooked: /^PH_HANDLER_OPTION: entities\[0\]\.offset: /,
  });
  t.same(Object.keys(reasons).length, 7);
  t.match(late, [{ code: 'PH_HANDLER_LATE' }]);
  t.match(
    [...world.pages],
    [
      [7, [{ text: '<b>x</b>', parseMode: 'HTML' }]],
      [8, [{ text: 'word '.repeat(1_000), parts: [{ from: 0 }, {}] }]],
      [10, [{ text: '<b>bold</b>', parseMode: 'HTML' }]],
    ],
  );
  await world.system.stop();
});

t.test('chats side by side up to the bound, a chat one at a time', async (t) => {
  const open = new Map<string, () => void>();
  const world = receivingWorld(
    [scripted((_ctx, words) => new Promise<void>((resolve) => open.set(words, resolve)))],
    2,
  );
  await world.start();
  world.arrive(text(1, 7, 'a1'), text(2, 7, 'a2'), text(3, 8, 'b1'), text(4, 9, 'c1'));
  await settle(40);
  t.same([...open.keys()], ['a1', 'b1']);
  t.same([...world.published.handling], [1, 3]);
  open.get('a1')?.();
  await settle(40);
  t.same([...open.keys()], ['a1', 'b1', 'c1'], 'who has waited longest is next');
  open.get('b1')?.();
  await settle(40);
  t.same([...open.keys()].at(-1), 'a2');
  for (const end of open.values()) end();
  await settle(40);
  t.same(
    [...world.rows.values()].map((row) => row.state),
    ['settled', 'settled', 'settled', 'settled'],
  );
  await world.system.stop();
});

t.test('the store goes away', async (t) => {
  t.test('before the insert: nothing is confirmed, it is tried until it works', async (t) => {
    const world = receivingWorld();
    await world.start();
    world.away = /./;
    world.arrive(text(1, 7, '/start'));
    await world.clock.advance(120_000);
    t.notOk(world.events.some((event) => /getUpdates \d/.test(event)));
    t.same(world.statuses.at(-1), { state: 'degraded', detail: 'the store is away' });
    world.away = undefined;
    await world.clock.advance(40_000, 40);
    t.same([...world.pages.keys()], [1]);
    t.equal(world.statuses.at(-1)?.state, 'polling');
    t.same(
      world.system.tree().children.map((child) => child.restarts),
      [0, 0],
    );
    await world.system.stop();
  });

  t.test('before the lease names the update: nothing of it is done', async (t) => {
    let runs = 0;
    const world = receivingWorld([
      scripted(() => {
        runs += 1;
      }),
    ]);
    await world.start();
    world.away = /^handling/;
    world.arrive(text(1, 7, 'x'));
    await world.clock.advance(20_000);
    t.same([runs, world.marks.size], [0, 0]);
    world.away = undefined;
    await world.clock.advance(20_000);
    t.same([runs, world.rows.get(1)?.state], [1, 'settled']);
    await world.system.stop();
  });

  t.test('between outputs and settled: run again, nothing is appended twice, no try is spent', async (t) => {
    let runs = 0;
    const world = receivingWorld([
      scripted((ctx) => {
        runs += 1;
        return ctx.reply(`run ${runs}`);
      }),
    ]);
    await world.start();
    world.away = /^settle/;
    world.arrive(text(1, 7, 'x'), text(2, 7, 'y'));
    await settle(40);
    t.same([...world.pages.keys()], [1], 'the chat waits for its update');
    for (let i = 0; i < 6; i += 1) await world.clock.advance(30_000);
    t.ok(runs > 3 && world.deadLetters.size === 0);
    world.away = undefined;
    await world.clock.advance(40_000, 40);
    t.same(replies(world)[0], [1, ['run 1']], 'the first outputs win');
    t.same(
      [...world.rows.values()].map((row) => [row.state, row.tries]),
      [
        ['settled', 0],
        ['settled', 0],
      ],
    );
    await world.system.stop();
  });

  t.test(
    'it refuses a page for good: three tries, then the dead letters; a refusal of its own is waited out',
    async (t) => {
      const world = receivingWorld([scripted((ctx) => ctx.reply('x'))]);
      await world.start();
      world.away = /^outputs/;
      world.awayAs = Object.assign(new Error('too large'), { name: 'StoreError', code: 'PH_PAGE_TOO_LARGE' });
      world.arrive(text(1, 7, 'x'));
      await world.clock.advance(4_000);
      t.same(world.deadLetters.get(1), { reason: 'PH_PAGE_TOO_LARGE: too large', attempts: 3 });
      world.awayAs = Object.assign(new Error('not authorized'), { name: 'MongoServerError', code: 13 });
      world.arrive(text(2, 7, 'y'));
      await world.clock.advance(100_000);
      t.same([world.deadLetters.size, world.rows.get(2)?.state], [1, 'queued']);
      world.away = undefined;
      await world.clock.advance(40_000);
      t.equal(world.rows.get(2)?.state, 'settled');
      await world.system.stop();
    },
  );

  t.test('at the dead letter: the handler is not run a fourth time', async (t) => {
    let runs = 0;
    const world = receivingWorld([
      scripted(() => {
        runs += 1;
        throw new Error('no');
      }),
    ]);
    await world.start();
    world.away = /^bury/;
    world.arrive(text(1, 7, 'x'));
    for (let i = 0; i < 4; i += 1) await world.clock.advance(10_000);
    world.away = undefined;
    await world.clock.advance(40_000);
    t.equal(runs, 3);
    t.same(world.deadLetters.get(1), { reason: 'Error: no', attempts: 3 });
    await world.system.stop();
  });
});

t.test('takeover', async (t) => {
  const before = (world: ReceivingWorld, updateId: number, crashes: number) => {
    const body = text(updateId, updateId, 'x');
    world.rows.set(updateId, { updateId, chat: updateId, body, tries: 0, crashes, at: new Date(0), state: 'queued' });
  };
  t.test('the unsettled first; who was being handled has a crash more, the third is poison', async (t) => {
    const world = receivingWorld([scripted((ctx) => ctx.reply('ok'))]);
    before(world, 1, 2);
    before(world, 2, 1);
    before(world, 3, 0);
    before(world, 4, 0);
    world.arrive(text(5, 3, 'new'));
    await world.start({ handling: [1, 2, 3, 99] });
    await settle(80);
    t.same(
      [...world.rows.values()].map((row) => [row.updateId, row.state, row.crashes]),
      [
        [1, 'dead', 3],
        [2, 'settled', 2],
        [3, 'settled', 1],
        [4, 'settled', 0],
        [5, 'settled', 0],
      ],
    );
    t.match(world.deadLetters.get(1), { reason: /^poison/, attempts: 3 });
    const cleared = world.events.indexOf('handling ');
    t.ok(
      cleared > world.events.indexOf('bury 1') && cleared < world.events.indexOf('backlog'),
      'judged, cleared, then read',
    );
    t.ok(world.events.indexOf('handling 2') > 0, 'a suspect is handled alone');
    t.ok(world.events.indexOf('deleteWebhook') > world.events.indexOf('backlog'));
    await world.system.stop();
  });

  t.test('the bot alone crashes: the same judgement, and all is handed over again', async (t) => {
    const held = { hang: true as boolean };
    const world = receivingWorld([
      scripted(async (ctx) => {
        await ctx.reply('done');
        if (held.hang) await new Promise(() => undefined);
      }),
    ]);
    await world.start();
    world.arrive(text(1, 7, 'x'), text(2, 7, 'y'));
    await settle(40);
    held.hang = false;
    t.ok(world.system.exit('bot', new Error('injected')));
    await world.clock.advance(10_000, 40);
    t.same(
      [...world.rows.values()].map((row) => [row.state, row.crashes]),
      [
        ['settled', 1],
        ['settled', 0],
      ],
    );
    t.same([...world.pages.keys()], [1, 2]);
    t.same(
      world.system.tree().children.map((child) => child.restarts),
      [0, 1],
    );
    t.equal(world.polls(), 1, 'the poll of the round before was aborted');
    t.equal(world.system.undelivered(), 0);
    await world.system.stop();
  });

  t.test('the ingress crashes: both start again, the lease is released and taken anew', async (t) => {
    const world = receivingWorld([scripted((ctx) => ctx.reply('done'))]);
    await world.start();
    t.ok(world.system.exit('ingress', new Error('injected')));
    await world.clock.advance(10_000);
    t.equal(world.released(), 1);
    world.arrive(text(1, 7, 'x'));
    world.grant();
    await settle(60);
    t.same([...world.pages.keys()], [1]);
    t.same(
      world.system.tree().children.map((child) => child.state),
      ['running', 'running'],
    );
    await world.system.stop();
  });

  t.test('the lease is lost: the poll ends, nothing more is written; granted again all goes on', async (t) => {
    let open = () => {};
    const world = receivingWorld([
      scripted(async (ctx) => {
        await new Promise<void>((resolve) => {
          open = resolve;
        });
        await ctx.reply('late');
      }),
    ]);
    await world.start();
    world.arrive(text(1, 7, 'x'));
    await settle(40);
    world.lose();
    await settle();
    t.equal(world.polls(), 0);
    t.equal(world.statuses.at(-1)?.state, 'standby');
    const { length } = world.events;
    open();
    await world.clock.advance(60_000);
    t.same(world.events.slice(length), []);
    world.grant({ epoch: 3, handling: [1] });
    await settle(40);
    open();
    await settle(40);
    t.same([...world.pages.keys()], [1]);
    await world.system.stop();
  });

  t.test('with late beats nothing is polled', async (t) => {
    const world = receivingWorld();
    world.mayCall = false;
    await world.start();
    await world.clock.advance(5_000);
    t.equal(world.events.filter((event) => /getUpdates|deleteWebhook/.test(event)).length, 0);
    world.mayCall = true;
    await world.clock.advance(1_000);
    t.equal(world.polls(), 1);
    await world.system.stop();
  });
});

t.test('ends of polling', async (t) => {
  t.test('409: waits longer each time and says so; an active webhook is deleted', async (t) => {
    const world = receivingWorld();
    const other = refusal(
      409,
      'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running',
    );
    const hook = refusal(
      409,
      "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    );
    world.answers.set('getUpdates', [other, other, other, hook]);
    await world.start();
    const polled = () => world.events.filter(begins('getUpdates')).length;
    t.match(world.statuses.at(-1), { state: 'degraded', detail: /^Conflict/ });
    const counts: number[] = [];
    for (const ms of [999, 1, 1_999, 1, 3_999, 1]) {
      await world.clock.advance(ms);
      counts.push(polled());
    }
    t.same(counts, [1, 2, 2, 3, 3, 4]);
    await world.clock.advance(8_000);
    t.equal(world.events.filter((event) => event === 'deleteWebhook').length, 2);
    t.equal(world.polls(), 1);
    await world.system.stop();
  });

  t.test('401: the bot is reported, and tried again each minute', async (t) => {
    const world = receivingWorld();
    world.answers.set('getUpdates', [refusal(401, 'Unauthorized'), refusal(404, 'Not Found')]);
    await world.start();
    t.same([world.refused, world.statuses.at(-1)?.state], [['Unauthorized'], 'unauthorized']);
    await world.clock.advance(60_000);
    t.same(world.refused, ['Unauthorized', 'Not Found']);
    await world.clock.advance(60_000);
    t.equal(world.statuses.at(-1)?.state, 'polling');
    await world.system.stop();
  });

  t.test('429, 5xx, network, nonsense: pauses, then on; the first poll after it does not wait', async (t) => {
    const world = receivingWorld();
    const nonsense = { kind: 'answer' as const, status: 200, body: { ok: true, result: [{ no: 'id' }] } };
    world.answers.set('getUpdates', [
      refusal(429, 'Too Many Requests: retry after 7', { retry_after: 7 }),
      { kind: 'answer', status: 502, body: undefined },
      { kind: 'failure', beforeFirstByte: true, reason: 'ECONNREFUSED' },
      nonsense,
    ]);
    await world.start();
    await world.clock.advance(6_999);
    t.equal(world.events.filter(begins('getUpdates')).length, 1);
    await world.clock.advance(1 + 2_000 + 4_000 + 1_000);
    t.equal(world.events.filter(begins('getUpdates')).length, 5);
    t.match(
      world.statuses.map(({ state }) => state),
      /polling|degraded/,
    );
    world.arrive(text(1, 7, '/start'));
    await settle(60);
    t.same([...world.pages.keys()], [1]);
    await world.system.stop();
  });

  t.test('getMe without an answer: updates wait for it', async (t) => {
    const world = receivingWorld();
    world.answers.set('getMe', [{ kind: 'failure', beforeFirstByte: true, reason: 'ECONNREFUSED' }]);
    world.answers.set('setMyCommands', [refusal(500, 'no')]);
    await world.start();
    world.arrive(text(1, 7, '/start'));
    await settle(40);
    t.same([...world.pages.keys()], []);
    await world.clock.advance(1_000, 40);
    t.same([...world.pages.keys()], [1]);
    await world.clock.advance(1_000);
    t.equal(world.events.filter((event) => event === 'setMyCommands').length, 2);
    await world.system.stop();
  });
});

t.test('back-pressure: with more than 5,000 unsettled in memory nothing is read, then all is', async (t) => {
  const open: (() => void)[] = [];
  const gate = { shut: true as boolean };
  const world = receivingWorld([
    scripted(() => (gate.shut ? new Promise<void>((resolve) => open.push(resolve)) : undefined)),
  ]);
  for (let id = 1; id <= 6_200; id += 1) {
    world.rows.set(id, {
      updateId: id,
      chat: id % 50,
      body: text(id, (id % 50) + 1, 'x'),
      tries: 0,
      crashes: 0,
      at: new Date(0),
      state: 'queued',
    });
  }
  await world.start();
  await settle(100);
  t.equal(world.events.filter((event) => event === 'backlog').length, 11, '11 × 500 > 5,000');
  t.equal(world.polls(), 0);
  gate.shut = false;
  for (const end of open) end();
  const settled = () => [...world.rows.values()].filter((row) => row.state === 'settled').length;
  for (let i = 0; i < 2_000 && settled() < 6_200; i += 1) await settle(5);
  t.equal(settled(), 6_200);
  t.equal(world.polls(), 1);
  await world.system.stop();
});

t.test('stop', async (t) => {
  t.test('aborts the long poll at once, releases the lease, leaves no timer', async (t) => {
    const world = receivingWorld();
    await world.start();
    t.equal(world.polls(), 1);
    await world.system.stop();
    t.equal(world.polls(), 0);
    t.equal(world.released(), 1);
    t.equal(world.clock.now(), 0, 'nothing had to be waited for');
    t.equal(world.clock.pending, 0);
  });

  t.test('an update under way is settled first, none begins', async (t) => {
    let open = () => {};
    const world = receivingWorld([
      scripted(async (ctx, words) => {
        if (words === 'slow') {
          await new Promise<void>((resolve) => {
            open = resolve;
          });
        }
        await ctx.reply(words);
      }),
    ]);
    await world.start();
    world.arrive(text(1, 7, 'slow'), text(2, 7, 'next'));
    await settle(40);
    const stopped = world.system.stop();
    await settle();
    open();
    await stopped;
    t.same(
      [...world.rows.values()].map((row) => row.state),
      ['settled', 'queued'],
    );
    t.same(world.published.handling, []);
    t.equal(world.released(), 1);
  });

  t.test('a handler that hangs is left behind after 4 s, and stays in the list for the next owner', async (t) => {
    const world = receivingWorld([scripted(() => new Promise(() => undefined))]);
    await world.start();
    world.arrive(text(1, 7, 'x'));
    await settle(40);
    const stopped = world.system.stop();
    await world.clock.advance(4_000);
    await stopped;
    t.same(world.published.handling, [1]);
  });
});
