import t from 'tap';
import { bench, manualClock, until } from './telegram-bench.js';

t.test('what the control API does is there as functions, with the same checks', async (t) => {
  const { telegram, call, local, updates, botId, token } = await bench(t, { clock: manualClock() });
  const { control } = telegram;
  t.same(control.bots(), (await local('GET', 'bots')).body);
  t.match(control.makeBot({ username: 'second_bot', name: 'Second' }), { username: 'second_bot', token: /^\d+:/ });
  const ann = control.makePerson({ firstName: 'Ann', languageCode: 'de' });
  t.match(ann, { firstName: 'Ann', started: true });
  const [bob = 0, eve = 0] = control.people(2);
  t.match(control.faults({ limits: 'off', tooMany: { retryAfter: 3 } }), { tooMany: { share: 0, retryAfter: 3 } });

  const id = control.write(ann.id, botId, '/start');
  control.edit(ann.id, botId, id, 'edited');
  const reply = control.write(ann.id, botId, 'again', id);
  control.block(botId, [bob]);
  control.unblock(botId, bob);
  t.match(await updates(), [
    { message: { message_id: id, text: '/start', entities: [{ type: 'bot_command' }], from: { language_code: 'de' } } },
    { edited_message: { text: 'edited' } },
    { message: { message_id: reply, reply_to_message: { message_id: id } } },
    { my_chat_member: { new_chat_member: { status: 'kicked' } } },
    { my_chat_member: { new_chat_member: { status: 'member' } } },
  ]);
  control.remove(ann.id, botId, reply);
  t.same(control.messages(botId, ann.id), (await local('GET', `messages?chat=${botId}&user=${ann.id}`)).body);
  t.match(control.messages(botId, ann.id), [{ messageId: id, text: 'edited' }]);
  t.same(control.messages(botId, ann.id, id), []);

  const group = control.makeChat({ type: 'group', title: 'G', ownerId: ann.id });
  t.equal(control.putMember(group, botId, { status: 'administrator', rights: ['can_invite_users'] }), 'administrator');
  t.equal(control.putMember(group, bob), 'member');
  t.equal(control.removeMember(group, bob), 'left');
  const supergroup = control.upgradeChat(group);
  const link = (await call('createChatInviteLink', { chat_id: supergroup, creates_join_request: true })).body.result;
  t.equal(control.putMember(supergroup, eve, { inviteLink: link.invite_link }), 'requested');
  control.deleteChat(supergroup);
  t.throws(() => control.putMember(supergroup, eve), { code: 'PH_LOCAL_TELEGRAM_INPUT', message: /^id: .*deleted/ });

  const keyboard = { inline_keyboard: [[{ text: 'Go', callback_data: 'go' }]] };
  const { message_id } = (await call('sendMessage', { chat_id: bob, text: '#1 x', reply_markup: keyboard })).body
    .result;
  await updates();
  const pressed = control.press(bob, botId, message_id, 'go');
  let query: { id: string } | undefined;
  await until(async () => {
    query = (await updates())[0]?.callback_query;
    return query !== undefined;
  });
  await call('answerCallbackQuery', { callback_query_id: query?.id, text: 'Gone' });
  t.same(await pressed, { answered: true, text: 'Gone', alert: false });
  const unheard = control.press(bob, botId, message_id, 'go');
  await control.setVirtual(true);
  await control.advance(10_000);
  t.same(await unheard, { answered: false });

  const figures = control.stats();
  t.match(figures, { accepted: 1, distinct: 1, calls: { sendMessage: 1 } });
  t.same(figures, (await local('GET', 'stats')).body);
  await call('getMe');
  t.equal(figures.calls.getMe, undefined, 'figures are those of their moment');

  const wrong: [() => unknown, RegExp][] = [
    [() => control.people(0), /^count:/],
    [() => control.makePerson({ username: 'a b' }), /^username:/],
    [() => control.makeBot({ username: 'second_bot' }), /^username:/],
    [() => control.block(5, []), /^botId:/],
    [() => control.write(5, botId, 'x'), /^from:/],
    [() => control.write(bob, botId, ' '), /^text:/],
    [() => control.messages(botId, 5), /^user:/],
    [() => control.faults({ latencyMs: -1 }), /^latencyMs:/],
    [() => control.makeChat({ type: 'group', title: '', ownerId: bob }), /^title:/],
  ];
  for (const [run, message] of wrong) t.throws(run, { code: 'PH_LOCAL_TELEGRAM_INPUT', message });
  await t.rejects(control.press(bob, botId, message_id, 'no'), { code: 'PH_LOCAL_TELEGRAM_INPUT', message: /^data:/ });
  await t.rejects(control.advance(-1), { message: /^advanceMs:/ });

  control.reset(true);
  t.match(control.bots(), [{ id: botId, token }]);
  t.equal(control.bots().length, 1);
  t.match(control.stats(), { accepted: 0 });
});
