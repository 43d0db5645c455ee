import t from 'tap';
import { bench, manualClock } from './telegram-bench.js';

const HOUR_MS = 3600 * 1000;
const NOT_MODIFIED =
  'Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message';
const KEYBOARD = { inline_keyboard: [[{ text: 'a', callback_data: 'b' }]] };

t.test('bots edit what they wrote, in every chat', async (t) => {
  const { call, local, people, updates, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [ann = 0] = await people(1);
  const { id: group } = (await local('POST', 'chats', { type: 'group', title: 'G', ownerId: ann })).body;
  const { id: channel } = (await local('POST', 'chats', { type: 'channel', title: 'C', ownerId: ann })).body;
  for (const chat of [group, channel]) await local('PUT', `chats/${chat}/members/${botId}`, {});
  for (const chat of [ann, group, channel]) {
    const seen = async (): Promise<unknown[]> =>
      (await local('GET', `messages?chat=${chat === ann ? botId : chat}&user=${ann}`)).body;
    const { message_id: id } = (await call('sendMessage', { chat_id: chat, text: 'one @name', reply_markup: KEYBOARD }))
      .body.result;
    const edit = async (method: string, args: object): Promise<{ result: object; description: string }> =>
      (await call(method, { chat_id: chat, message_id: id, ...args })).body;
    const same = { text: 'one @name', reply_markup: KEYBOARD };
    t.equal((await edit('editMessageText', same)).description, NOT_MODIFIED);
    t.equal((await edit('editMessageReplyMarkup', { reply_markup: KEYBOARD })).description, NOT_MODIFIED);
    const { result } = await edit('editMessageReplyMarkup', {});
    t.match(result, { text: 'one @name', entities: [{ type: 'mention' }], reply_markup: undefined });
    t.notOk('edit_date' in result, 'a changed keyboard is no edit');
    t.equal((await edit('editMessageReplyMarkup', {})).description, NOT_MODIFIED);
    t.match((await edit('editMessageText', { text: 'two' })).result, { text: 'two', edit_date: Number });
    t.match((await seen()).at(-1), { messageId: id, text: 'two', editDate: Number });
    t.notOk('entities' in ((await seen()).at(-1) as object));
    t.equal(
      (await edit('editMessageText', { message_id: 99, text: 'x' })).description,
      'Bad Request: message to edit not found',
    );
    t.equal((await edit('editMessageText', { text: '' })).description, 'Bad Request: message text is empty');
    const markup = { keyboard: [[{ text: 'a' }]] };
    t.equal(
      (await edit('editMessageReplyMarkup', { reply_markup: markup })).description,
      'Bad Request: inline keyboard expected',
    );
    const from = { from: ann, chat: chat === ann ? botId : chat };
    const { messageId } = (await local('POST', 'messages', { ...from, text: '/mine' })).body;
    const others = await call('editMessageText', { chat_id: chat, message_id: messageId, text: 'x' });
    if (chat === channel) t.equal(others.body.result.text, 'x', 'an administrator of a channel edits others’ posts');
    else t.equal(others.body.description, "Bad Request: message can't be edited");
    if (chat === group) {
      t.equal(
        (await call('editMessageText', { chat_id: chat, message_id: 1, text: 'x' })).body.description,
        "Bad Request: message can't be edited",
      );
    }
  }
  t.equal(
    (await call('editMessageText', { text: 'x' })).body.description,
    'Bad Request: message identifier is not specified',
  );
  t.equal(
    (await call('editMessageText', { text: 'x', inline_message_id: 'x' })).body.description,
    'Bad Request: MESSAGE_ID_INVALID',
  );

  await updates();
  const cases: [number, number, string][] = [
    [botId, ann, 'edited_message'],
    [group, group, 'edited_message'],
    [channel, channel, 'edited_channel_post'],
  ];
  for (const [chat, id, kind] of cases) {
    const { messageId } = (await local('POST', 'messages', { from: ann, chat, text: '/a' })).body;
    await updates();
    const edited = await local('PUT', 'messages', { from: ann, chat, messageId, text: '/b there' });
    t.same(edited.body, { messageId });
    const [update] = await updates();
    t.match(update[kind], { message_id: messageId, chat: { id }, text: '/b there', edit_date: Number });
    t.match(update[kind].entities, [{ type: 'bot_command', offset: 0, length: 2 }]);
    const reply = await call('sendMessage', { chat_id: id, text: 'r', reply_parameters: { message_id: messageId } });
    t.equal(reply.body.result.reply_to_message.text, '/b there', 'the newest version is shown');
    t.match((await local('PUT', 'messages', { from: ann, chat, messageId, text: '' })).body.error, /^text:/);
    t.match((await local('PUT', 'messages', { from: ann, chat, messageId: 77, text: 'x' })).body.error, /^messageId:/);
    const notHis = { from: ann, chat, messageId: reply.body.result.message_id, text: 'x' };
    t.match((await local('PUT', 'messages', notHis)).body.error, /^messageId:/);
  }
});

t.test('messages are deleted within 48 hours, by who may', async (t) => {
  const clock = manualClock();
  const { call, local, people, updates, botId } = await bench(t, { clock });
  await local('PUT', 'faults', { limits: 'off' });
  const [ann = 0, bob = 0] = await people(2);
  const make = async (type: string, rights?: string[]): Promise<number> => {
    const { id } = (await local('POST', 'chats', { type, title: type, ownerId: ann })).body;
    await local('PUT', `chats/${id}/members/${bob}`, {});
    await local('PUT', `chats/${id}/members/${botId}`, rights === undefined ? {} : { status: 'administrator', rights });
    return id;
  };
  const write = async (from: number, chat: number): Promise<number> =>
    (await local('POST', 'messages', { from, chat: chat > 0 ? botId : chat, text: 'x' })).body.messageId;
  const send = async (chat: number): Promise<number> =>
    (await call('sendMessage', { chat_id: chat, text: 'x' })).body.result.message_id;
  const remove = async (chat: number, id: number): Promise<string> =>
    (await call('deleteMessage', { chat_id: chat, message_id: id })).body.description ?? 'deleted';
  const forAll = "Bad Request: message can't be deleted for everyone";
  const not = "Bad Request: message can't be deleted";

  const group = await make('group');
  const adminGroup = await make('group', []);
  const supergroup = await make('supergroup');
  const moderated = await make('supergroup', ['can_delete_messages']);
  const channel = await make('channel', ['can_post_messages']);
  const cases: [number, string, string][] = [
    [ann, 'deleted', 'deleted'],
    [group, 'deleted', forAll],
    [adminGroup, 'deleted', 'deleted'],
    [supergroup, 'deleted', not],
    [moderated, 'deleted', 'deleted'],
    [channel, 'deleted', not],
  ];
  for (const [chat, own, others] of cases) {
    const mine = await send(chat);
    const his = await write(ann, chat);
    const older = [await send(chat), await write(ann, chat)];
    t.equal(await remove(chat, mine), own, `own in ${chat}`);
    t.equal(await remove(chat, his), others, `others’ in ${chat}`);
    t.equal(await remove(chat, mine), 'Bad Request: message to delete not found');
    const seen = (await local('GET', `messages?chat=${chat === ann ? botId : chat}&user=${ann}`)).body;
    t.notOk(seen.some(({ messageId }: { messageId: number }) => messageId === mine));
    await clock.advance(48 * HOUR_MS);
    for (const id of older)
      t.equal(await remove(chat, id), chat === ann || chat === group || chat === adminGroup ? forAll : not);
  }
  t.equal(await remove(supergroup, 1), not, 'a service message, without the right');
  t.equal(
    (await call('deleteMessage', { message_id: 1 })).body.description,
    'Bad Request: chat identifier is not specified',
  );
  t.equal(
    (await call('deleteMessage', { chat_id: ann })).body.description,
    'Bad Request: message identifier is not specified',
  );

  const ids = [await send(moderated), await write(bob, moderated), await send(moderated)] as const;
  const many = (args: object): ReturnType<typeof call> => call('deleteMessages', { chat_id: moderated, ...args });
  const wrong: [object, string][] = [
    [{}, 'message identifiers are not specified'],
    [{ message_ids: [] }, 'message identifiers are not specified'],
    [{ message_ids: '[' }, "can't parse message identifiers JSON object"],
    [{ message_ids: 5 }, 'expected an Array of message identifiers'],
    [{ message_ids: ['x'] }, 'invalid message identifier specified'],
    [{ message_ids: Array.from({ length: 101 }, (_, i) => i + 1) }, 'too many message identifiers specified'],
  ];
  for (const [args, text] of wrong) t.equal((await many(args)).body.description, `Bad Request: ${text}`);
  t.same(
    (await many({ message_ids: JSON.stringify([ids[0], 5000, String(ids[1])]) })).body.result,
    true,
    'unknown ones are passed over',
  );
  t.equal(await remove(moderated, ids[1]), 'Bad Request: message to delete not found');
  const last = ids[2];
  const own = await send(supergroup);
  const mixed = { chat_id: supergroup, message_ids: [own, await write(bob, supergroup)] };
  t.equal((await call('deleteMessages', mixed)).body.description, not, 'one that can’t keeps the others');
  t.equal(await remove(supergroup, own), 'deleted');

  t.match((await local('DELETE', 'messages', { from: bob, chat: moderated, messageId: last })).body.error, /^from:/);
  t.equal((await local('DELETE', 'messages', { from: ann, chat: moderated, messageId: last })).status, 200);
  t.equal(await remove(moderated, last), 'Bad Request: message to delete not found');
  t.same(
    (await updates()).filter(
      (update) =>
        update.message === undefined &&
        update.channel_post === undefined &&
        update.my_chat_member === undefined &&
        update.chat_member === undefined,
    ),
    [],
    'nobody is told of deletions',
  );
});

t.test('pins', async (t) => {
  const { call, local, people, updates, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [ann = 0] = await people(1);
  await updates();
  const noRight = 'Bad Request: not enough rights to manage pinned messages in the chat';
  for (const type of ['private', 'group', 'supergroup', 'channel']) {
    const chat = type === 'private' ? ann : (await local('POST', 'chats', { type, title: type, ownerId: ann })).body.id;
    const enter = (rights: string[] | undefined): ReturnType<typeof local> =>
      local('PUT', `chats/${chat}/members/${botId}`, rights === undefined ? {} : { status: 'administrator', rights });
    if (chat !== ann) await enter(type === 'channel' ? ['can_post_messages'] : undefined);
    const send = async (text: string): Promise<number> =>
      (await call('sendMessage', { chat_id: chat, text })).body.result.message_id;
    const pin = async (id: number): Promise<unknown> => {
      const { body } = await call('pinChatMessage', { chat_id: chat, message_id: id });
      return body.description ?? body.result;
    };
    const one = await send('one');
    if (type === 'group') {
      t.equal(await pin(one), noRight, 'in a group members do not pin');
      await enter(['can_pin_messages']);
    }
    if (type === 'channel') {
      t.equal(await pin(one), noRight);
      await enter(['can_post_messages', 'can_edit_messages']);
    }
    const two = await send('two');
    await updates();
    t.equal(await pin(one), true, type);
    const [update] = await updates();
    t.match(update.message ?? update.channel_post, {
      chat: { id: chat },
      pinned_message: { message_id: one, text: 'one' },
    });
    t.equal(await pin(two), true);
    t.equal(await pin(two), true);
    t.equal((await updates()).length, 1, 'pinned again is nothing new');
    t.equal(await pin(999), 'Bad Request: message to pin not found');
    t.equal((await call('getChat', { chat_id: chat })).body.result.pinned_message.text, 'two');
    await call('editMessageText', { chat_id: chat, message_id: two, text: 'two!' });
    t.equal((await call('getChat', { chat_id: chat })).body.result.pinned_message.text, 'two!');
    await call('deleteMessage', { chat_id: chat, message_id: two });
    t.equal((await call('getChat', { chat_id: chat })).body.result.pinned_message.text, 'one');
    await local('DELETE', 'messages', { from: ann, chat: chat === ann ? botId : chat, messageId: one });
    t.notOk((await call('getChat', { chat_id: chat })).body.result.pinned_message);
  }
});
