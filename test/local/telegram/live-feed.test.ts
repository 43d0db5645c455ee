import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { AnswerStream } from '../../../src/local/telegram/http/answer-stream.js';
import { listenHttp } from '../../../src/local/telegram/http/listener.js';
import type { WireEvents, WireMessage } from '../../../src/local/telegram/page/browser/wire.js';
import type { LocalTelegramOptions } from '../../../src/local/telegram/server.js';
import { eventually } from '../../support/eventually.js';
import { bench, manualClock } from './telegram-bench.js';

const WITHIN_MS = 60_000;

interface FeedEvent {
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: events are compared, not typed
  readonly data: any;
}

/** A local Telegram, and its feed as a browser reads it. */
async function world(t: Test, options: Partial<LocalTelegramOptions> = {}) {
  const made = await bench(t, options);
  const { telegram, local } = made;
  const person = async (wish: object = {}): Promise<number> => (await local('POST', 'people', wish)).body.id;

  /** Follows a person; `until` resolves with the first event of a name, from those not yet asked for, that a condition takes. */
  async function follow(user: number) {
    const abort = new AbortController();
    t.teardown(() => abort.abort());
    const answer = await fetch(`${telegram.url}/local/events?user=${user}`, { signal: abort.signal });
    const events: FeedEvent[] = [];
    let comments = 0;
    let ended: boolean;
    ended = false;
    const read = async () => {
      let rest = '';
      const decoder = new TextDecoder();
      for await (const bytes of answer.body ?? []) {
        const parts = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
        rest = parts.pop() ?? '';
        for (const part of parts) {
          const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
          if (name !== undefined && data !== undefined) events.push({ name, data: JSON.parse(data) });
          if (part.startsWith(':')) comments += 1;
        }
      }
    };
    read().then(
      () => {
        ended = true;
      },
      () => {
        ended = true;
      },
    );
    return {
      status: answer.status,
      headers: answer.headers,
      events,
      comments: () => comments,
      ended: () => ended,
      close: () => abort.abort(),
      until: <Name extends keyof WireEvents>(
        name: Name,
        takes: (data: WireEvents[Name]) => boolean = () => true,
      ): Promise<WireEvents[Name]> =>
        eventually(
          `event ${name}`,
          WITHIN_MS,
          async () => {
            const at = events.findIndex((event) => event.name === name && takes(event.data));
            return at < 0 ? undefined : events.splice(0, at + 1).at(-1)?.data;
          },
          5,
        ),
    };
  }
  return { ...made, person, follow };
}

t.test('a page hears at once what concerns its person, and nothing else', async (t) => {
  const { botId, call, local, person, follow } = await world(t);
  const ann = await person({ firstName: 'Ann' });
  const bob = await person({ firstName: 'Bob' });
  const feed = await follow(ann);
  t.equal(feed.status, 200);
  t.equal(feed.headers.get('content-type'), 'text/event-stream');
  t.same((await feed.until('hello')).told, []);

  await local('POST', 'messages', { from: bob, chat: botId, text: 'not for Ann' });
  await local('POST', 'messages', { from: ann, chat: botId, text: '/start now' });
  const { chat, message } = await feed.until('message');
  t.equal(chat, botId);
  t.match(message, {
    text: '/start now',
    from: { id: ann, first_name: 'Ann' },
    entities: [{ type: 'bot_command', length: 6 }],
  });
  t.type(message.date, 'number');

  await call('sendMessage', {
    chat_id: ann,
    text: 'Hello',
    reply_markup: { inline_keyboard: [[{ text: 'A', callback_data: 'a' }]] },
  });
  const answer = (await feed.until('message')).message;
  t.match(answer, { text: 'Hello', from: { id: botId }, replyMarkup: { inline_keyboard: [[{ text: 'A' }]] } });
  const seen: WireMessage[] = (await local('GET', `messages?chat=${botId}&user=${ann}`)).body;
  t.same(seen.at(-1), answer, 'as the control API shows it');

  await local('PUT', `blocks/${bob}/${botId}`);
  await local('PUT', `blocks/${ann}/${botId}`);
  await feed.until('chats');
  t.equal(feed.events.filter(({ name }) => name === 'chats').length, 0, 'the block of another is not told');
  await call('setMyCommands', { commands: [{ command: 'go', description: 'goes' }] });
  await feed.until('commands');
  await local('POST', 'reset', { world: true });
  await feed.until('resync');
});

t.test('who is in a group hears what is written there, from the coming to the going', async (t) => {
  const { call, local, botId, person, follow } = await world(t);
  const [ann, bob] = [await person({ firstName: 'Ann' }), await person({ firstName: 'Bob' })];
  const { id: group } = (await local('POST', 'chats', { type: 'supergroup', title: 'Friends', ownerId: ann })).body;
  await local('PUT', `chats/${group}/members/${botId}`);
  const [annHears, bobHears] = [await follow(ann), await follow(bob)];
  await local('POST', 'messages', { from: ann, chat: group, text: 'Alone?' });
  t.match(await annHears.until('message'), { chat: group, message: { text: 'Alone?', from: { id: ann } } });
  await local('PUT', `chats/${group}/members/${bob}`);
  await bobHears.until('chats');
  t.notOk(
    bobHears.events.some(({ name }) => name === 'message'),
    'what was written before is not told',
  );
  await call('sendMessage', { chat_id: group, text: 'Welcome' });
  for (const hears of [annHears, bobHears]) {
    await hears.until('message', ({ message }) => message.text === 'Welcome' && message.from.id === botId);
  }
  t.match((await local('GET', `chats?user=${bob}`)).body.at(-1), {
    id: group,
    type: 'supergroup',
    title: 'Friends',
    status: 'member',
    canWrite: true,
    members: 3,
    last: { text: 'Welcome' },
  });
  await local('DELETE', `chats/${group}/members/${bob}`);
  await bobHears.until('chats');
  await call('sendMessage', { chat_id: group, text: 'Without Bob' });
  await annHears.until('message', ({ message }) => message.text === 'Without Bob');
  await local('POST', 'messages', { from: bob, chat: botId, text: 'the next that Bob hears' });
  t.equal((await bobHears.until('message')).message.text, 'the next that Bob hears');
  t.same(
    (await local('GET', `chats?user=${bob}`)).body.map(({ id }: { id: number }) => id),
    [botId],
  );
});

t.test('a page hears what the bots were told: updates, calls, refusals, and how near the limit they are', async (t) => {
  const { botId, call, local, person, follow } = await world(t);
  const ann = await person();
  const early = await follow(ann);
  await early.until('hello');
  await local('POST', 'messages', { from: ann, chat: botId, text: 'Hi' });
  const update = (await early.until('told')).entries[0];
  t.match(update, { kind: 'update', what: 'message', summary: 'Hi', botId, code: 0 });
  t.equal(JSON.parse(update?.json ?? '').message.text, 'Hi');

  await call('getUpdates', {});
  await call('sendMessage', { chat_id: 5, text: 'to nobody' });
  const refusal = (await early.until('told')).entries[0];
  t.match(refusal, {
    kind: 'call',
    what: 'sendMessage',
    code: 400,
    description: 'Bad Request: chat not found',
    summary: 'to nobody',
  });
  t.same(JSON.parse(refusal?.json ?? ''), { chat_id: 5, text: 'to nobody' });

  await call('sendMessage', { chat_id: ann, text: 'one' });
  t.equal((await call('sendMessage', { chat_id: ann, text: 'two' })).status, 429);
  const { last, accepted, tooMany } = await early.until('flood', (flood) => flood.tooMany === 1);
  t.match(last, { botId, method: 'sendMessage', retryAfter: 1 });
  t.equal(accepted, 1);
  t.equal(tooMany, 1);

  const late = await follow(ann);
  const { told } = await late.until('hello');
  t.same(
    told.map(({ what, code }) => `${what} ${code}`),
    ['message 0', 'sendMessage 400', 'sendMessage 200', 'sendMessage 429'],
    'who comes later is shown what was told before; answered polls are left out',
  );

  for (let i = 0; i < 120; i += 1) await call('getChat', { chat_id: ann });
  const third = await follow(ann);
  t.equal((await third.until('hello')).told.length, 50, 'the newest fifty are kept');
});

t.test('a page hears of unknown methods, of webhooks that fail, and of the limits of groups', async (t) => {
  const { call, local, botId, person, follow } = await world(t);
  const ann = await person();
  const { id: chat } = (await local('POST', 'chats', { type: 'group', title: 'G', ownerId: ann })).body;
  await local('PUT', `chats/${chat}/members/${botId}`);
  const feed = await follow(ann);
  t.same((await feed.until('hello')).flood.groups, []);
  await call('sendMesage', { chat_id: ann });
  const [typo] = (await feed.until('told')).entries;
  t.match(typo, { what: 'sendMesage', code: 404, description: 'Not Found: method not found' });

  for (const text of ['one', 'two', 'three']) await call('sendMessage', { chat_id: chat, text });
  const flood = await feed.until('flood', ({ groups }) => groups[0]?.inMinute === 3);
  t.same(flood.groups, [{ chat, botId, inMinute: 3 }]);
  t.match(flood.bots, [{ botId }]);

  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => gone.close(resolve));
  await call('setWebhook', { url: `http://127.0.0.1:${port}/hook` });
  await local('POST', 'messages', { from: ann, chat: botId, text: 'for the webhook' });
  const isFailure = ({ entries }: WireEvents['told']) => entries.some(({ kind }) => kind === 'webhook');
  const failure = (await feed.until('told', isFailure)).entries.find(({ kind }) => kind === 'webhook');
  t.match(failure, { botId, what: `http://127.0.0.1:${port}/hook`, code: 0, description: /refused/i });
});

t.test('nothing is gathered while no page is open', async (t) => {
  const { call, person, follow } = await world(t);
  const ann = await person();
  const feed = await follow(ann);
  await feed.until('hello');
  feed.close();
  let tries = 0;
  await eventually('a call that nobody hears of', WITHIN_MS, async () => {
    tries += 1;
    await call('sendMessage', { chat_id: 6, text: `try ${tries}` });
    const probe = await follow(ann);
    const { told } = await probe.until('hello');
    probe.close();
    return told.every(({ summary }) => summary !== `try ${tries}`);
  });
  t.ok(tries > 0);
});

t.test('a quiet connection is kept alive, many tabs hear the same, and all end with the server', async (t) => {
  const clock = manualClock();
  const { telegram, botId, local, person, follow } = await world(t, { clock });
  const ann = await person();
  const tabs = await Promise.all(Array.from({ length: 12 }, () => follow(ann)));
  for (const tab of tabs) await tab.until('hello');
  await clock.advance(15_000);
  for (const tab of tabs) await eventually('a heartbeat', WITHIN_MS, async () => tab.comments() > 0);
  await local('POST', 'messages', { from: ann, chat: botId, text: 'to all tabs' });
  for (const tab of tabs) t.equal((await tab.until('message')).message.text, 'to all tabs');
  await telegram.stop();
  for (const tab of tabs) await eventually('the end', WITHIN_MS, async () => tab.ended());
});

t.test('wrong requests for events name the field', async (t) => {
  const { local, person } = await world(t);
  const ann = await person();
  for (const [query, pattern] of [
    ['', /^user:/],
    ['?user=7', /^user:/],
    [`?user=${ann}&x=1`, /^x:/],
  ] as const) {
    const { status, body } = await local('GET', `events${query}`);
    t.equal(status, 400);
    t.match(body.error, pattern);
  }
  t.equal((await local('POST', 'events', {})).status, 405);
});

/** A listener whose `/stream` begins an answer without end, handed out by `streams`. */
async function streaming(t: Test) {
  const streams: AnswerStream[] = [];
  const paths: string[] = [];
  const listener = await listenHttp(0, {
    onExchange(exchange) {
      paths.push(exchange.request.path);
      if (exchange.request.path !== '/stream') exchange.answer(200, '"plain"');
      else {
        const stream = exchange.stream('text/plain');
        if (stream !== undefined) streams.push(stream);
      }
    },
    beforeAnswers: () => true,
    faultBody: () => '{}',
  });
  t.teardown(() => listener.close());
  const client = (): Socket => {
    const socket = connect(listener.port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    return socket;
  };
  const begun = (count: number) => eventually('a stream', WITHIN_MS, async () => streams[count - 1], 5);
  return { listener, paths, client, begun };
}

const GET = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

t.test('a streamed answer comes behind the answers before it, and nothing after it is read', async (t) => {
  const { client, begun, paths } = await streaming(t);
  const socket = client();
  let text = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  socket.write(GET('/one') + GET('/stream') + GET('/two'));
  const stream = await begun(1);
  t.equal(stream.write('first '), true);
  socket.write(`${GET('/three')}no request at all\r\n\r\n`);
  await eventually('the first piece', WITHIN_MS, async () => text.endsWith('first '));
  stream.write('second');
  await eventually('the second piece', WITHIN_MS, async () => text.endsWith('first second'));
  t.match(
    text,
    /^HTTP\/1\.1 200 OK\r\n[\s\S]*"plain"HTTP\/1\.1 200 OK\r\nContent-Type: text\/plain\r\nConnection: close\r\n\r\nfirst second$/,
  );
  t.same(paths, ['/one', '/stream']);
});

t.test('a reader who does not read costs a bounded buffer, and is told when there is room again', async (t) => {
  const { client, begun } = await streaming(t);
  const socket = client();
  socket.write(GET('/stream'));
  const stream = await begun(1);
  socket.pause();
  const piece = 'x'.repeat(64 * 1024);
  let taken = 0;
  // What the system buffers by itself is bounded too, and counted here.
  while (taken < 64 * 1024 * 1024) {
    if (stream.write(piece)) taken += piece.length;
    else {
      // Only what stays refused, with the system's buffers full, is the bound.
      await new Promise((resolve) => setImmediate(resolve));
      if (!stream.write(piece)) break;
      taken += piece.length;
    }
  }
  t.ok(taken < 64 * 1024 * 1024, `${taken} bytes were taken`);
  let drained = 0;
  stream.onDrained = () => {
    drained += 1;
  };
  let read = 0;
  socket.on('data', (bytes) => {
    read += bytes.length;
  });
  socket.resume();
  await eventually('room', WITHIN_MS, async () => drained === 1);
  t.equal(stream.write('more'), true);
  await eventually('all that was taken', WITHIN_MS, async () => read >= taken + 'more'.length);
});

t.test('a stream ends with its connection, whoever closes it', async (t) => {
  const { client, begun, listener } = await streaming(t);
  const left = client();
  left.write(GET('/stream'));
  const first = await begun(1);
  let ends = 0;
  first.onClosed = () => {
    ends += 1;
  };
  left.destroy();
  await eventually('the end', WITHIN_MS, async () => ends === 1);
  t.equal(first.write('x'), false);
  const stays = client();
  stays.write(GET('/stream'));
  const second = await begun(2);
  second.onClosed = () => {
    ends += 1;
  };
  const closed = once(stays, 'close');
  stays.resume();
  stays.on('error', () => undefined);
  await listener.close();
  await closed;
  await eventually('the end of the other', WITHIN_MS, async () => ends === 2);
});
