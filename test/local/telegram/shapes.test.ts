import { dirname, join } from 'node:path';
import t from 'tap';
import { needed } from '../../support/needs.js';
import { startProcess } from '../../support/posthorn-process.js';
import { bench } from './telegram-bench.js';

const SCRIPT = join(import.meta.dirname, 'clients/aiogram_shapes.py');

const RIGHTS = ['can_invite_users', 'can_restrict_members', 'can_promote_members', 'can_delete_messages'];

t.test('all results and updates have the shapes that a client library with types of its own asks for', async (t) => {
  const marker = needed(t, 'telegram-clients');
  if (marker === undefined) return;
  const { call, local, people, updates, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const recorded: { method: string; result: unknown }[] = [];
  const done = async (method: string, args: Record<string, unknown> = {}) => {
    const { status, body } = await call(method, args);
    if (status !== 200) throw new Error(`${method}: ${JSON.stringify(body)}`);
    recorded.push({ method, result: body.result });
    return body.result;
  };
  const act = async (method: string, path: string, body?: unknown) => {
    const answer = await local(method, path, body);
    if (answer.status !== 200) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const seen = async () => {
    recorded.push({ method: 'getUpdates', result: await updates() });
  };
  const [ada = 0, bob = 0, eve = 0] = await people(3, { languageCode: 'eo', username: 'person' });
  const reply_markup = {
    inline_keyboard: [
      [
        { text: 'Yes', callback_data: 'yes' },
        { text: 'Site', url: 'https://example.org' },
      ],
    ],
  };
  await updates();

  await done('getMe');
  await done('setMyCommands', { commands: [{ command: 'start', description: 'Begin' }] });
  await done('getMyCommands');
  await done('getWebhookInfo');
  await act('POST', 'messages', { from: ada, chat: botId, text: '/start see https://example.org #now' });
  await seen();
  const sent = await done('sendMessage', {
    chat_id: ada,
    text: '<b>Hello</b> <a href="tg://user?id=100000002">you</a>',
    parse_mode: 'HTML',
    reply_markup,
  });
  await done('sendMessage', { chat_id: ada, text: 'So it is', reply_parameters: { message_id: sent.message_id } });
  await done('editMessageText', { chat_id: ada, message_id: sent.message_id, text: 'Changed', reply_markup });
  await done('editMessageReplyMarkup', { chat_id: ada, message_id: sent.message_id });
  await done('pinChatMessage', { chat_id: ada, message_id: sent.message_id });
  await done('getChat', { chat_id: ada });
  await done('sendChatAction', { chat_id: ada, action: 'typing' });
  await done('deleteMessage', { chat_id: ada, message_id: sent.message_id });
  await act('PUT', `blocks/${ada}/${botId}`);
  await act('DELETE', `blocks/${ada}/${botId}`);
  await seen();

  for (const type of ['group', 'supergroup', 'channel'] as const) {
    const { id: chat } = await act('POST', 'chats', { type, title: `A ${type}`, ownerId: ada });
    await act('PUT', `chats/${chat}/members/${botId}`, {
      status: 'administrator',
      rights: [...RIGHTS, ...(type === 'channel' ? ['can_post_messages', 'can_edit_messages'] : ['can_pin_messages'])],
    });
    await seen();
    const inGroup = await done('sendMessage', { chat_id: chat, text: 'To all', reply_markup });
    await done('editMessageText', { chat_id: chat, message_id: inGroup.message_id, text: 'To all of you' });
    await done('pinChatMessage', { chat_id: chat, message_id: inGroup.message_id });
    const link = await done('createChatInviteLink', { chat_id: chat, name: 'On request', creates_join_request: true });
    await done('editChatInviteLink', {
      chat_id: chat,
      invite_link: link.invite_link,
      name: 'Still on request',
      creates_join_request: true,
      expire_date: 1_900_000_000,
    });
    await done('exportChatInviteLink', { chat_id: chat });
    for (const person of [bob, eve])
      await act('PUT', `chats/${chat}/members/${person}`, { inviteLink: link.invite_link });
    await seen();
    await done('approveChatJoinRequest', { chat_id: chat, user_id: bob });
    await done('declineChatJoinRequest', { chat_id: chat, user_id: eve });
    await done('revokeChatInviteLink', { chat_id: chat, invite_link: link.invite_link });
    if (type !== 'channel') await act('POST', 'messages', { from: bob, chat, text: 'A good day to all' });
    await done('getChat', { chat_id: chat });
    await done('getChatMemberCount', { chat_id: chat });
    await done('getChatAdministrators', { chat_id: chat });
    for (const user_id of [ada, bob, eve, botId]) await done('getChatMember', { chat_id: chat, user_id });
    if (type === 'supergroup') {
      await done('restrictChatMember', { chat_id: chat, user_id: bob, permissions: { can_send_polls: true } });
      await done('getChatMember', { chat_id: chat, user_id: bob });
      await done('promoteChatMember', { chat_id: chat, user_id: bob, can_invite_users: true });
      await done('getChatMember', { chat_id: chat, user_id: bob });
    }
    await done('banChatMember', { chat_id: chat, user_id: eve });
    await done('getChatMember', { chat_id: chat, user_id: eve });
    if (type !== 'group') await done('unbanChatMember', { chat_id: chat, user_id: eve, only_if_banned: true });
    await seen();
    if (type === 'group') await act('POST', `chats/${chat}/upgrade`, {});
    else await done('leaveChat', { chat_id: chat });
    await seen();
  }

  const checker = startProcess(t, {
    command: [join(dirname(marker), 'bin/python')],
    args: [SCRIPT],
    cwd: t.testdir(),
    input: recorded.map((one) => `${JSON.stringify(one)}\n`).join(''),
  });
  await checker.ended();
  const verdicts = checker.stdout().trimEnd().split('\n');
  t.equal(verdicts.length, recorded.length, 'each was looked at');
  for (const [place, verdict] of verdicts.entries()) {
    if (!verdict.endsWith(': fits')) t.fail(`${verdict}\n${JSON.stringify(recorded[place]?.result)}`);
  }
});
