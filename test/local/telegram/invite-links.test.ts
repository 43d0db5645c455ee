import t from 'tap';
import { type Answer, bench, manualClock } from './telegram-bench.js';

t.test('links are made, changed, revoked and followed', async (t) => {
  const clock = manualClock();
  const { call, local, people, updates, botId } = await bench(t, { clock });
  const [ann = 0, bob = 0, eve = 0, kim = 0] = await people(4);
  const { id: chat } = (await local('POST', 'chats', { type: 'supergroup', title: 'S', ownerId: ann })).body;
  const member = `chats/${chat}/members`;
  await local('PUT', `${member}/${botId}`, {});
  const act = async (method: string, args: object = {}): Promise<Answer['body']> => {
    const { body } = await call(method, { chat_id: chat, ...args });
    return body.ok === true ? body.result : body.description;
  };
  for (const method of ['createChatInviteLink', 'editChatInviteLink', 'revokeChatInviteLink', 'exportChatInviteLink']) {
    t.equal(await act(method), 'Bad Request: not enough rights to manage chat invite link');
    t.equal(await act(method, { chat_id: ann }), "Bad Request: can't invite members to a private chat");
  }
  await local('PUT', `${member}/${botId}`, { status: 'administrator', rights: ['can_invite_users'] });
  const now = Math.floor(clock.now() / 1000);
  const wish = { name: `A name ${'x'.repeat(40)}`, expire_date: now + 100, member_limit: 1 };
  const link = await act('createChatInviteLink', wish);
  t.same(link, {
    invite_link: link.invite_link,
    name: `A name ${'x'.repeat(25)}`,
    creator: { id: botId, is_bot: true, first_name: 'Posthorn', username: 'posthorn_local_bot' },
    expire_date: now + 100,
    member_limit: 1,
    creates_join_request: false,
    is_primary: false,
    is_revoked: false,
  });
  t.equal(
    await act('createChatInviteLink', { member_limit: 2, creates_join_request: true }),
    "Bad Request: member limit can't be specified for links requiring administrator approval",
  );
  t.equal(await act('createChatInviteLink', { expire_date: now - 1 }), 'Bad Request: EXPIRE_DATE_INVALID');
  const inviteLink = link.invite_link;
  const enter = async (user: number, body: object = { inviteLink }): Promise<Answer['body']> =>
    (await local('PUT', `${member}/${user}`, body)).body;
  await updates();
  t.same(await enter(bob), { status: 'member' });
  t.match(await updates(), [
    {
      chat_member: {
        from: { id: bob },
        new_chat_member: { status: 'member' },
        invite_link: { invite_link: inviteLink, member_limit: 1 },
      },
    },
    { message: { new_chat_members: [{ id: bob }], from: { id: bob } } },
  ]);
  t.same(await enter(bob), { status: 'member' }, 'a second time is nothing new');
  t.same(await updates(), []);
  t.match((await enter(eve)).error, /^inviteLink: as many/);
  await local('DELETE', `${member}/${bob}`);
  t.same(await enter(eve), { status: 'member' }, 'it counts who is in');
  await clock.advance(100_000);
  t.match((await enter(kim)).error, /^inviteLink: the link has expired/);
  const edited = await act('editChatInviteLink', { invite_link: inviteLink, name: 'B' });
  t.match(edited, { invite_link: inviteLink, name: 'B', is_revoked: false });
  t.notOk('expire_date' in edited || 'member_limit' in edited, 'what is not given again is gone');
  t.same(await enter(kim), { status: 'member' });
  t.match(await act('revokeChatInviteLink', { invite_link: inviteLink }), { is_revoked: true });
  t.match((await enter(bob)).error, /^inviteLink: the link is revoked/);
  t.equal(await act('editChatInviteLink', { invite_link: inviteLink }), 'Bad Request: INVITE_HASH_EXPIRED');
  t.equal(await act('revokeChatInviteLink', { invite_link: 'https://t.me/+x' }), 'Bad Request: INVITE_HASH_EXPIRED');
  t.equal(await act('revokeChatInviteLink'), 'Bad Request: invite link must be non-empty');

  const primary = await act('exportChatInviteLink');
  t.equal(await act('editChatInviteLink', { invite_link: primary }), 'Bad Request: CHAT_INVITE_PERMANENT');
  t.match(await act('revokeChatInviteLink', { invite_link: primary }), { is_primary: true, is_revoked: true });
  const next = (await act('getChat')).invite_link;
  t.match(next, /^https:/);
  t.not(next, primary, 'a new primary link takes its place');
  const again = await act('exportChatInviteLink');
  t.match((await enter(bob, { inviteLink: next })).error, /revoked/);
  t.same(await enter(bob, { inviteLink: again }), { status: 'member' });

  for (const [user, body, field] of [
    [bob, { inviteLink: 5 }, /^inviteLink:/],
    [bob, { inviteLink: 'x' }, /^inviteLink: there is no/],
    [bob, { inviteLink: again, status: 'member' }, /^status:/],
    [bob, { inviteLink: again, rights: [] }, /^rights:/],
    [botId, { inviteLink: again }, /^inviteLink:/],
  ] as const) {
    t.match((await enter(user, body)).error, field);
  }
});

t.test('requests to join are answered', async (t) => {
  const clock = manualClock();
  const { call, local, people, updates, botId } = await bench(t, { clock });
  await local('PUT', 'faults', { limits: 'off' });
  const [ann = 0, bob = 0] = await people(2);
  const [stranger = 0, second = 0] = await people(2, { started: false });
  const { id: otherBot, token: otherToken } = (await local('POST', 'bots', {})).body;
  const { id: chat } = (await local('POST', 'chats', { type: 'channel', title: 'C', ownerId: ann })).body;
  await local('PUT', `chats/${chat}/members/${botId}`, {});
  await local('PUT', `chats/${chat}/members/${otherBot}`, {});
  const act = async (method: string, args: object = {}): Promise<Answer['body']> => {
    const { body } = await call(method, { chat_id: chat, ...args });
    return body.ok === true ? body.result : body.description;
  };
  const approve = (user: number): Promise<unknown> => act('approveChatJoinRequest', { user_id: user });
  const link = await act('createChatInviteLink', { creates_join_request: true });
  const inviteLink = link.invite_link;
  const ask = async (user: number): Promise<Answer['body']> =>
    (await local('PUT', `chats/${chat}/members/${user}`, { inviteLink })).body;
  const write = (user: number): Promise<Answer['body']> => act('sendMessage', { chat_id: user, text: 'x' });
  t.match(await write(stranger), /can't initiate conversation/);
  await updates();
  await updates(otherToken);
  t.same(await ask(stranger), { status: 'requested' });
  t.same(await ask(stranger), { status: 'requested' });
  const told = await updates();
  t.equal(told.length, 1);
  t.match(told[0].chat_join_request, {
    chat: { id: chat, type: 'channel' },
    from: { id: stranger },
    user_chat_id: stranger,
    date: Math.floor(clock.now() / 1000),
    invite_link: { invite_link: inviteLink, creates_join_request: true, pending_join_request_count: 1 },
  });
  const [others] = await updates(otherToken);
  t.match(
    others.chat_join_request.invite_link.invite_link,
    /^https:\/\/t\.me\/\+[\w-]{8}…$/,
    'another’s link is not shown whole',
  );

  t.match(await write(stranger), { text: 'x' });
  await clock.advance(299_999);
  t.match(await write(stranger), { text: 'x' }, 'for five minutes');
  await clock.advance(1);
  t.match(await write(stranger), /can't initiate conversation/);

  t.equal(
    (await act('editChatInviteLink', { invite_link: inviteLink, creates_join_request: true }))
      .pending_join_request_count,
    1,
  );
  t.equal(await approve(stranger), true);
  t.match(await updates(), [
    {
      chat_member: {
        from: { id: botId },
        old_chat_member: { status: 'left' },
        new_chat_member: { status: 'member', user: { id: stranger } },
        via_join_request: true,
        invite_link: { invite_link: inviteLink },
      },
    },
  ]);
  t.equal(await approve(stranger), 'Bad Request: USER_ALREADY_PARTICIPANT');
  t.equal(await approve(bob), 'Bad Request: HIDE_REQUESTER_MISSING');
  t.equal(await approve(0), 'Bad Request: invalid user_id specified');
  await ask(second);
  t.equal(await act('declineChatJoinRequest', { user_id: second }), true);
  t.equal(await act('declineChatJoinRequest', { user_id: second }), 'Bad Request: HIDE_REQUESTER_MISSING');
  await ask(bob);
  t.same((await local('DELETE', `chats/${chat}/members/${bob}`)).body, { status: 'left' }, 'a request is taken back');
  t.equal(await approve(bob), 'Bad Request: HIDE_REQUESTER_MISSING');
  await ask(bob);
  await local('PUT', `chats/${chat}/members/${bob}`, {});
  t.equal(await approve(bob), 'Bad Request: USER_ALREADY_PARTICIPANT', 'who came in another way asks no more');
  await local('PUT', `chats/${chat}/members/${botId}`, { status: 'administrator', rights: ['can_post_messages'] });
  t.equal(await approve(bob), 'Bad Request: not enough rights to manage chat join requests');
  t.match(await act('approveChatJoinRequest', { chat_id: ann, user_id: bob }), /private chat/);
});
