import t from 'tap';
import { type Answer, type Bench, bench, manualClock } from './telegram-bench.js';

const DAY_S = 24 * 3600;
const NO_RIGHT = 'Bad Request: not enough rights to restrict/unrestrict chat member';

/** What a method came to: its result, or the refusal's description. */
async function outcome(answer: Promise<Answer>): Promise<unknown> {
  const { body } = await answer;
  return body.ok === true ? body.result : body.description;
}

async function makeChat({ local, botId }: Bench, type: string, ownerId: number, rights?: string[]): Promise<number> {
  const { id } = (await local('POST', 'chats', { type, title: `A ${type}`, ownerId })).body;
  const wish = rights === undefined ? {} : { status: 'administrator', rights };
  await local('PUT', `chats/${id}/members/${botId}`, wish);
  return id;
}

t.test('chats and members are looked at', async (t) => {
  const world = await bench(t);
  const { call, local, people, botId } = world;
  const [ann = 0, bob = 0, eve = 0] = await people(3);
  const { id: otherBot } = (await local('POST', 'bots', {})).body;
  const look = (method: string, args: object): Promise<unknown> => outcome(call(method, { ...args }));
  for (const type of ['group', 'supergroup', 'channel']) {
    const chat = await makeChat(world, type, ann, ['can_invite_users', 'can_restrict_members']);
    await local('PUT', `chats/${chat}/members/${bob}`, {});
    await local('PUT', `chats/${chat}/members/${otherBot}`, { status: 'administrator' });
    t.equal(await look('getChatMemberCount', { chat_id: chat }), 4);
    t.equal(await look('getChatMembersCount', { chat_id: chat }), 4);
    const administrators = (await look('getChatAdministrators', { chat_id: chat })) as { user: { id: number } }[];
    t.same(
      administrators.map(({ user }) => user.id),
      [ann, botId],
      'other bots are left out',
    );
    t.match(administrators, [
      { status: 'creator', is_anonymous: false },
      {
        status: 'administrator',
        can_be_edited: false,
        can_manage_chat: true,
        can_invite_users: true,
        can_delete_messages: false,
      },
    ]);
    t.equal('can_post_messages' in (administrators[1] ?? {}), type === 'channel');
    t.same(await look('getChatMember', { chat_id: chat, user_id: bob }), {
      user: { id: bob, is_bot: false, first_name: 'Person 2' },
      status: 'member',
    });
    t.match(await look('getChatMember', { chat_id: chat, user_id: eve }), { status: 'left', user: { id: eve } });
    t.match(await look('getChatMember', { chat_id: chat, user_id: botId }), { status: 'administrator' });
    t.equal(await look('getChatMember', { chat_id: chat, user_id: 5 }), 'Bad Request: member not found');
    t.equal(await look('getChatMember', { chat_id: chat }), 'Bad Request: invalid user_id specified');
    t.equal(await look('getChatMember', { chat_id: chat, user_id: 'x' }), 'Bad Request: invalid user_id specified');
    const info = (await look('getChat', { chat_id: String(chat) })) as Record<string, unknown>;
    t.match(info, { id: chat, type, title: `A ${type}`, invite_link: undefined });
    t.same(info.permissions !== undefined, type !== 'channel');
    const link = await look('exportChatInviteLink', { chat_id: chat });
    t.match(link, /^https:\/\/t\.me\/\+[\w-]{16}$/);
    t.equal(((await look('getChat', { chat_id: chat })) as Record<string, unknown>).invite_link, link);
  }
  t.equal(await look('getChatMemberCount', { chat_id: ann }), 2);
  t.equal(
    await look('getChatAdministrators', { chat_id: ann }),
    'Bad Request: there are no administrators in the private chat',
  );
  t.match(await look('getChatMember', { chat_id: ann, user_id: ann }), { status: 'member', user: { id: ann } });
  t.equal(await look('getChatMember', { chat_id: ann, user_id: bob }), 'Bad Request: member not found');

  const open = (await local('POST', 'chats', { type: 'channel', title: 'Open', ownerId: ann, username: 'The_News' }))
    .body.id;
  t.match(await look('getChat', { chat_id: '@the_news' }), {
    id: open,
    username: 'The_News',
    active_usernames: ['The_News'],
  });
  t.equal(await look('getChat', { chat_id: '@nobody' }), 'Bad Request: chat not found');
  t.equal(
    await look('getChat', { chat_id: open }),
    'Bad Request: chat not found',
    'by its id only once the bot was there',
  );
  t.equal(
    await look('sendMessage', { chat_id: '@the_news', text: 'x' }),
    'Forbidden: bot is not a member of the channel chat',
  );
  t.equal(await look('getChat', {}), 'Bad Request: chat_id is empty');
});

t.test('bans, with a date and for ever, and their end', async (t) => {
  const clock = manualClock();
  const world = await bench(t, { clock });
  const { call, local, people, updates, botId } = world;
  await local('PUT', 'faults', { limits: 'off' });
  const [ann = 0, bob = 0, admin = 0] = await people(3);
  const supergroup = await makeChat(world, 'supergroup', ann, ['can_restrict_members']);
  await local('PUT', `chats/${supergroup}/members/${admin}`, { status: 'administrator' });
  const act = (method: string, args: object): Promise<unknown> =>
    outcome(call(method, { chat_id: supergroup, ...args }));
  const enter = (user: number, chat = supergroup): Promise<Answer> => local('PUT', `chats/${chat}/members/${user}`, {});
  const statusOf = async (user: number): Promise<unknown> =>
    ((await act('getChatMember', { user_id: user })) as { status: string }).status;

  for (const method of ['banChatMember', 'kickChatMember', 'restrictChatMember']) {
    const args = method === 'restrictChatMember' ? { permissions: {} } : {};
    t.equal(await act(method, { user_id: ann, ...args }), "Bad Request: can't remove chat owner");
    t.equal(await act(method, { user_id: botId, ...args }), "Bad Request: can't restrict self");
    t.equal(await act(method, { user_id: admin, ...args }), 'Bad Request: user is an administrator of the chat');
    t.equal(await act(method, { user_id: 5, ...args }), 'Bad Request: member not found');
    t.equal(await act(method, { user_id: -5, ...args }), 'Bad Request: invalid user_id specified');
  }
  t.equal(
    await act('banChatMember', { chat_id: ann, user_id: ann }),
    "Bad Request: can't ban members in private chats",
  );
  const plain = await makeChat(world, 'supergroup', ann);
  for (const method of ['banChatMember', 'unbanChatMember', 'restrictChatMember']) {
    await enter(bob, plain);
    t.equal(await act(method, { chat_id: plain, user_id: bob, permissions: {} }), NO_RIGHT);
  }

  await enter(bob);
  await updates();
  const now = Math.floor(clock.now() / 1000);
  t.equal(await act('banChatMember', { user_id: bob, until_date: now + 60 }), true);
  t.match(await updates(), [
    { message: { left_chat_member: { id: bob }, from: { id: botId } } },
    {
      chat_member: {
        from: { id: botId },
        old_chat_member: { status: 'member', user: { id: bob } },
        new_chat_member: { status: 'kicked', until_date: now + 60 },
      },
    },
  ]);
  t.match((await enter(bob)).body.error, /^userId: banned/);
  t.match((await local('POST', 'messages', { from: bob, chat: supergroup, text: 'x' })).body.error, /^from:/);
  await clock.advance(60_001);
  t.equal(await statusOf(bob), 'left', 'the ban has run out');
  t.equal((await enter(bob)).status, 200);
  for (const until of [now + 60 + 20, now + 400 * DAY_S, 0, -1]) {
    t.equal(await act('banChatMember', { user_id: bob, until_date: until }), true);
    t.match(await act('getChatMember', { user_id: bob }), { status: 'kicked', until_date: 0 });
    t.equal(await act('unbanChatMember', { user_id: bob, only_if_banned: true }), true);
    t.equal(await statusOf(bob), 'left');
    t.equal((await enter(bob)).status, 200);
  }
  t.equal(await act('unbanChatMember', { user_id: bob, only_if_banned: true }), true);
  t.equal(await statusOf(bob), 'member', 'only_if_banned leaves a member alone');
  t.equal(await act('unbanChatMember', { user_id: bob }), true);
  t.equal(await statusOf(bob), 'left', 'without it a member is put out');

  const group = await makeChat(world, 'group', ann, ['can_restrict_members']);
  await enter(bob, group);
  await local('POST', 'messages', { from: ann, chat: group, text: 'seen' });
  const only = 'Bad Request: method is available for supergroup and channel chats only';
  t.equal(await act('unbanChatMember', { chat_id: group, user_id: bob }), only);
  t.equal(
    await act('restrictChatMember', { chat_id: group, user_id: bob, permissions: {} }),
    'Bad Request: method is available only for supergroups',
  );
  t.equal(await act('banChatMember', { chat_id: group, user_id: bob }), true);
  await local('POST', 'messages', { from: ann, chat: group, text: 'unseen' });
  const texts = async (): Promise<unknown[]> =>
    (await local('GET', `messages?chat=${group}&user=${bob}`)).body.flatMap(
      ({ text }: { text?: string }) => text ?? [],
    );
  t.same(await texts(), ['seen'], 'a basic group’s history stays with who leaves');
  t.equal((await enter(bob, group)).status, 200, 'and he may come back');
  await act('banChatMember', { chat_id: group, user_id: bob, revoke_messages: true });
  t.equal((await local('GET', `messages?chat=${group}&user=${bob}`)).status, 400, 'unless it is taken from him');
});

t.test('restrictions', async (t) => {
  const clock = manualClock();
  const world = await bench(t, { clock });
  const { call, local, people, updates, botId } = world;
  const [ann = 0, bob = 0] = await people(2);
  const chat = await makeChat(world, 'supergroup', ann, ['can_restrict_members']);
  await local('PUT', `chats/${chat}/members/${bob}`, {});
  await updates();
  const act = (args: object): Promise<unknown> =>
    outcome(call('restrictChatMember', { chat_id: chat, user_id: bob, ...args }));
  const member = (): Promise<unknown> => outcome(call('getChatMember', { chat_id: chat, user_id: bob }));
  const write = async (): Promise<number> => (await local('POST', 'messages', { from: bob, chat, text: 'x' })).status;
  t.equal(await act({ permissions: '[' }), "Bad Request: can't parse permissions JSON object");
  t.equal(await act({ permissions: [] }), 'Bad Request: object expected as permissions');
  t.equal(
    await act({ permissions: { can_send_messages: 'yes' } }),
    'Bad Request: can\'t parse chat permissions: field "can_send_messages" must be of type Boolean',
  );
  const until = Math.floor(clock.now() / 1000) + 3600;
  t.equal(await act({ permissions: JSON.stringify({ can_send_messages: false }), until_date: until }), true);
  t.match(await updates(), [
    {
      chat_member: {
        from: { id: botId },
        new_chat_member: { status: 'restricted', is_member: true, until_date: until, can_send_messages: false },
      },
    },
  ]);
  t.equal(await write(), 400);
  await clock.advance(3_600_001);
  t.match(await member(), { status: 'member' });
  t.equal(await write(), 200);

  t.equal(await act({ permissions: { can_send_polls: true, can_pin_messages: true } }), true);
  t.match(await member(), {
    can_send_messages: true,
    can_send_polls: true,
    can_send_photos: false,
    can_manage_topics: true,
    can_edit_tag: true,
    can_react_to_messages: true,
  });
  t.equal(await act({ permissions: { can_send_other_messages: true }, use_independent_chat_permissions: true }), true);
  t.match(await member(), { can_send_messages: false, can_send_other_messages: true, can_send_photos: false });
  t.equal(await act({ can_send_media_messages: true }), true, 'the older arguments');
  t.match(await member(), {
    can_send_messages: true,
    can_send_photos: true,
    can_send_other_messages: false,
    can_send_polls: false,
  });
  t.equal((await local('DELETE', `chats/${chat}/members/${bob}`)).body.status, 'restricted', 'it outlasts his absence');
  t.match(await member(), { status: 'restricted', is_member: false });
  t.equal((await local('PUT', `chats/${chat}/members/${bob}`, {})).body.status, 'restricted');
  const { permissions: all } = (await outcome(call('getChat', { chat_id: chat }))) as { permissions: object };
  const permissions = Object.fromEntries(Object.keys(all).map((name) => [name, true]));
  t.equal(await act({ permissions }), true);
  t.match(await member(), { status: 'member' });
});

t.test('administrators are made, and bots leave', async (t) => {
  const world = await bench(t);
  const { call, local, people, updates, botId } = world;
  const [ann = 0, bob = 0, eve = 0] = await people(3);
  const rights = ['can_promote_members', 'can_delete_messages', 'can_pin_messages', 'can_restrict_members'];
  const chat = await makeChat(world, 'supergroup', ann, rights);
  await local('PUT', `chats/${chat}/members/${bob}`, {});
  await updates();
  const promote = (args: object): Promise<unknown> =>
    outcome(call('promoteChatMember', { chat_id: chat, user_id: bob, ...args }));
  t.equal(await promote({ can_delete_messages: true, can_pin_messages: 'true' }), true);
  t.match(await updates(), [
    {
      chat_member: {
        new_chat_member: {
          status: 'administrator',
          can_be_edited: true,
          can_manage_chat: true,
          can_delete_messages: true,
          can_invite_users: false,
        },
      },
    },
  ]);
  t.equal(await promote({ can_invite_users: true }), 'Bad Request: RIGHT_FORBIDDEN');
  t.equal(await promote({ user_id: eve, can_delete_messages: true }), 'Bad Request: USER_NOT_PARTICIPANT');
  t.equal(await promote({ user_id: ann, can_delete_messages: true }), "Bad Request: can't remove chat owner");
  t.equal(await promote({ user_id: botId, can_delete_messages: true }), "Bad Request: can't promote self");
  t.equal(await promote({}), true);
  t.match(await outcome(call('getChatMember', { chat_id: chat, user_id: bob })), { status: 'member' });
  await promote({ can_delete_messages: true });
  t.equal(await outcome(call('banChatMember', { chat_id: chat, user_id: bob })), true, 'whom it made, it may ban');
  const group = await makeChat(world, 'group', ann, ['can_promote_members']);
  t.match(
    await promote({ chat_id: group, user_id: ann, can_delete_messages: true }),
    /supergroup and channel chats only/,
  );
  const plain = await makeChat(world, 'supergroup', ann);
  await local('PUT', `chats/${plain}/members/${bob}`, {});
  t.equal(await promote({ chat_id: plain, can_delete_messages: true }), 'Bad Request: not enough rights');

  await updates();
  t.equal(await outcome(call('leaveChat', { chat_id: plain })), true);
  t.match(await updates(), [
    { message: { left_chat_member: { id: botId } } },
    {
      my_chat_member: {
        from: { id: botId },
        old_chat_member: { status: 'member' },
        new_chat_member: { status: 'left' },
      },
    },
  ]);
  t.equal(
    await outcome(call('sendMessage', { chat_id: plain, text: 'x' })),
    'Forbidden: bot is not a member of the supergroup chat',
  );
  t.equal(
    await outcome(call('leaveChat', { chat_id: ann })),
    "Bad Request: chat member status can't be changed in private chats",
  );
  for (const type of ['group', 'supergroup', 'channel']) {
    const left = await makeChat(world, type, ann);
    const act = (method: string, args = {}): Promise<unknown> =>
      outcome(call(method, { chat_id: left, text: 'x', ...args }));
    await act('leaveChat');
    t.equal(await act('sendMessage'), `Forbidden: bot is not a member of the ${type} chat`);
    t.equal(await act('getChatMemberCount'), `Forbidden: bot is not a member of the ${type} chat`);
    await local('PUT', `chats/${left}/members/${botId}`, {});
    await local('DELETE', `chats/${left}/members/${botId}`);
    for (const method of ['sendMessage', 'sendChatAction', 'getChatAdministrators']) {
      t.equal(await act(method, { action: 'typing' }), `Forbidden: bot was kicked from the ${type} chat`);
    }
    t.equal(typeof (await act('getChat')), type === 'group' ? 'object' : 'string', 'a group can still be looked at');
  }
  const muted = await makeChat(world, 'supergroup', ann);
  const { token } = (await local('POST', 'bots', {})).body;
  const other = Number(token.split(':')[0]);
  await local('PUT', `chats/${muted}/members/${other}`, { status: 'administrator' });
  t.equal(await outcome(call('restrictChatMember', { chat_id: muted, user_id: botId, permissions: {} }, token)), true);
  t.equal(
    await outcome(call('sendMessage', { chat_id: muted, text: 'x' })),
    'Bad Request: not enough rights to send text messages to the chat',
  );
  const channel = await makeChat(world, 'channel', ann, ['can_invite_users']);
  t.equal(
    await outcome(call('sendMessage', { chat_id: channel, text: 'x' })),
    'Bad Request: need administrator rights in the channel chat',
  );
});

t.test('a group becomes a supergroup, chats are deleted', async (t) => {
  const world = await bench(t);
  const { call, local, people, updates, botId } = world;
  await local('PUT', 'faults', { limits: 'off' });
  const [ann = 0, bob = 0] = await people(2);
  const group = await makeChat(world, 'group', ann);
  await local('PUT', `chats/${group}/members/${bob}`, {});
  const { message_id: sent } = (await call('sendMessage', { chat_id: group, text: 'before' })).body.result;
  await updates();
  const { id: supergroup } = (await local('POST', `chats/${group}/upgrade`, {})).body;
  t.ok(supergroup < -1_000_000_000_000);
  t.match(await updates(), [
    { message: { chat: { id: group, type: 'group' }, migrate_to_chat_id: supergroup } },
    { message: { message_id: 1, chat: { id: supergroup, type: 'supergroup' }, migrate_from_chat_id: group } },
  ]);
  const refused = await call('sendMessage', { chat_id: group, text: 'x' });
  t.same(refused.body, {
    ok: false,
    error_code: 400,
    description: 'Bad Request: group chat was upgraded to a supergroup chat',
    parameters: { migrate_to_chat_id: supergroup },
  });
  t.equal((await call('getChat', { chat_id: group })).body.result.type, 'group');
  t.equal((await call('editMessageText', { chat_id: group, message_id: sent, text: 'after' })).body.ok, true);
  t.equal((await call('sendMessage', { chat_id: supergroup, text: 'x' })).body.result.message_id, 2);
  t.equal((await call('getChatMemberCount', { chat_id: supergroup })).body.result, 3);
  t.match((await call('deleteMessage', { chat_id: supergroup, message_id: 1 })).body.description, /can't be deleted$/);
  t.match((await local('POST', `chats/${supergroup}/upgrade`)).body.error, /^id:/);
  t.match((await local('POST', `chats/${group}/upgrade`)).body.error, /^id: .* was upgraded/);
  t.match(
    (await local('POST', 'messages', { from: bob, chat: group, text: 'x' })).body.error,
    /^chat: .* was upgraded/,
  );

  for (const [type, text] of [
    ['group', 'Forbidden: the group chat was deleted'],
    ['supergroup', 'Forbidden: bot was kicked from the supergroup chat'],
    ['channel', 'Forbidden: bot was kicked from the channel chat'],
  ] as const) {
    const chat = await makeChat(world, type, ann);
    t.same((await local('DELETE', `chats/${chat}`)).body, { id: chat });
    t.equal(await outcome(call('sendMessage', { chat_id: chat, text: 'x' })), text);
    t.match((await local('DELETE', `chats/${chat}`)).body.error, /^id: .* was deleted/);
    t.match((await local('PUT', `chats/${chat}/members/${bob}`, {})).body.error, /^id:/);
  }
  for (const [path, body, field] of [
    [`chats/-5/members/${bob}`, {}, /^id:/],
    [`chats/${supergroup}/members/5`, {}, /^userId:/],
    [`chats/${supergroup}/members/x`, {}, /^userId:/],
    [`chats/${supergroup}/members/${ann}`, {}, /^userId: the owner/],
    [`chats/${supergroup}/members/${bob}`, { status: 'left' }, /^status:/],
    [`chats/${supergroup}/members/${bob}`, { rights: [] }, /^rights:/],
    [`chats/${supergroup}/members/${bob}`, { status: 'administrator', rights: ['can_fly'] }, /^rights\[0\]:/],
    [`chats/${supergroup}/members/${bob}`, { role: 1 }, /^role:/],
  ] as const) {
    const answer = await local('PUT', path, body);
    t.equal(answer.status, 400, path);
    t.match(answer.body.error, field);
  }
  t.match((await local('DELETE', `chats/${supergroup}/members/${ann}`)).body.error, /^userId:/);
  t.match((await local('DELETE', `chats/${supergroup}/members/${botId + 99}`)).body.error, /^userId:/);
});
