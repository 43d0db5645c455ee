import t from 'tap';
import { bench, manualClock } from './telegram-bench.js';

t.test('groups, supergroups and channels: made, entered, written in, heard of', async (t) => {
  const { call, local, people, updates, botId } = await bench(t);
  const [owner = 0, ann = 0, stranger = 0] = await people(3);
  await updates();
  const make = async (type: string, more = {}): Promise<number> =>
    (await local('POST', 'chats', { type, title: `A ${type}`, ownerId: owner, ...more })).body.id;
  const group = await make('group');
  const supergroup = await make('supergroup', { username: 'open_group' });
  const channel = await make('channel');
  t.ok(group < 0 && group > -1_000_000_000_000);
  t.ok(supergroup < -1_000_000_000_000 && channel < supergroup);

  t.same((await call('sendMessage', { chat_id: group, text: 'x' })).body.description, 'Bad Request: chat not found');
  for (const chat of [group, supergroup, channel]) {
    const { body } = await local('PUT', `chats/${chat}/members/${botId}`, {});
    t.same(body, { status: chat === channel ? 'administrator' : 'member' });
    t.equal((await local('PUT', `chats/${chat}/members/${ann}`, {})).status, 200);
  }
  const told = await updates();
  t.match(told, [
    {
      my_chat_member: {
        chat: { id: group, type: 'group', title: 'A group' },
        from: { id: owner },
        old_chat_member: { status: 'left', user: { id: botId } },
        new_chat_member: { status: 'member', user: { id: botId } },
      },
    },
    { message: { message_id: 1, from: { id: owner }, new_chat_members: [{ id: botId, is_bot: true }] } },
    { message: { message_id: 2, from: { id: ann }, new_chat_members: [{ id: ann, is_bot: false }] } },
    { my_chat_member: { chat: { id: supergroup, username: 'open_group' } } },
    { message: { message_id: 1 } },
    { message: { message_id: 2 } },
    {
      my_chat_member: {
        chat: { id: channel },
        new_chat_member: { status: 'administrator', can_post_messages: true, can_promote_members: false },
      },
    },
    { chat_member: { chat: { id: channel }, from: { id: ann }, new_chat_member: { status: 'member' } } },
  ]);
  t.equal(told.length, 8);

  for (const chat of [group, supergroup, channel]) {
    const sent = (await call('sendMessage', { chat_id: chat, text: '<hi> @here' })).body.result;
    t.match(sent, { chat: { id: chat }, text: '<hi> @here', entities: [{ type: 'mention' }] });
    if (chat === channel) t.match(sent, { sender_chat: { id: channel, type: 'channel' }, from: undefined });
    else t.match(sent, { from: { id: botId } });
    const seen = (await local('GET', `messages?chat=${chat}&user=${ann}`)).body;
    t.match(seen.at(-1), { messageId: sent.message_id, text: '<hi> @here' });
    const from = chat === channel ? owner : ann;
    const reply = await local('POST', 'messages', { from, chat, text: 'yes', replyTo: sent.message_id });
    t.match(reply.body, { messageId: sent.message_id + 1 });
    t.same((await local('POST', 'messages', { from, chat, text: 'aside' })).status, 200);
    await local('POST', 'messages', { from, chat, text: '/help' });
    await local('POST', 'messages', { from, chat, text: '/help@posthorn_Local_bot x' });
    await local('POST', 'messages', { from, chat, text: '/help@other_bot' });
  }
  const heard = await updates();
  t.same(
    heard.map((update) => [
      update.message?.chat.id ?? update.channel_post?.chat.id,
      update.message?.text ?? update.channel_post?.text,
    ]),
    [
      ...[group, supergroup].flatMap((chat) =>
        ['yes', '/help', '/help@posthorn_Local_bot x'].map((text) => [chat, text]),
      ),
      ...['yes', 'aside', '/help', '/help@posthorn_Local_bot x', '/help@other_bot'].map((text) => [channel, text]),
    ],
    'privacy mode in groups',
  );
  t.match(heard[0].message.reply_to_message, { text: '<hi> @here', from: { id: botId } });

  for (const [path, body, field] of [
    ['messages', { from: stranger, chat: group, text: 'x' }, /^from: .* not a member/],
    ['messages', { from: ann, chat: channel, text: 'x' }, /^from: .* may not write/],
    ['messages', { from: ann, chat: group, text: 'x', replyTo: 99 }, /^replyTo:/],
    ['messages', { from: ann, chat: -5, text: 'x' }, /^chat: nobody made/],
    ['chats', { type: 'private', title: 'x', ownerId: owner }, /^type:/],
    ['chats', { type: 'group', title: ' ', ownerId: owner }, /^title:/],
    ['chats', { type: 'group', title: 'x', ownerId: botId }, /^ownerId:/],
    ['chats', { type: 'group', title: 'x', ownerId: owner, username: 'x' }, /^username:/],
    ['chats', { type: 'channel', title: 'x', ownerId: owner, username: 'Open_Group' }, /^username:/],
  ] as const) {
    const answer = await local('POST', path, body);
    t.equal(answer.status, 400);
    t.match(answer.body.error, field);
  }
});

t.test('privacy off, anonymous administrators, deleted accounts', async (t) => {
  const { call, local, people, updates, botId } = await bench(t);
  const [owner = 0, ann = 0, gone = 0] = await people(3, { firstName: 'Ann' });
  const { id: chat } = (await local('POST', 'chats', { type: 'supergroup', title: 'S', ownerId: owner })).body;
  await local('PUT', `chats/${chat}/members/${botId}`, {});
  await local('PUT', `chats/${chat}/members/${gone}`, {});
  const anonymous = { status: 'administrator', rights: ['is_anonymous'] };
  await local('PUT', `chats/${chat}/members/${ann}`, anonymous);
  const write = async (from: number): Promise<unknown[]> => {
    await updates();
    await local('POST', 'messages', { from, chat, text: 'x' });
    return updates();
  };
  t.same(await write(owner), []);
  t.match((await local('PUT', `bots/${botId}`, { privacy: 1 })).body.error, /^privacy:/);
  t.match((await local('PUT', 'bots/5', { privacy: true })).body.error, /^id:/);
  t.match((await local('PUT', `bots/${botId}`, { privacy: false })).body, { id: botId, privacy: false });
  t.equal((await call('getMe')).body.result.can_read_all_group_messages, true);
  t.match(await write(owner), [{ message: { from: { id: owner }, text: 'x', sender_chat: undefined } }]);
  t.match(await write(ann), [{ message: { from: { username: 'GroupAnonymousBot' }, sender_chat: { id: chat } } }]);
  t.match((await local('GET', `messages?chat=${chat}&user=${owner}`)).body.at(-1).from, { id: chat, title: 'S' });

  t.same((await local('DELETE', `people/${gone}`)).body, { id: gone });
  t.match((await local('DELETE', `people/${gone}`)).body.error, /^userId: .* has deleted the account/);
  t.match((await local('POST', 'messages', { from: gone, chat, text: 'x' })).body.error, /^from: .* has deleted/);
  for (const [method, args] of [
    ['sendMessage', { text: 'x' }],
    ['sendChatAction', { action: 'typing' }],
    ['editMessageText', { text: 'x', message_id: 1 }],
  ] as const) {
    t.match((await call(method, { chat_id: gone, ...args })).body, {
      error_code: 403,
      description: 'Forbidden: user is deactivated',
    });
  }
  const { result } = (await call('getChatMember', { chat_id: chat, user_id: gone })).body;
  t.same(result, { user: { id: gone, is_bot: false, first_name: '' }, status: 'member' });
});

t.test('a bot writes 20 messages a minute to a group', async (t) => {
  const clock = manualClock();
  const { call, local, people, botId } = await bench(t, { clock });
  const [owner = 0] = await people(1);
  const chats: number[] = [];
  for (const type of ['group', 'supergroup', 'channel', 'supergroup']) {
    const { id } = (await local('POST', 'chats', { type, title: type, ownerId: owner })).body;
    await local('PUT', `chats/${id}/members/${botId}`, {});
    chats.push(id);
  }
  const send = async (chat: number | undefined): Promise<unknown> => {
    const { body } = await call('sendMessage', { chat_id: chat, text: '#1 x' });
    return body.ok === true ? 'sent' : body.parameters.retry_after;
  };
  for (const chat of chats.slice(0, 3)) {
    for (let i = 0; i < 20; i += 1) {
      t.equal(await send(chat), 'sent');
      await clock.advance(100);
    }
    t.equal(await send(chat), 58, 'the 21st of the minute');
    t.equal(await send(chats[3]), 'sent', 'another chat has its own minute');
    await clock.advance(57_949);
    t.equal(await send(chat), 1);
    await clock.advance(1);
    t.equal(await send(chat), 'sent', 'a minute less the tolerance');
  }
  t.match((await local('GET', 'stats')).body, { accepted: 66, distinct: 4, duplicates: 62, tooMany: 6 });
});
