import { connect } from 'node:net';
import t from 'tap';
import { Telegraf } from 'telegraf';
import { type Answer, ask, bench, manualClock, until } from './telegram-bench.js';

t.test('every refusal in Telegram’s own words', async (t) => {
  const { call, local, people, telegram, token, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [known = 0, blocker = 0] = await people(2);
  const [stranger] = await people(1, { started: false });
  const { id: otherBot } = (await local('POST', 'bots', {})).body;
  await local('PUT', `blocks/${blocker}/${botId}`);
  const button = (data: string): unknown => ({ inline_keyboard: [[{ text: 'a', callback_data: data }]] });
  const cases: [string, Record<string, unknown>, number, string][] = [
    ['sendMessage', { chat_id: known }, 400, 'Bad Request: message text is empty'],
    ['sendMessage', { chat_id: known, text: ' \n' }, 400, 'Bad Request: message text is empty'],
    ['sendMessage', { chat_id: known, text: 'x'.repeat(4097) }, 400, 'Bad Request: message is too long'],
    ['sendMessage', { text: 'x' }, 400, 'Bad Request: chat_id is empty'],
    ['sendMessage', { chat_id: '', text: 'x' }, 400, 'Bad Request: chat_id is empty'],
    ['sendMessage', { chat_id: 1, text: 'x' }, 400, 'Bad Request: chat not found'],
    ['sendMessage', { chat_id: -100123, text: 'x' }, 400, 'Bad Request: chat not found'],
    ['sendMessage', { chat_id: '@nobody', text: 'x' }, 400, 'Bad Request: chat not found'],
    ['sendMessage', { chat_id: known, text: 'x', parse_mode: 'BBCode' }, 400, 'Bad Request: unsupported parse_mode'],
    ['sendMessage', { chat_id: blocker, text: 'x' }, 403, 'Forbidden: bot was blocked by the user'],
    ['sendMessage', { chat_id: stranger, text: 'x' }, 403, "Forbidden: bot can't initiate conversation with a user"],
    ['sendMessage', { chat_id: otherBot, text: 'x' }, 403, "Forbidden: bot can't send messages to bots"],
    ['sendMessage', { chat_id: known, text: 'x', reply_markup: button('') }, 400, 'Bad Request: BUTTON_DATA_INVALID'],
    [
      'sendMessage',
      { chat_id: known, text: 'x', reply_markup: button('é'.repeat(33)) },
      400,
      'Bad Request: BUTTON_DATA_INVALID',
    ],
    [
      'sendMessage',
      { chat_id: known, text: 'x', reply_markup: '[]' },
      400,
      'Bad Request: object expected as reply markup',
    ],
    [
      'sendMessage',
      { chat_id: known, text: 'x', reply_to_message_id: 9 },
      400,
      'Bad Request: message to be replied not found',
    ],
    ['sendChatAction', { chat_id: known, action: 'dance' }, 400, 'Bad Request: wrong parameter action in request'],
    ['noSuchMethod', {}, 404, 'Not Found: method not found'],
    ['a/b', {}, 404, 'Not Found: method not found'],
  ];
  for (const [method, args, status, description] of cases) {
    const answer = await call(method, args);
    t.equal(answer.status, status, `${method}: ${description}`);
    t.same(answer.body, { ok: false, error_code: status, description });
  }
  const paths: [string, number, string][] = [
    ['/bot1:wrong/getMe', 401, 'Unauthorized'],
    ['/botnonsense/getMe', 401, 'Unauthorized: invalid token specified'],
    ['/bot', 404, 'Not Found'],
    [`/bot${token}`, 404, 'Not Found'],
    [`/bot${token}/`, 404, 'Not Found'],
    [`/file/bot${token}/x`, 404, 'Not Found'],
    ['/', 404, 'Not Found'],
  ];
  for (const [path, status, description] of paths) {
    const { body } = await ask(telegram.url + path, {});
    t.same(body, { ok: false, error_code: status, description }, path);
  }
  t.equal((await ask(`${telegram.url}/bot${token}/getMe`, { method: 'DELETE' })).status, 405);
  const { body: stats } = await local('GET', 'stats');
  t.equal(stats.accepted, 0);
  t.equal(stats.blocked, 3);
});

t.test('arguments come by query, JSON, form and multipart; names in any case', async (t) => {
  const { call, local, people, telegram, token, botId } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [chat = 0] = await people(1, { firstName: 'Zoë', username: 'zoe', languageCode: 'de' });
  const url = `${telegram.url}/bot${token}/SENDmessage`;
  const markup = { inline_keyboard: [[{ text: 'go', callback_data: 'go' }]] };
  const form = new FormData();
  form.set('chat_id', String(chat));
  form.set('text', 'four ✓');
  form.set('reply_markup', JSON.stringify(markup));
  form.set('photo', new Blob(['abc']), 'a.jpg');
  await ask(`${url}?chat_id=${chat}&text=one`, {});
  await ask(url, { method: 'POST', body: new URLSearchParams({ chat_id: String(chat), text: 'two & +' }) });
  await call('sendMessage', {
    chat_id: String(chat),
    text: 'three',
    reply_markup: JSON.stringify(markup),
    disable_notification: true,
  });
  const four = await ask(url, { method: 'POST', body: form });
  t.match(four.body.result, {
    text: 'four ✓',
    reply_markup: markup,
    chat: { id: chat, first_name: 'Zoë', username: 'zoe', type: 'private' },
  });
  const reply = await call('sendMessage', {
    chat_id: chat,
    text: '<b>five</b> @here',
    parse_mode: 'html',
    reply_parameters: { message_id: four.body.result.message_id },
  });
  t.match(reply.body.result, { from: { id: botId, is_bot: true }, reply_to_message: { text: 'four ✓' } });
  t.same(reply.body.result.entities, [
    { type: 'bold', offset: 0, length: 4 },
    { type: 'mention', offset: 5, length: 5 },
  ]);

  const seen = (await local('GET', `messages?chat=${botId}&user=${chat}`)).body;
  t.same(
    seen.map(({ text }: { text: string }) => text),
    ['one', 'two & +', 'three', 'four ✓', 'five @here'],
  );
  t.match(seen[2], { messageId: 3, from: { id: botId, is_bot: true }, replyMarkup: markup });
  const after = (await local('GET', `messages?chat=${botId}&user=${chat}&after=4`)).body;
  t.same(
    after.map(({ messageId }: { messageId: number }) => messageId),
    [5],
  );

  t.match((await call('getMe')).body, {
    ok: true,
    result: { id: botId, is_bot: true, username: 'posthorn_local_bot' },
  });
  t.match((await call('getChat', { chat_id: chat })).body.result, { id: chat, type: 'private', first_name: 'Zoë' });
  t.same((await call('sendChatAction', { chat_id: chat, action: 'typing' })).body, { ok: true, result: true });
  const commands = [{ command: 'start', description: 'Start' }];
  t.same((await call('setMyCommands', { commands, language_code: 'de' })).body, { ok: true, result: true });
  t.same((await call('getMyCommands', { language_code: 'de' })).body.result, commands);
  t.same((await call('getMyCommands')).body.result, []);
  await call('deleteMyCommands', { language_code: 'de' });
  t.same((await call('getMyCommands', { language_code: 'de' })).body.result, []);
  t.same((await call('setWebhook', { url: '' })).body, { ok: true, result: true });
  t.same((await call('getWebhookInfo')).body.result, {
    url: '',
    has_custom_certificate: false,
    pending_update_count: 0,
  });
});

t.test('limits hold by the clock', async (t) => {
  const clock = manualClock();
  const { call, local, people } = await bench(t, { clock });
  const ids = await people(100);
  const send = async (chat: number | undefined): Promise<Answer> => call('sendMessage', { chat_id: chat, text: 'x' });
  t.equal((await send(ids[0])).status, 200);
  const again = await send(ids[0]);
  t.same(again.body, {
    ok: false,
    error_code: 429,
    description: 'Too Many Requests: retry after 1',
    parameters: { retry_after: 1 },
  });
  t.equal(again.headers.get('retry-after'), '1');
  await clock.advance(950);
  t.equal((await send(ids[0])).status, 200, 'a second less the tolerance is enough');
  for (const id of ids.slice(1, 30)) t.equal((await send(id)).status, 200);
  t.equal((await send(ids[30])).status, 429, 'the 31st of the second');
  await clock.advance(949);
  t.equal((await send(ids[31])).status, 429);
  await clock.advance(1);
  t.equal((await send(ids[31])).status, 200);
  t.match((await local('GET', 'stats')).body, {
    accepted: 32,
    tooMany: 3,
    maxInOneSecond: 31,
    calls: { sendMessage: 35 },
  });

  await clock.advance(5000);
  await local('PUT', 'faults', { limits: 'strict' });
  t.equal((await send(ids[0])).status, 200);
  await clock.advance(500);
  t.equal((await send(ids[0])).status, 429);
  await clock.advance(999);
  t.equal((await send(ids[0])).status, 429, 'shut for the whole retry_after');
  await clock.advance(1);
  t.equal((await send(ids[0])).status, 200);
  await call('sendMessage', { chat_id: 1, text: 'x' });
  for (const id of ids.slice(40, 68)) t.equal((await send(id)).status, 200);
  t.equal((await send(ids[70])).status, 429, 'a refused call counts to the bot, too');

  await local('POST', 'reset', {});
  t.match((await local('PUT', 'faults', {})).body, { limits: 'telegram', tooMany: { share: 0 } });
  t.match((await local('GET', 'stats')).body, { accepted: 0, tooMany: 0, calls: {} });
});

t.test('updates: long poll, offsets, allowed kinds, one poller', async (t) => {
  const clock = manualClock();
  const { call, local, people, telegram, botId } = await bench(t, { clock });
  const [ann = 0, bob = 0] = await people(2, { firstName: 'Ann' });
  t.same((await call('getUpdates')).body, { ok: true, result: [] });
  const waiting = call('getUpdates', { timeout: 30 });
  await until(() => clock.pending() === 1);
  t.equal(telegram.clients() > 0, true);
  t.match((await local('POST', 'messages', { from: ann, chat: botId, text: ' /start a1 ' })).body, { messageId: 1 });
  const [first] = (await waiting).body.result;
  t.match(first.message, {
    message_id: 1,
    text: '/start a1',
    from: { id: ann, is_bot: false, first_name: 'Ann' },
    chat: { id: ann, type: 'private' },
    entities: [{ type: 'bot_command', offset: 0, length: 6 }],
  });
  t.equal(clock.pending(), 0);

  await local('PUT', `blocks/${bob}/${botId}`);
  await local('PUT', `blocks/${bob}/${botId}`);
  await local('DELETE', `blocks/${bob}/${botId}`);
  const all = (await call('getUpdates', { offset: first.update_id })).body.result;
  t.same(
    all.map((update: { update_id: number }) => update.update_id - first.update_id),
    [0, 1, 2],
  );
  t.match(all[1].my_chat_member, {
    chat: { id: bob },
    from: { id: bob },
    old_chat_member: { status: 'member' },
    new_chat_member: { status: 'kicked', user: { id: botId } },
  });
  t.match(all[2].my_chat_member, { old_chat_member: { status: 'kicked' }, new_chat_member: { status: 'member' } });
  t.equal((await call('getUpdates', { limit: 2 })).body.result.length, 2);
  t.equal((await call('getUpdates', { offset: -1 })).body.result[0].update_id, first.update_id + 2);
  t.equal(
    (await call('getWebhookInfo')).body.result.pending_update_count,
    1,
    'a negative offset forgets the ones before',
  );
  t.same((await call('getUpdates', { offset: first.update_id + 3, allowed_updates: ['message'] })).body.result, []);
  await local('PUT', `blocks/${bob}/${botId}`);
  t.same((await call('getUpdates')).body.result, [], 'a kind that was not asked for does not come, now or later');
  await local('POST', 'messages', { from: bob, chat: botId, text: 'back' });
  t.match((await call('getUpdates', { allowed_updates: '[]' })).body.result, [{ message: { text: 'back' } }]);
  t.match((await call('sendMessage', { chat_id: bob, text: 'x' })).body, { ok: true }, 'who writes blocks no more');
  await call('deleteWebhook', { drop_pending_updates: true });

  const older = call('getUpdates', { timeout: 50 });
  await until(() => clock.pending() === 1);
  const newer = call('getUpdates', { timeout: 50 });
  t.same((await older).body, {
    ok: false,
    error_code: 409,
    description: 'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running',
  });
  await until(() => clock.pending() === 1);
  await clock.advance(50_000);
  t.same((await newer).body, { ok: true, result: [] });

  await local('POST', 'messages', { from: ann, chat: botId, text: 'late' });
  await clock.advance(24 * 3600 * 1000 + 1);
  t.same((await call('getUpdates')).body.result, [], 'after a day they are gone');

  const left = new AbortController();
  const aborted = fetch(`${telegram.url}/bot${(await local('GET', 'bots')).body[0].token}/getUpdates?timeout=50`, {
    signal: left.signal,
  });
  await until(() => clock.pending() === 1);
  left.abort();
  await t.rejects(aborted);
  await until(() => clock.pending() === 0);
});

t.test('faults: delays, errors, lost answers, blocks, 429s', async (t) => {
  const clock = manualClock();
  let dice = 0.5;
  const { call, local, people } = await bench(t, { clock, random: () => dice });
  const [chat = 0, other = 0, ...many] = await people(1002);
  const send = (to = chat): Promise<Answer> => call('sendMessage', { chat_id: to, text: '#1 x' });
  await local('PUT', 'faults', { limits: 'off', jitterMs: 100, latencyMs: 40 });
  const both = [send(), send(other)];
  await until(() => clock.pending() === 2);
  await clock.advance(49);
  t.equal((await local('GET', 'stats')).body.accepted, 0, 'jitter comes before acceptance');
  await clock.advance(1);
  t.match((await local('GET', 'stats')).body, { accepted: 2, distinct: 2, maxInFlight: 2 }, 'latency after it');
  t.equal(clock.pending(), 2);
  await clock.advance(40);
  t.same(
    (await Promise.all(both)).map(({ status }) => status),
    [200, 200],
  );

  await local('PUT', 'faults', { jitterMs: 0, latencyMs: 0, errorShare: 0.6 });
  t.same((await send()).body, { ok: false, error_code: 500, description: 'Internal Server Error' });
  await local('PUT', 'faults', { errorShare: 0.4, tooMany: { share: 0.6, retryAfter: 7 } });
  t.match((await send()).body, { error_code: 429, parameters: { retry_after: 7 } });
  await local('PUT', 'faults', { tooMany: { share: 0 }, loseAnswerShare: 0.6 });
  t.equal((await local('GET', 'stats')).body.accepted, 2, 'errors and 429 were not accepted');
  await t.rejects(send(), 'the connection is cut');
  t.match((await local('GET', 'stats')).body, { accepted: 3, duplicates: 1, calls: { sendMessage: 5 } });
  dice = 0.9;
  t.equal((await send()).status, 200);
  await local('PUT', 'faults', { loseAnswerShare: 0, blockedShare: 0.25 });
  let blocked = 0;
  for (const id of many) blocked += Number((await send(id)).status === 403);
  t.ok(blocked > 200 && blocked < 300, `${blocked} of 1000 by hash`);
  t.equal((await local('GET', 'stats')).body.blocked, blocked);
});

t.test('the control API names what is wrong', async (t) => {
  const { call, local, people, telegram, botId } = await bench(t);
  const [ann = 0] = await people(1);
  const cases: [string, string, unknown, number, RegExp][] = [
    ['POST', 'people', { count: 1_000_001 }, 400, /^count:/],
    ['POST', 'people', { count: '3' }, 400, /^count:/],
    ['POST', 'people', { firstName: '' }, 400, /^firstName:/],
    ['POST', 'people', { username: 'a b' }, 400, /^username:/],
    ['POST', 'people', { started: 1 }, 400, /^started:/],
    ['POST', 'people', { lastName: 'x' }, 400, /^lastName:/],
    ['POST', 'people', [], 400, /^body:/],
    ['POST', 'bots', { username: 'posthorn_local_bot' }, 400, /^username:/],
    ['POST', 'messages', { from: 5, chat: botId, text: 'x' }, 400, /^from:/],
    ['POST', 'messages', { from: ann, chat: 5, text: 'x' }, 400, /^chat:/],
    ['POST', 'messages', { from: ann, chat: botId, text: ' ' }, 400, /^text:/],
    ['GET', `messages?chat=${botId}`, undefined, 400, /^user:/],
    ['GET', `messages?chat=${botId}&user=${ann}&after=x`, undefined, 400, /^after:/],
    ['PUT', `blocks/5/${botId}`, undefined, 400, /^userId:/],
    ['PUT', `blocks/${ann}/5`, undefined, 400, /^botId:/],
    ['PUT', 'blocks', { botId, userIds: [ann, 5] }, 400, /^userIds\[1\]:/],
    ['PUT', 'faults', { latencyMs: 'x' }, 400, /^latencyMs:/],
    ['POST', 'reset', { world: 1 }, 400, /^world:/],
    ['POST', 'chats', { type: 'group' }, 400, /^title:/],
    ['PUT', 'stats', {}, 405, /^method:/],
    ['GET', 'nothing', undefined, 404, /^path:/],
  ];
  for (const [method, path, body, status, pattern] of cases) {
    const answer = await local(method, path, body);
    t.equal(answer.status, status, `${method} ${path}`);
    t.match(answer.body.error, pattern);
  }
  t.equal((await ask(`${telegram.url}/local/people`, { method: 'POST', body: '{' })).status, 400);
  t.match((await ask(`${telegram.url}/local`, {})).body, /<!doctype html>/i);
  t.equal((await ask(`${telegram.url}/local/stats`, { headers: { origin: 'https://evil.example' } })).status, 403);
  t.match(
    await rawRequest(telegram.port, 'GET /local/stats HTTP/1.1\r\nHost: evil.example\r\n\r\n'),
    /^HTTP\/1.1 403 /,
  );

  t.same((await local('PUT', 'blocks', { botId, userIds: [ann] })).body, { blocked: 1 });
  const bot = (await local('POST', 'bots', { username: 'other_bot', name: 'Other' })).body;
  t.match(bot, { username: 'other_bot', token: /^\d+:[\w-]{35}$/ });
  t.match((await call('getMe', {}, bot.token)).body.result, { id: bot.id, first_name: 'Other' });
  t.same(
    (await local('GET', 'bots')).body.map(({ id }: { id: number }) => id),
    [botId, bot.id],
  );
  await local('POST', 'reset', { world: true });
  t.same(
    (await local('GET', 'bots')).body.map(({ id }: { id: number }) => id),
    [botId],
    'the made-up bot stays',
  );
  t.match((await call('sendMessage', { chat_id: ann, text: 'x' })).body.description, /chat not found/);
  const [later = 0] = await people(1);
  t.ok(later > ann, 'ids are not given twice');
  t.equal((await call('sendMessage', { chat_id: later, text: 'x' })).status, 200, 'nobody inherits a block');
});

/** Sends bytes on a connection of their own and returns all that comes until it closes, or until one answer is whole. */
function rawRequest(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      text += String(chunk);
      const length = /content-length: (\d+)/i.exec(text)?.[1];
      const end = text.indexOf('\r\n\r\n');
      if (!bytes.includes('pipelined') && length !== undefined && end > 0 && text.length >= end + 4 + Number(length))
        socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}

t.test('malformed requests: a Bot API error each, never 5xx, never a crash', async (t) => {
  const { call, local, people, telegram, token } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const [chat = 0] = await people(1);
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return seed % below;
  };
  const deep = '['.repeat(100_000);
  const values: string[] = [
    'null',
    '{}',
    '[]',
    '1e999',
    '"\\ud800"',
    'true',
    '-0',
    '"x"',
    deep,
    `"${deep}"`,
    '[{}]',
    '[[{"text":1}]]',
    '{"inline_keyboard":[[{"text":"a","callback_data":5}]]}',
    '"\u0000"',
  ];
  const names = [
    'chat_id',
    'parse_mode',
    'entities',
    'reply_markup',
    'reply_parameters',
    'allowed_updates',
    'commands',
    'scope',
    'timeout',
    'offset',
    '__proto__',
  ];
  const methods = ['sendMessage', 'getChat', 'setMyCommands', 'sendChatAction', 'nope', '%00', 'getMe/../x'];
  const types = [
    'application/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    'multipart/form-data; boundary=x',
    'text/plain',
    '',
  ];
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const rounds = process.env.POSTHORN_TEST_LONG ? 5000 : 300;
  for (let i = 0; i < rounds; i += 1) {
    const body = pick([
      () => `{${JSON.stringify(pick(names))}:${pick(values)}}`,
      () => `{"chat_id":${pick(values)},"text":${pick(values)},${JSON.stringify(pick(names))}:${pick(values)}`,
      () => `${pick(names)}=%E0%A4%A&${pick(names)}=${pick(values)}`,
      () =>
        `--x\r\nContent-Disposition: form-data; name="${pick(names)}"\r\n\r\n${pick(values)}\r\n--x${pick(['', '--', '\r\n'])}`,
      () => String.fromCharCode(...Array.from({ length: 30 }, () => random(256))),
    ])();
    const path = pick([
      `/bot${token}/${pick(methods)}`,
      `/bot${token}x/getMe`,
      '/bot/x',
      '/bot%',
      `/bot${token}/${pick(methods)}?chat_id=%&text`,
    ]);
    const head = `${pick(['POST', 'GET', 'PUT'])} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: ${pick(types)}\r\n`;
    const bytes = pick([
      () => `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      () => `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      () => `${head}Transfer-Encoding: chunked\r\n\r\n${pick(['g', '-1', '1\r\nxx'])}\r\n`,
      () => `${head}Content-Length: ${pick(['x', '-5', '99999999999'])}\r\n\r\n`,
    ])();
    const answer = await rawRequest(telegram.port, bytes);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
    const json = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
    const fine =
      status === 200
        ? json.ok === true
        : json.ok === false && json.error_code === status && typeof json.description === 'string';
    if (!fine || !(status < 500)) t.fail(`${status} ${answer}`, { bytes: bytes.slice(0, 400) });
  }
  t.equal((await call('sendMessage', { chat_id: chat, text: 'still there' })).status, 200);
});

t.test('pipelined calls are answered in order on one connection', async (t) => {
  const { local, people, telegram, token } = await bench(t);
  await local('PUT', 'faults', { limits: 'off' });
  const ids = await people(20);
  const calls = ids.map((id, i) => {
    const close = i === ids.length - 1 ? 'Connection: close\r\n' : '';
    return `GET /bot${token}/sendMessage?chat_id=${id}&text=%23${i}+%C3%A9 HTTP/1.1\r\nHost: localhost\r\nX: pipelined\r\n${close}\r\n`;
  });
  const text = await rawRequest(telegram.port, calls.join(''));
  t.same(
    [...text.matchAll(/"text":"#(\d+) é"/g)].map(([, n]) => Number(n)),
    ids.map((_, i) => i),
  );
});

t.test('Telegraf talks to it', async (t) => {
  const { local, people, telegram, token, botId } = await bench(t);
  const [ann = 0] = await people(1);
  const bot = new Telegraf(token, { telegram: { apiRoot: telegram.url } });
  bot.start((ctx) => ctx.reply(`hello ${ctx.from.first_name}`));
  t.equal((await bot.telegram.getMe()).id, botId);
  const launched = bot.launch();
  await local('POST', 'messages', { from: ann, chat: botId, text: '/start' });
  const seen = async (): Promise<{ text: string }[]> =>
    (await local('GET', `messages?chat=${botId}&user=${ann}&after=1`)).body;
  await until(async () => (await seen()).length > 0);
  t.match(await seen(), [{ text: /^hello Person/ }]);
  const fault = (sent: Promise<unknown>): Promise<unknown> =>
    sent.then(
      () => undefined,
      (error: unknown) => error,
    );
  t.match(await fault(bot.telegram.sendMessage(1, 'x')), {
    response: { error_code: 400, description: 'Bad Request: chat not found' },
  });
  t.match(await fault(bot.telegram.sendMessage(ann, 'x')), { response: { parameters: { retry_after: 1 } } });
  bot.stop();
  await launched;
});
