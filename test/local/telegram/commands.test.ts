import t from 'tap';
import { startLocalTelegram } from '../../../src/local/telegram/server.js';
import { type Answer, ask, bench } from './telegram-bench.js';

t.test('commands are kept by scope and language', async (t) => {
  const dataDir = t.testdir();
  const { call, local, people, botId, token, telegram } = await bench(t, { dataDir });
  const [chat = 0, owner = 0] = await people(2);
  const group = (await local('POST', 'chats', { type: 'group', title: 'g', ownerId: owner })).body.id;
  await local('PUT', `chats/${group}/members/${botId}`, {});
  const scopes = [
    {},
    { language_code: 'de' },
    { scope: { type: 'all_private_chats' } },
    { scope: { type: 'all_group_chats' } },
    { scope: { type: 'all_chat_administrators' } },
    { scope: { type: 'chat', chat_id: chat } },
    { scope: { type: 'chat', chat_id: String(group) }, language_code: 'en' },
    { scope: { type: 'chat_administrators', chat_id: group } },
    { scope: { type: 'chat_member', chat_id: group, user_id: owner } },
  ];
  for (const [i, scope] of scopes.entries()) {
    const commands = [{ command: `/c${i} `, description: ` in ${i}` }];
    t.same((await call('setMyCommands', { ...scope, commands })).body, { ok: true, result: true });
  }
  await telegram.stop();
  const again = await startLocalTelegram({ dataDir, port: 0 });
  t.teardown(() => again.stop());
  const recall = (method: string, args: object = {}): Promise<Answer> => {
    const headers = { 'content-type': 'application/json' };
    return ask(`${again.url}/bot${token}/${method}`, { method: 'POST', headers, body: JSON.stringify(args) });
  };
  for (const [i, scope] of scopes.entries()) {
    const { body } = await recall('getMyCommands', scope);
    t.same(body.result, [{ command: `c${i}`, description: `in ${i}` }], JSON.stringify(scope));
  }
  t.same((await recall('getMyCommands', { scope: '{"type":"default"}' })).body.result, [
    { command: 'c0', description: 'in 0' },
  ]);
  t.ok((await recall('deleteMyCommands', { language_code: 'de' })).body.result);
  t.ok(
    (await recall('setMyCommands', { commands: [], scope: { type: 'all_group_chats' } })).body.result,
    'none are as good as deleted',
  );
  t.same((await recall('getMyCommands', { language_code: 'de' })).body.result, []);
  t.same((await recall('getMyCommands', { scope: { type: 'all_group_chats' } })).body.result, []);
  t.equal((await recall('getMyCommands')).body.result.length, 1, 'others stay');
});

t.test('commands that Telegram does not take', async (t) => {
  const { call, local, people, botId } = await bench(t);
  const [chat = 0, owner = 0] = await people(2);
  const channel = (await local('POST', 'chats', { type: 'channel', title: 'c', ownerId: owner })).body.id;
  await local('PUT', `chats/${channel}/members/${botId}`, { status: 'administrator' });
  const one = (command: unknown, description: unknown = 'x'): object => ({ commands: [{ command, description }] });
  const scope = (given: unknown): object => ({ ...one('a'), scope: given });
  const cant = "can't parse BotCommandScope: ";
  const rows: [object, string][] = [
    [{}, 'parameter "commands" is required'],
    [{ commands: '[' }, "can't parse commands JSON object"],
    [{ commands: {} }, 'expected an Array of BotCommand'],
    [{ commands: ['a'] }, "can't parse BotCommand: expected an Object"],
    [{ commands: [{ command: 'a' }] }, 'can\'t parse BotCommand: Can\'t find field "description"'],
    [one(true), 'can\'t parse BotCommand: Field "command" must be of type String'],
    [one('/'), 'command must be non-empty'],
    [one('a'.repeat(33)), 'command length must not exceed 32'],
    [one('a', ' '), 'command description must be non-empty'],
    [one('a', 'x'.repeat(257)), 'command description length must not exceed 256'],
    [one('No'), 'BOT_COMMAND_INVALID'],
    [one('a-b'), 'BOT_COMMAND_INVALID'],
    [
      { commands: Array.from({ length: 101 }, (_, i) => ({ command: `c${i}`, description: 'x' })) },
      'BOT_COMMANDS_TOO_MUCH',
    ],
    [{ ...one('a'), language_code: 'deu' }, 'invalid language code specified'],
    [scope('{'), "can't parse BotCommandScope JSON object"],
    [scope('[]'), `${cant}BotCommandScope must be an Object`],
    [scope({}), `${cant}Can't find field "type"`],
    [scope({ type: 'all' }), `${cant}Unsupported type specified`],
    [scope({ type: 'chat' }), `${cant}Can't find field "chat_id"`],
    [scope({ type: 'chat', chat_id: '' }), `${cant}Empty chat_id specified`],
    [scope({ type: 'chat_member', chat_id: chat }), `${cant}Can't find field "user_id"`],
    [scope({ type: 'chat_member', chat_id: chat, user_id: 0 }), `${cant}Invalid user_id specified`],
    [scope({ type: 'chat', chat_id: 5 }), 'chat not found'],
    [scope({ type: 'chat_administrators', chat_id: chat }), "can't use specified scope in private chats"],
    [scope({ type: 'chat', chat_id: channel }), "can't change commands in channel chats"],
  ];
  for (const [args, fault] of rows) {
    const { body } = await call('setMyCommands', args as Record<string, unknown>);
    t.same(body, { ok: false, error_code: 400, description: `Bad Request: ${fault}` }, fault);
  }
  t.ok((await call('setMyCommands', one('a'.repeat(32), 'é'.repeat(256)) as Record<string, unknown>)).body.ok);
});

t.test('arguments that a method does not know are passed over and counted', async (t) => {
  const { call, local, people } = await bench(t);
  const [chat = 0] = await people(1);
  t.ok((await call('SENDMESSAGE', { chat_id: chat, text: 'x', Text: 'y', textt: 1, method: 'sendMessage' })).body.ok);
  await call('getMe', { textt: 1 });
  await call('getMe', { textt: 1, ['z'.repeat(100)]: 1 });
  t.same((await local('GET', 'stats')).body.unknownArguments, {
    'sendMessage.Text': 1,
    'sendMessage.textt': 1,
    'getMe.textt': 2,
    [`getMe.${'z'.repeat(64)}`]: 1,
  });
  const many = Object.fromEntries(Array.from({ length: 1200 }, (_, i) => [`a${i}`, 1]));
  await call('getMe', many);
  const { unknownArguments: counts } = (await local('GET', 'stats')).body;
  t.equal(counts['getMe.*'], 204);
  t.equal(Object.keys(counts).length, 1001);
  await local('POST', 'reset', {});
  t.same((await local('GET', 'stats')).body.unknownArguments, {});
});

t.test('a bot cannot leave the local Telegram', async (t) => {
  const { call } = await bench(t);
  for (const method of ['logOut', 'close']) {
    const { status, body } = await call(method);
    t.equal(status, 400);
    t.match(body, { ok: false, error_code: 400, description: /^Bad Request: can't (log out|close): .*local Telegram/ });
  }
  t.ok((await call('getMe')).body.ok);
});
