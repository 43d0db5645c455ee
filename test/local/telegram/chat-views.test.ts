import t from 'tap';
import { type Bench, bench } from './telegram-bench.js';

async function person(local: Bench['local'], wish: object = {}): Promise<number> {
  return (await local('POST', 'people', wish)).body.id;
}

t.test('people are listed newest first, page by page', async (t) => {
  const { local } = await bench(t);
  await local('POST', 'people', { firstName: 'Ann', username: 'ann' });
  const { ids } = (await local('POST', 'people', { count: 5, started: false })).body;
  const list = async (query: string) => (await local('GET', `people${query}`)).body;
  t.same(
    (await list('')).map(({ id }: { id: number }) => id),
    [...ids.toReversed(), ids[0] - 1],
  );
  t.same((await list('?limit=1'))[0], { id: ids[4], firstName: 'Person 6', started: false });
  t.same(await list(`?limit=3&after=${ids[1]}`), [
    { id: ids[0], firstName: 'Person 2', started: false },
    { id: ids[0] - 1, firstName: 'Ann', username: 'ann', started: true },
  ]);
  for (const query of ['?limit=0', '?limit=1001', '?limit=x', '?after=x', '?before=1']) {
    t.equal((await local('GET', `people${query}`)).status, 400, query);
  }
});

t.test('a person sees every bot among the chats, with the newest message and the block', async (t) => {
  const { call, local, botId } = await bench(t);
  const ann = await person(local);
  const other = (await local('POST', 'bots', { username: 'other_bot', name: 'Other' })).body;
  await call('sendMessage', { chat_id: ann, text: 'older' });
  await local('POST', 'messages', { from: ann, chat: botId, text: 'newer' });
  await local('PUT', `blocks/${ann}/${other.id}`);
  const chats = (await local('GET', `chats?user=${ann}`)).body;
  t.match(chats, [
    { id: botId, type: 'private', title: 'Posthorn', blocked: false, last: { text: 'newer' } },
    { id: other.id, type: 'private', title: 'Other', username: 'other_bot', blocked: true, last: undefined },
  ]);
  t.equal((await local('GET', 'chats?user=1')).status, 400);
  t.equal((await local('GET', 'chats')).status, 400);
});

t.test('the menu of commands is that of the narrowest scope, in the language of the person', async (t) => {
  const { call, local, botId } = await bench(t);
  const german = await person(local, { languageCode: 'de-AT' });
  const other = await person(local, { languageCode: 'en' });
  const menu = async (user: number) =>
    (await local('GET', `commands?chat=${botId}&user=${user}`)).body.map(
      ({ command, description }: { command: string; description: string }) => `${command}: ${description}`,
    );
  const set = (description: string, more: object) =>
    call('setMyCommands', { commands: [{ command: 'go', description }], ...more });
  t.same(await menu(german), []);
  await set('default', {});
  await set('gruppen', { scope: { type: 'all_group_chats' } });
  t.same(await menu(german), ['go: default']);
  await set('vorgabe', { language_code: 'de' });
  t.same([await menu(german), await menu(other)], [['go: vorgabe'], ['go: default']]);
  await set('private', { scope: { type: 'all_private_chats' } });
  t.same([await menu(german), await menu(other)], [['go: private'], ['go: private']]);
  await set('yours', { scope: { type: 'chat', chat_id: other } });
  t.same([await menu(german), await menu(other)], [['go: private'], ['go: yours']]);
  await call('deleteMyCommands', { scope: { type: 'chat', chat_id: other } });
  t.same(await menu(other), ['go: private']);
});

t.test('in a group the menu is that of each bot there, for administrators their own', async (t) => {
  const { call, local, botId } = await bench(t);
  const [owner, member] = [await person(local), await person(local)];
  const { id: chat } = (await local('POST', 'chats', { type: 'supergroup', title: 'G', ownerId: owner })).body;
  await local('PUT', `chats/${chat}/members/${member}`);
  const menu = async (user: number) =>
    (await local('GET', `commands?chat=${chat}&user=${user}`)).body.map(
      ({ botUsername, command }: { botUsername: string; command: string }) => `${command}@${botUsername}`,
    );
  const set = (command: string, scope: object) =>
    call('setMyCommands', { commands: [{ command, description: 'x' }], scope });
  await set('everywhere', { type: 'default' });
  t.same(await menu(member), [], 'the bot is not there yet');
  await local('PUT', `chats/${chat}/members/${botId}`);
  t.same(await menu(member), ['everywhere@posthorn_local_bot']);
  await set('private', { type: 'all_private_chats' });
  await set('groups', { type: 'all_group_chats' });
  await set('admins', { type: 'all_chat_administrators' });
  t.same([await menu(owner), await menu(member)], [['admins@posthorn_local_bot'], ['groups@posthorn_local_bot']]);
  await set('here', { type: 'chat', chat_id: chat });
  t.same([await menu(owner), await menu(member)], [['here@posthorn_local_bot'], ['here@posthorn_local_bot']]);
  await set('rulers', { type: 'chat_administrators', chat_id: chat });
  await set('mine', { type: 'chat_member', chat_id: chat, user_id: member });
  t.same([await menu(owner), await menu(member)], [['rulers@posthorn_local_bot'], ['mine@posthorn_local_bot']]);
});

t.test(
  'who is in a chat sees who else is there; who runs it the links; everyone with a link where it leads',
  async (t) => {
    const { call, local, botId } = await bench(t);
    const [owner, member, stranger] = [
      await person(local, { firstName: 'Owner' }),
      await person(local, { firstName: 'Member' }),
      await person(local, { firstName: 'Stranger' }),
    ];
    const { id: chat } = (await local('POST', 'chats', { type: 'channel', title: 'News', ownerId: owner })).body;
    await local('PUT', `chats/${chat}/members/${member}`);
    await local('PUT', `chats/${chat}/members/${botId}`);
    t.match((await local('GET', `chats/${chat}/members?user=${member}`)).body, [
      { user: { id: owner, first_name: 'Owner' }, status: 'creator' },
      { user: { id: botId, is_bot: true }, status: 'administrator' },
      { user: { id: member }, status: 'member' },
    ]);
    t.match(await local('GET', `chats/${chat}/members?user=${stranger}`), { status: 400, body: { error: /^user:/ } });
    t.match(await local('GET', `chats/${botId}/members?user=${member}`), { status: 400, body: { error: /^id:/ } });

    const link = (await call('createChatInviteLink', { chat_id: chat, name: 'door', creates_join_request: true })).body
      .result.invite_link as string;
    const gone = (await call('createChatInviteLink', { chat_id: chat })).body.result.invite_link as string;
    await call('revokeChatInviteLink', { chat_id: chat, invite_link: gone });
    const links = (await local('GET', `chats/${chat}/links?user=${owner}`)).body;
    t.same(links, [{ link, name: 'door', createsJoinRequest: true }]);
    t.match(await local('GET', `chats/${chat}/links?user=${member}`), { status: 400, body: { error: /^user:/ } });
    t.same((await local('GET', `invites?link=${encodeURIComponent(link)}`)).body, {
      id: chat,
      type: 'channel',
      title: 'News',
      createsJoinRequest: true,
    });
    t.match(await local('GET', 'invites?link=x'), { status: 400, body: { error: /^link:/ } });

    const others = async (user: number) => (await local('GET', `chats?user=${user}&in=false`)).body;
    t.same(await others(member), []);
    t.match(await others(stranger), [{ id: chat, title: 'News', members: 3, status: 'left', requested: false }]);
    await call('sendMessage', { chat_id: chat, text: 'for subscribers' });
    t.notOk('last' in (await others(stranger))[0], 'what is said there is not shown to those outside');
    await local('PUT', `chats/${chat}/members/${stranger}`, { inviteLink: link });
    t.match(await others(stranger), [{ requested: true }]);
    t.match(await local('GET', `chats?user=${stranger}&in=maybe`), { status: 400, body: { error: /^in:/ } });
    const [, news] = (await local('GET', `chats?user=${member}`)).body;
    t.match(news, { canWrite: false, status: 'member', last: { text: 'for subscribers', from: { title: 'News' } } });
  },
);

t.test('the messages of a chat are read from the newest back, a hundred at a time', async (t) => {
  const { local, botId } = await bench(t);
  const [ann, bob] = [await person(local), await person(local)];
  const written: number[] = [];
  for (let i = 0; i < 230; i += 1) {
    written.push((await local('POST', 'messages', { from: ann, chat: botId, text: `${i}` })).body.messageId);
    if (i % 50 === 0) await local('POST', 'messages', { from: bob, chat: botId, text: 'between' });
  }
  await local('DELETE', 'messages', { from: ann, chat: botId, messageId: written[100] });
  const page = async (more: string): Promise<number[]> =>
    (await local('GET', `messages?chat=${botId}&user=${ann}&limit=100${more}`)).body.map(
      ({ messageId }: { messageId: number }) => messageId,
    );
  const newest = await page('');
  t.same(newest, written.slice(130));
  const middle = await page(`&before=${newest[0]}`);
  t.same(middle, [...written.slice(29, 100), ...written.slice(101, 130)]);
  t.same(await page(`&before=${middle[0]}`), written.slice(0, 29));
  t.same(await page(`&before=${written[0]}`), []);
  t.same(await page(`&after=${written[3]}&before=${written[6]}`), [written[4], written[5]]);
  t.match(await local('GET', `messages?chat=${botId}&user=${ann}&before=x`), {
    status: 400,
    body: { error: /^before:/ },
  });
  const all = (await local('GET', `messages?chat=${botId}&user=${ann}`)).body;
  t.equal(all.length, 229, 'without a limit, all of them');
  for (const limit of ['0', '10001', 'x']) {
    t.match(await local('GET', `messages?chat=${botId}&user=${ann}&limit=${limit}`), {
      status: 400,
      body: { error: 'limit: expected a whole number of 1 to 10000' },
    });
  }
});

t.test('a person sees what happened in a group, and what a message answers', async (t) => {
  const { call, local, botId } = await bench(t);
  const [owner, other] = [await person(local, { firstName: 'Owner' }), await person(local, { firstName: 'Other' })];
  const { id: chat } = (await local('POST', 'chats', { type: 'group', title: 'G', ownerId: owner })).body;
  await local('PUT', `chats/${chat}/members/${botId}`, { status: 'administrator' });
  await local('PUT', `chats/${chat}/members/${other}`);
  const { messageId } = (await local('POST', 'messages', { from: other, chat, text: 'Hello' })).body;
  await local('POST', 'messages', { from: owner, chat, text: 'Hi', replyTo: messageId });
  await call('pinChatMessage', { chat_id: chat, message_id: messageId });
  await local('DELETE', `chats/${chat}/members/${other}`);
  const seen = (await local('GET', `messages?chat=${chat}&user=${owner}`)).body;
  t.match(seen, [
    { from: { id: owner }, service: { joined: [{ id: botId }] } },
    { from: { id: other }, service: { joined: [{ id: other, first_name: 'Other' }] } },
    { text: 'Hello', service: undefined, replyTo: undefined },
    { text: 'Hi', replyTo: messageId },
    { from: { id: botId }, service: { pinned: messageId } },
    { from: { id: other }, service: { left: { id: other } } },
  ]);
  const { id: next } = (await local('POST', `chats/${chat}/upgrade`)).body;
  t.match((await local('GET', `messages?chat=${next}&user=${owner}`)).body[0], { service: { upgraded: true } });
});
