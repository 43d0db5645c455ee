import t from 'tap';
import { type Answer, bench, manualClock, until } from './telegram-bench.js';
import { receiver } from './webhook-receiver.js';

const TOO_OLD = {
  ok: false,
  error_code: 400,
  description: 'Bad Request: query is too old and response timeout expired or query ID is invalid',
};
const KEYBOARD = {
  inline_keyboard: [
    [
      { text: 'Yes', callback_data: 'yes' },
      { text: 'No', callback_data: 'no' },
    ],
    [{ text: 'Page', url: 'https://example.com/' }],
  ],
};

t.test('a press becomes a callback query, and its answer that of the press', async (t) => {
  const { call, local, people, updates, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [ann = 0] = await people(1, { firstName: 'Ann' });
  const { message_id: messageId } = (
    await call('sendMessage', { chat_id: ann, text: 'Go on?', reply_markup: KEYBOARD })
  ).body.result;
  const press = (data: string): Promise<Answer> =>
    local('POST', 'presses', { from: ann, chat: botId, messageId, data });
  const query = async (): Promise<Answer['body']> => {
    let found: Answer['body'][] = [];
    await until(async () => {
      found = await updates();
      return found.length > 0;
    });
    t.equal(found.length, 1);
    return found[0].callback_query;
  };

  const first = press('yes');
  const asked = await query();
  t.match(asked, {
    id: /^\d+$/,
    from: { id: ann, is_bot: false, first_name: 'Ann' },
    message: {
      message_id: messageId,
      from: { id: botId },
      chat: { id: ann, type: 'private' },
      text: 'Go on?',
      reply_markup: KEYBOARD,
    },
    chat_instance: /^-?\d+$/,
    data: 'yes',
  });
  t.same((await call('answerCallbackQuery', { callback_query_id: asked.id })).body, { ok: true, result: true });
  t.same((await first).body, { answered: true });
  t.same((await call('answerCallbackQuery', { callback_query_id: asked.id })).body, TOO_OLD, 'once only');

  const second = press('no');
  const { id, chat_instance } = await query();
  t.not(id, asked.id);
  t.equal(chat_instance, asked.chat_instance, 'stands for the chat');
  t.match((await call('answerCallbackQuery', { callback_query_id: id, text: 'x'.repeat(201) })).body, {
    description: 'Bad Request: MESSAGE_TOO_LONG',
  });
  t.match((await call('answerCallbackQuery', { callback_query_id: id, url: 'https://example.com' })).body, {
    description: 'Bad Request: URL_INVALID',
  });
  await call('answerCallbackQuery', { callback_query_id: id, text: 'Alas', show_alert: true });
  t.same((await second).body, { answered: true, text: 'Alas', alert: true });

  const third = press('no');
  const link = 'https://t.me/posthorn_local_bot?start=here';
  await call('answerCallbackQuery', { callback_query_id: (await query()).id, url: link });
  t.same((await third).body, { answered: true, url: link });

  const fourth = press('yes');
  const answered = await query();
  await call('deleteMessage', { chat_id: ann, message_id: messageId });
  await call('answerCallbackQuery', { callback_query_id: answered.id, text: 'Noted', cache_time: '60' });
  t.same((await fourth).body, { answered: true, text: 'Noted', alert: false });

  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ from: 5 }, /^from:/],
    [{ chat: 5 }, /^chat:/],
    [{ messageId: 999 }, /^messageId:/],
    [{ data: 'maybe' }, /^data:/],
    [{ data: undefined }, /^data:/],
    [{ more: 1 }, /^more:/],
  ];
  const again = (await call('sendMessage', { chat_id: ann, text: 'Again', reply_markup: KEYBOARD })).body.result;
  const good = { from: ann, chat: botId, messageId: again.message_id, data: 'yes' };
  for (const [change, pattern] of wrong) {
    const { status, body } = await local('POST', 'presses', { ...good, ...change });
    t.equal(status, 400, String(pattern));
    t.match(body.error, pattern);
  }
  const plain = (await call('sendMessage', { chat_id: ann, text: 'plain' })).body.result.message_id;
  t.match((await local('POST', 'presses', { ...good, messageId: plain })).body.error, /^messageId:/);
  const own = (await local('POST', 'messages', { from: ann, chat: botId, text: 'mine' })).body.messageId;
  t.match((await local('POST', 'presses', { ...good, messageId: own })).body.error, /^messageId:/);
  for (const callback_query_id of [undefined, '', 'x', '123']) {
    t.same((await call('answerCallbackQuery', { callback_query_id })).body, TOO_OLD);
  }
});

t.test('presses wait ten seconds, queries live 150, answers are remembered as long as the bot says', async (t) => {
  const clock = manualClock();
  const { call, local, people, updates, botId } = await bench(t, { clock });
  const [ann = 0, bob = 0] = await people(2);
  const sent = async (to: number): Promise<number> =>
    (await call('sendMessage', { chat_id: to, text: 'x', reply_markup: KEYBOARD })).body.result.message_id;
  const messages = new Map([
    [ann, await sent(ann)],
    [bob, await sent(bob)],
  ]);
  const press = (from: number): Promise<Answer> =>
    local('POST', 'presses', { from, chat: botId, messageId: messages.get(from), data: 'yes' });
  const pending = async (): Promise<number> => (await call('getWebhookInfo')).body.result.pending_update_count;

  const unheard = press(ann);
  await until(() => clock.pending() === 1);
  await clock.advance(10_000);
  t.same((await unheard).body, { answered: false });
  const [{ callback_query: late }] = await updates();
  await clock.advance(140_000);
  t.same((await call('answerCallbackQuery', { callback_query_id: late.id })).body.ok, true, 'to whoever listens');

  const never = press(ann);
  await until(async () => (await pending()) === 1);
  const beside = local('POST', 'messages', { from: ann, chat: botId, text: 'beside' });
  await until(async () => (await pending()) === 2);
  await clock.advance(10_000);
  await Promise.all([never, beside]);
  await clock.advance(140_000);
  t.equal(await pending(), 2);
  await clock.advance(1);
  t.equal(await pending(), 1, 'a query that was not fetched in time is gone, the message before its time is not');
  t.match(await updates(), [{ message: { text: 'beside' } }]);

  const old = press(bob);
  await until(async () => (await pending()) === 1);
  const [{ callback_query: fetched }] = await updates();
  await clock.advance(150_001);
  t.same((await old).body, { answered: false });
  t.same((await call('answerCallbackQuery', { callback_query_id: fetched.id })).body, TOO_OLD);

  const cached = press(bob);
  await until(async () => (await pending()) === 1);
  const [{ callback_query: kept }] = await updates();
  await call('answerCallbackQuery', { callback_query_id: kept.id, text: 'Hi', cache_time: 60 });
  t.same((await cached).body, { answered: true, text: 'Hi', alert: false });
  await clock.advance(59_999);
  t.same((await press(bob)).body, { answered: true, text: 'Hi', alert: false }, 'without asking the bot');
  t.equal(await pending(), 0);
  await clock.advance(1);
  const asked = press(bob);
  await until(async () => (await pending()) === 1);
  await local('POST', 'reset', { world: true });
  t.same((await asked).body, { answered: false }, 'a world that is emptied has nobody who waits');
});

t.test('presses in groups and channels go to the bot that wrote; only members press', async (t) => {
  const { call, local, people, updates, botId, token } = await bench(t);
  const [owner = 0, ann = 0, stranger = 0] = await people(3);
  const other = (await local('POST', 'bots', {})).body;
  for (const type of ['group', 'supergroup', 'channel']) {
    const chat = (await local('POST', 'chats', { type, title: type, ownerId: owner })).body.id;
    for (const user of [botId, other.id, ann]) await local('PUT', `chats/${chat}/members/${user}`, {});
    const sent = (await call('sendMessage', { chat_id: chat, text: 'x', reply_markup: KEYBOARD }, other.token)).body
      .result;
    await updates();
    await updates(other.token);
    const body = { from: ann, chat, messageId: sent.message_id, data: 'no' };
    t.match((await local('POST', 'presses', { ...body, from: stranger })).body.error, /^from:/);
    const pressed = local('POST', 'presses', body);
    let got: Answer['body'][] = [];
    await until(async () => {
      got = await updates(other.token);
      return got.length > 0;
    });
    t.match(got, [
      { callback_query: { from: { id: ann }, message: { message_id: sent.message_id, chat: { id: chat } } } },
    ]);
    t.same(await updates(token), []);
    const { id } = got[0].callback_query;
    t.same((await call('answerCallbackQuery', { callback_query_id: id })).body, TOO_OLD, 'another bot cannot answer');
    await call('answerCallbackQuery', { callback_query_id: id, text: type }, other.token);
    t.match((await pressed).body, { answered: true, text: type });
  }
});

t.test('a bot that wants no callback queries gets none; a message that is gone is told by its place', async (t) => {
  const { call, local, people, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [ann = 0] = await people(1);
  const sent = async (): Promise<number> =>
    (await call('sendMessage', { chat_id: ann, text: 'x', reply_markup: KEYBOARD })).body.result.message_id;
  const messageId = await sent();
  await call('getUpdates', { allowed_updates: ['message'] });
  const unwanted = local('POST', 'presses', { from: ann, chat: botId, messageId, data: 'yes' });
  const before = (await local('GET', 'stats')).body.calls.getUpdates;
  await until(async () => {
    t.same((await call('getUpdates')).body.result, []);
    return (await local('GET', 'stats')).body.calls.getUpdates > before + 3;
  });
  await call('getUpdates', { allowed_updates: [] });
  const second = await sent();
  const pressed = local('POST', 'presses', { from: ann, chat: botId, messageId: second, data: 'yes' });
  await until(async () => (await call('getWebhookInfo')).body.result.pending_update_count === 1);
  await call('deleteMessage', { chat_id: ann, message_id: second });
  t.match((await call('getUpdates')).body.result, [
    { callback_query: { message: { chat: { id: ann }, message_id: second, date: 0 }, data: 'yes' } },
  ]);
  await local('POST', 'reset', { world: true });
  t.same((await unwanted).body, { answered: false });
  t.same((await pressed).body, { answered: false });
});

t.test('a query that waits survives a restart, and comes by webhook beside the chat’s messages', async (t) => {
  const dataDir = t.testdir();
  const first = await bench(t, { dataDir });
  const [ann = 0] = await first.people(1);
  const { message_id: messageId } = (
    await first.call('sendMessage', { chat_id: ann, text: 'x', reply_markup: KEYBOARD })
  ).body.result;
  const lost = first.local('POST', 'presses', { from: ann, chat: first.botId, messageId, data: 'yes' });
  await until(async () => (await first.call('getWebhookInfo')).body.result.pending_update_count === 1);
  await Promise.all([first.telegram.stop(), t.rejects(lost)]);

  const { call, local, botId } = await bench(t, { dataDir });
  const hook = await receiver(t);
  await local('POST', 'messages', { from: ann, chat: botId, text: 'beside' });
  await call('setWebhook', { url: hook.url });
  const query = await hook.next();
  const message = await hook.next();
  t.match(query.update, { callback_query: { data: 'yes', message: { message_id: messageId } } });
  t.match(message.update, { message: { text: 'beside' } });
  const { id } = query.update.callback_query;
  t.same((await call('answerCallbackQuery', { callback_query_id: id })).body, { ok: true, result: true });
  const pressed = local('POST', 'presses', { from: ann, chat: botId, messageId, data: 'no' });
  query.answer();
  const next = await hook.next();
  t.not(next.update.callback_query.id, id);
  next.answer(
    200,
    JSON.stringify({ method: 'answerCallbackQuery', callback_query_id: next.update.callback_query.id }),
    {
      'content-type': 'application/json',
    },
  );
  t.same((await pressed).body, { answered: true });
});
