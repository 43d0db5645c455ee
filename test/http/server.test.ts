import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Services } from '../../src/api/services.js';
import type { Readiness } from '../../src/http/application.js';
import { type HttpDeps, httpServer } from '../../src/http/server.js';
import { silentLog } from '../../src/log.js';
import { StoreError } from '../../src/store/store.js';
import { eventually } from '../support/eventually.js';
import { broadcastView, fakeServices } from '../support/fake-services.js';

const KEY = 'ph_key';
const READY: Readiness = { status: 'ready', checks: { store: { status: 'ok' } } };

interface Setup extends Partial<Omit<HttpDeps, 'services'>> {
  readonly services?: Partial<Services>;
}

/** A server on a free port with fake services; closed at the end of the test. */
async function serve(t: Test, { services: replaced, ...deps }: Setup = {}) {
  const fake = fakeServices(replaced);
  const errors: unknown[] = [];
  const server = httpServer({
    apiKey: KEY,
    services: () => fake.services,
    readiness: () => READY,
    draining: () => false,
    now: () => 1_500,
    startedAt: 1_000,
    log: { ...silentLog, error: (fields) => void errors.push(fields) },
    host: '127.0.0.1',
    port: 0,
    ...deps,
  });
  const { port } = await server.listen();
  t.teardown(() => server.close(0));
  const url = `http://127.0.0.1:${port}`;
  const ask = async (path: string, init: RequestInit & { key?: string | null } = {}) => {
    const { key = KEY, ...rest } = init;
    const headers = new Headers(rest.headers);
    if (key !== null) headers.set('authorization', `Bearer ${key}`);
    const response = await fetch(url + path, { ...rest, headers });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    return {
      status: response.status,
      headers: response.headers,
      type,
      text,
      body: type.includes('json') ? JSON.parse(text || 'null') : text,
    };
  };
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    ask(path, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
  return { ...fake, server, port, ask, post, errors };
}

t.test('health answers without key and without store; the API waits for it', async (t) => {
  let readiness: Readiness = { status: 'down', checks: { store: { status: 'down', detail: 'not reached yet' } } };
  let draining = false;
  const server = httpServer({
    apiKey: KEY,
    services: () => undefined,
    readiness: () => readiness,
    draining: () => draining,
    now: () => 1_500,
    startedAt: 1_000,
    log: silentLog,
    host: '127.0.0.1',
    port: 0,
  });
  const { port } = await server.listen();
  t.teardown(() => server.close(0));
  const get = (path: string) =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization: `Bearer ${KEY}` } });
  t.same(await (await get('/health')).json(), { status: 'ok', uptimeMs: 500 });
  t.match(await (await get('/')).text(), /^Posthorn/);
  const down = await get('/health/ready');
  t.equal(down.status, 503);
  t.same(await down.json(), readiness);
  const away = await get('/api/users');
  t.match(await away.json(), { status: 503, code: 'PH_STORE_AWAY' });
  t.equal(away.headers.get('retry-after'), '1');
  readiness = { status: 'degraded', checks: {} };
  t.equal((await get('/health/ready')).status, 200);
  draining = true;
  t.same(await (await get('/health/ready')).json(), { status: 'down', checks: {} });
  const stopping = await get('/api/users');
  t.match(await stopping.json(), { status: 503, code: 'PH_DRAINING' });
  t.match(stopping.headers.get('retry-after'), /^\d+$/);
  t.equal((await get('/health')).status, 200);
});

t.test('each route answers as the contract says', async (t) => {
  const { ask, post, calls } = await serve(t, {
    services: {
      findPerson: async (bot, chatId) => ({
        botId: bot,
        chatId,
        type: 'private',
        subscription: 'active',
        reachability: 'ok',
        tags: [],
        createdAt: 'x',
      }),
    },
  });
  const message = { chatId: 1, text: 'a' };
  t.match(await post('/api/send_messages', { messages: [message] }), { status: 202, body: { ids: ['1-1-0'] } });
  t.match(await post('/api/notify/telegram', { text: 'a', chatIds: [1] }), { status: 202, body: { ids: ['1-2-0'] } });
  t.match(await post('/api/notify/telegram', { text: 'a', audience: {} }), {
    status: 202,
    body: { broadcastId: '1-3' },
  });
  t.match(await post('/api/broadcasts', { text: 'a' }, { 'idempotency-key': 'k1' }), {
    status: 202,
    body: { id: '1-3' },
  });
  t.match(calls.at(-1)?.args[2], { key: 'k1' });
  t.match(await ask('/api/broadcasts?limit=5'), { status: 200, body: { items: [{ id: '1-3' }] } });
  t.match(await ask('/api/broadcasts/1-3'), { status: 200, body: { id: '1-3', state: 'running' } });
  t.match(await ask('/api/deliveries/1-1-0'), { status: 200, body: { id: '1-1-0' } });
  t.match(await ask('/api/users?limit=5&botId=1'), { status: 200, body: { items: [] } });
  t.match(await ask('/api/users/1/-5'), { status: 200, body: { botId: '1', chatId: -5 } });
  t.match(await ask('/api/system/tree'), { status: 200, body: { processes: [{ host: 'h', root: { name: 'root' } }] } });
  for (const [move, state] of [
    ['pause', 'paused'],
    ['resume', 'running'],
    ['cancel', 'cancelled'],
  ]) {
    t.match(await ask(`/api/broadcasts/1-3/${move}`, { method: 'POST' }), { status: 200, body: { id: '1-3', state } });
    t.match(calls.at(-1), { name: 'moveBroadcast', args: ['1-3', move] });
  }
  const head = await ask('/api/broadcasts/1-3', { method: 'HEAD' });
  t.equal(head.status, 200);
  t.equal(head.text, '');
  t.equal(head.headers.get('x-content-type-options'), 'nosniff');
});

t.test('dead letters and exports', async (t) => {
  const { ask, post, calls } = await serve(t);
  t.match(await ask('/admin/dlq/deliveries?limit=5&reason=x'), { status: 200, body: { items: [{ id: '1-1-0' }] } });
  t.match(calls.at(-1), { name: 'list', args: ['deliveries', { limit: 5, reason: 'x' }] });
  t.match(await ask('/admin/dlq/deliveries/1-1-0'), { status: 200, body: { id: '1-1-0', message: { text: 'a' } } });
  t.match(await post('/admin/dlq/updates/replay', { all: true }), { status: 200, body: { replayed: 1 } });
  t.match(await ask('/admin/dlq/deliveries/1-1-0', { method: 'DELETE' }), { status: 200, body: { id: '1-1-0' } });
  t.match(await ask('/admin/dlq/mail'), { status: 404, body: { code: 'PH_QUEUE_NOT_FOUND' } });
  t.match(await ask('/admin/dlq/deliveries', { key: null }), { status: 401 });
  t.match(await ask('/api/deliveries?state=sent&chatId=-5&since=2026-01-01'), {
    status: 200,
    body: { items: [{ id: '1-1-0' }] },
  });
  t.same(calls.at(-1)?.args[0], { bot: '1', state: 'sent', chatId: -5, since: new Date('2026-01-01T00:00:00Z') });
  const csv = await ask('/api/deliveries/export');
  t.match(csv, {
    status: 200,
    type: /^text\/csv/,
    text: /^id,botId,[\s\S]*\r\n1-1-0,1,5,notify,at-least-once,sent,1,7,,,/,
  });
  const ndjson = await ask('/api/deliveries/export?format=ndjson&broadcastId=1-3');
  t.equal(ndjson.type, 'application/x-ndjson; charset=utf-8');
  t.match(JSON.parse(ndjson.text), { id: '1-1-0', messageIds: [7] });
  t.match(await ask('/api/deliveries/export?format=xml'), { status: 400, body: { errors: [{ field: 'format' }] } });
});

t.test('an export whose store goes away is cut, not ended', async (t) => {
  const { ask } = await serve(t, {
    services: {
      async *walkDeliveries() {
        yield { found: [], looked: 1, last: { bot: '1', n: 1, index: 0 } };
        throw new Error('the store went away');
      },
    },
  });
  await t.rejects(ask('/api/deliveries/export'), 'the client is not told that this was all');
});

/** Asserts a problem document with its media type. */
function isProblem(
  t: Test,
  answer: { status: number; type: string; body: unknown },
  status: number,
  code: string,
  more: object = {},
) {
  t.match(answer.type, /^application\/problem\+json/, `${code}: media type`);
  t.match(answer, { status, body: { type: 'about:blank', title: /\w/, status, code, ...more } }, code);
}

t.test('every kind of refusal is a problem document', async (t) => {
  const { ask, post, errors } = await serve(t);
  for (const path of ['/api/users', '/api/nothing', '/admin/dlq/x', '/webhook/update', '/api', '/API/users']) {
    const answer = await ask(path, { key: null });
    isProblem(t, answer, 401, 'PH_AUTH_MISSING');
    t.match(answer.headers.get('www-authenticate'), /^Bearer/);
  }
  isProblem(t, await ask('/api/users', { key: `${KEY}x` }), 401, 'PH_AUTH_WRONG');
  isProblem(
    t,
    await ask('/api/users', { key: null, headers: { authorization: `Basic ${KEY}` } }),
    401,
    'PH_AUTH_MISSING',
  );
  isProblem(t, await ask('/nothing', { key: null }), 404, 'PH_ROUTE_NOT_FOUND');
  isProblem(t, await ask('/api/nothing'), 404, 'PH_ROUTE_NOT_FOUND');
  isProblem(t, await ask('/API/users'), 404, 'PH_ROUTE_NOT_FOUND');
  isProblem(t, await ask('/api/users/'), 404, 'PH_ROUTE_NOT_FOUND');
  const method = await ask('/api/users/import', { method: 'DELETE' });
  isProblem(t, method, 405, 'PH_METHOD_NOT_ALLOWED');
  t.equal(method.headers.get('allow'), 'POST, OPTIONS');
  const options = await ask('/api/broadcasts', { method: 'OPTIONS', key: null });
  t.equal(options.status, 204);
  t.match(options.headers.get('allow'), /GET.*POST|POST.*GET/);
  isProblem(t, await ask('/api/broadcasts/9-9'), 404, 'PH_BROADCAST_NOT_FOUND');
  isProblem(t, await ask('/api/deliveries/9-9-9'), 404, 'PH_DELIVERY_NOT_FOUND');
  isProblem(t, await ask('/api/deliveries/%E0%A4%A'), 404, 'PH_DELIVERY_NOT_FOUND');
  isProblem(t, await ask('/api/users/1/5'), 404, 'PH_USER_NOT_FOUND');
  isProblem(t, await ask('/api/users?limit=0'), 400, 'PH_INPUT_INVALID', { errors: [{ field: 'limit' }] });
  isProblem(t, await ask('/api/users?limit=1&limit=2'), 400, 'PH_INPUT_INVALID', { errors: [{ field: 'limit' }] });
  isProblem(t, await ask('/api/users?color=red'), 400, 'PH_INPUT_INVALID', {
    errors: [{ field: 'color', expected: 'no such field' }],
  });
  const messages = Array.from({ length: 4 }, () => ({ chatId: 1, text: 'a' }));
  isProblem(
    t,
    await post('/api/send_messages', { messages: [...messages.slice(0, 3), { chatId: 0, text: 'a' }] }),
    400,
    'PH_INPUT_INVALID',
    {
      errors: [{ field: 'messages[3].chatId', expected: 'a non-zero integer' }],
    },
  );
  for (const body of ['', '{', '{"messages":', '['.repeat(100_000)])
    isProblem(t, await post('/api/send_messages', body), 400, 'PH_BODY_JSON');
  const latin = await ask('/api/broadcasts', {
    method: 'POST',
    body: Buffer.from([0x22, 0xff, 0x22]),
    headers: { 'content-type': 'application/json' },
  });
  isProblem(t, latin, 400, 'PH_BODY_ENCODING');
  for (const type of ['text/plain', 'application/json; charset=latin1', 'application/x-www-form-urlencoded']) {
    isProblem(t, await post('/api/broadcasts', '{"text":"a"}', { 'content-type': type }), 415, 'PH_BODY_TYPE');
  }
  isProblem(t, await post('/api/broadcasts', 'x', { 'content-encoding': 'gzip' }), 415, 'PH_BODY_TYPE');
  isProblem(t, await post('/api/users/import', '[]'), 415, 'PH_BODY_TYPE');
  isProblem(t, await post('/api/users/import', 'who\n1', { 'content-type': 'text/csv' }), 400, 'PH_IMPORT_HEADER', {
    errors: [{ field: 'who' }, { field: 'chatId' }],
  });
  t.same(errors, [], 'none of these is an error of ours');
});

t.test('bodies over the limit are 413, announced or not', async (t) => {
  const { ask, post, calls } = await serve(t);
  const padded = (size: number) => JSON.stringify({ text: 'a' }).padEnd(size, ' ');
  t.equal((await post('/api/broadcasts', padded(1_048_576))).status, 202);
  isProblem(t, await post('/api/broadcasts', padded(1_048_577)), 413, 'PH_BODY_TOO_LARGE');
  const message = JSON.stringify({ messages: [{ chatId: 1, text: 'a' }] });
  t.equal((await post('/api/send_messages', message.padEnd(14 * 1_048_576, ' '))).status, 202);
  isProblem(t, await post('/api/send_messages', message.padEnd(14 * 1_048_576 + 1, ' ')), 413, 'PH_BODY_TOO_LARGE');
  const seen = calls.length;
  const piece = Buffer.alloc(65_536, ' ');
  async function* pieces() {
    for (let sent = 0; sent < 40; sent += 1) yield piece;
  }
  const streamed = { method: 'POST', body: pieces(), duplex: 'half', headers: { 'content-type': 'application/json' } };
  isProblem(t, await ask('/api/broadcasts', streamed as unknown as RequestInit), 413, 'PH_BODY_TOO_LARGE');
  t.equal(calls.length, seen, 'none reached the store');
});

t.test('errors below: known ones by their code, others as 500 without a word of the inside', async (t) => {
  let error: Error = new Error('x');
  const fail = async (): Promise<never> => Promise.reject(error);
  const { post, ask, errors } = await serve(t, {
    services: { acceptance: { messages: fail, chatIds: fail, broadcast: fail }, processes: fail },
  });
  const sent = (): ReturnType<typeof post> => post('/api/broadcasts', { text: 'a' });
  error = new StoreError('PH_IDEMPOTENCY_CONFLICT', 'x');
  isProblem(t, await sent(), 409, 'PH_IDEMPOTENCY_CONFLICT');
  error = new StoreError('PH_TOO_MANY_WAITING', 'x', 30);
  const waiting = await sent();
  isProblem(t, waiting, 503, 'PH_TOO_MANY_WAITING');
  t.equal(waiting.headers.get('retry-after'), '30');
  error = Object.assign(new Error('connect ECONNREFUSED 10.0.0.7'), { name: 'MongoServerSelectionError' });
  const away = await sent();
  isProblem(t, away, 503, 'PH_STORE_AWAY');
  t.equal(away.headers.get('retry-after'), '1');
  t.notMatch(away.text, /10\.0\.0\.7/);
  error = new TypeError('secret inside of the program');
  const broken = await ask('/api/system/tree');
  isProblem(t, broken, 500, 'PH_INTERNAL');
  t.notMatch(broken.text, /secret|TypeError|\.ts|\.js/);
  t.match(errors, [{ err: error, path: '/api/system/tree' }], 'it is logged');
});

t.test('an import is streamed without limit and reports failed lines', async (t) => {
  const { ask, rows } = await serve(t);
  const line = `${JSON.stringify({ chatId: 5, firstName: 'x'.repeat(200) })}\n`;
  async function* lines() {
    for (let count = 0; count < 80; count += 1) yield Buffer.from(line.repeat(100));
    yield Buffer.from('{"chatId":0}\n{"chatId":6}');
  }
  const answer = await ask('/api/users/import', {
    method: 'POST',
    body: lines(),
    duplex: 'half',
    headers: { 'content-type': 'application/x-ndjson; charset=utf-8' },
  } as unknown as RequestInit);
  t.equal(answer.status, 200);
  t.same(answer.body, {
    imported: 8_001,
    updated: 0,
    failed: [{ line: 8_001, error: 'chatId: expected a non-zero integer' }],
    failedTotal: 1,
  });
  t.equal(rows.length, 8_002);
  const csv = await ask('/api/users/import', {
    method: 'POST',
    body: 'chatId,tags\n7,a;b\n',
    headers: { 'content-type': 'text/csv' },
  });
  t.match(csv, { status: 200, body: { imported: 8_002 } });
  t.match(rows.at(-1), { line: 2, person: { chatId: 7, tags: ['a', 'b'] } });
});

t.test('an import whose store goes away is answered, though its body was not read to the end', async (t) => {
  const { ask } = await serve(t, {
    services: {
      importPeople: async ({ rows }) => {
        for await (const _ of rows) throw new StoreError('PH_STORE_AWAY', 'x');
        throw new Error('no row came');
      },
    },
  });
  const body = '{"chatId":5}\n'.repeat(100_000);
  const answer = await ask('/api/users/import', {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-ndjson' },
  });
  isProblem(t, answer, 503, 'PH_STORE_AWAY');
});

/** Writes raw bytes and reads until the server ends the connection or `until` is seen. */
function raw(port: number, bytes: string, until?: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket: Socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    const done = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setEncoding('latin1').on('data', (data) => {
      text += String(data);
      if (until?.test(text) === true) done();
    });
    socket.on('end', done).on('error', reject);
  });
}

t.test('what is not HTTP is refused, and the server goes on', async (t) => {
  const { port, ask, errors } = await serve(t);
  t.match(await raw(port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 [\s\S]*problem\+json[\s\S]*PH_HTTP_MALFORMED/);
  const header = `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`;
  t.match(await raw(port, header), /^HTTP\/1\.1 431 [\s\S]*PH_HTTP_HEADER_TOO_LARGE/);
  t.match(await raw(port, 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 400 /);
  const aborted = connect(port, '127.0.0.1');
  aborted.write(
    `POST /api/broadcasts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEY}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{`,
  );
  await turn();
  aborted.destroy();
  t.equal((await ask('/health')).status, 200);
  t.same(errors, []);
});

/** Reads Server-Sent Events: their `data`, and what else was in the stream. */
async function events(port: number, path: string, more: { signal?: AbortSignal; lastId?: string } = {}) {
  const headers = {
    authorization: `Bearer ${KEY}`,
    ...(more.lastId === undefined ? {} : { 'last-event-id': more.lastId }),
  };
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    headers,
    ...(more.signal === undefined ? {} : { signal: more.signal }),
  });
  const seen: { text: string; data: { state?: string; sent?: number }[]; ended: boolean } = {
    text: '',
    data: [],
    ended: false,
  };
  const reading = (async () => {
    for await (const bytes of response.body ?? []) {
      seen.text += Buffer.from(bytes as Uint8Array).toString();
      seen.data = [...seen.text.matchAll(/^data: (.*)$/gm)].map(([, json = '']) => JSON.parse(json) as object);
    }
  })()
    .catch(() => undefined)
    .then(() => {
      seen.ended = true;
    });
  return { response, seen, reading };
}

t.test('a broadcast is followed by Server-Sent Events until it is over', async (t) => {
  let view = broadcastView({});
  let looks = 0;
  let draining = false;
  const { port, ask } = await serve(t, {
    services: {
      findBroadcast: async (id) => {
        looks += 1;
        return id === '1-3' ? view : undefined;
      },
    },
    draining: () => draining,
    streams: { lookMs: 5, heartbeatMs: 40, most: 3 },
  });
  const path = '/api/broadcasts/1-3/events';
  const both = [await events(port, path), await events(port, path)] as const;
  for (const { response, seen } of both) {
    t.match(response.headers.get('content-type'), /^text\/event-stream/);
    t.match(response.headers.get('cache-control'), /no-cache/);
    await eventually('the object at once', 5_000, async () => seen.data.length === 1, 2);
    t.match(seen.data[0], { id: '1-3', state: 'running', sent: 0 });
  }
  await eventually('a heartbeat', 5_000, async () => both[0].seen.text.includes(': alive\n\n'), 5);
  t.equal(both[0].seen.data.length, 1, 'no event while nothing changes');
  view = broadcastView({ sent: 4 });
  await eventually('the change', 5_000, async () => both.every(({ seen }) => seen.data.at(-1)?.sent === 4), 2);
  view = broadcastView({ state: 'cancelled', sent: 5 });
  await eventually('cancelled', 5_000, async () => both.every(({ seen }) => seen.data.at(-1)?.sent === 5), 2);
  t.notOk(both[0].seen.ended, 'a call is still in the air');
  view = broadcastView({ state: 'cancelled', sent: 6, remaining: 0, finishedAt: 'x' });
  await Promise.all(both.map(({ reading }) => reading));
  for (const { seen } of both) {
    t.match(seen.data.at(-1), { state: 'cancelled', sent: 6, finishedAt: 'x' });
    t.match(seen.text, /id: over\ndata: .*\n\n$/);
  }
  const before = looks;
  t.equal((await events(port, path, { lastId: 'over' })).response.status, 204, 'who has had the last event stays away');
  const late = await events(port, path);
  await late.reading;
  t.equal(late.seen.data.length, 1, 'one who comes later gets the last event');
  t.equal(looks, before + 2, 'nobody follows it any more');
  t.match(await ask('/api/broadcasts/none/events'), { status: 404, body: { code: 'PH_BROADCAST_NOT_FOUND' } });
  t.match(await ask(path, { key: null }), { status: 401 });
  t.equal((await ask(path, { method: 'HEAD' })).status, 200);

  view = broadcastView({});
  const gone = new AbortController();
  const three = [await events(port, path, { signal: gone.signal }), await events(port, path), await events(port, path)];
  t.match(await ask(path), { status: 503, body: { code: 'PH_STREAMS_TOO_MANY' } });
  gone.abort();
  await eventually('room again', 5_000, async () => {
    const next = new AbortController();
    const { response } = await events(port, path, { signal: next.signal });
    next.abort();
    return response.status === 200;
  });
  draining = true;
  await Promise.all(three.map(({ reading }) => reading));
});

t.test('a client that does not read gets no queue, and is cut', async (t) => {
  let sent = 0;
  const { port } = await serve(t, {
    services: {
      findBroadcast: async () => broadcastView({ name: 'x'.repeat(100_000), sent: ++sent }),
    },
    streams: { lookMs: 1, stallMs: 300, most: 1 },
  });
  const socket = connect({ host: '127.0.0.1', port });
  t.teardown(() => socket.destroy());
  socket.write(`GET /api/broadcasts/1-3/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEY}\r\n\r\n`);
  socket.pause();
  let before = -1;
  await eventually(
    'the store is not asked any more',
    20_000,
    async () => {
      const still = sent === before;
      before = sent;
      return still;
    },
    100,
  );
  // Its place is free again once it is cut: it reads nothing that would tell it.
  await eventually('the cut', 20_000, async () => {
    const next = new AbortController();
    const { response } = await events(port, '/api/broadcasts/1-3/events', { signal: next.signal });
    next.abort();
    return response.status === 200;
  });
});

t.test('closing finishes requests in flight and ends idle connections', async (t) => {
  let entered = (): void => undefined;
  let release = (): void => undefined;
  const inside = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { server, port, ask } = await serve(t, {
    services: {
      processes: async () => {
        entered();
        await held;
        return [];
      },
    },
  });
  t.equal((await ask('/health')).status, 200, 'leaves an idle connection behind');
  const request = raw(port, `GET /api/system/tree HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEY}\r\n\r\n`);
  await inside;
  const closed = server.close(10_000);
  await t.rejects(fetch(`http://127.0.0.1:${port}/health`), 'no new connections');
  release();
  t.match(await request, /200 OK[\s\S]*\{"processes":\[\]\}/, 'the request in flight was answered');
  await closed;
  await server.close();
});

t.test('a listener that cannot be had is named', async (t) => {
  const { port } = await serve(t);
  const other = httpServer({
    apiKey: KEY,
    services: () => undefined,
    readiness: () => READY,
    draining: () => false,
    now: () => 0,
    startedAt: 0,
    log: silentLog,
    host: '127.0.0.1',
    port,
  });
  await t.rejects(other.listen(), { code: 'PH_HTTP_PORT_TAKEN', message: new RegExp(`${port}.*taken`) });
  const nowhere = httpServer({
    apiKey: KEY,
    services: () => undefined,
    readiness: () => READY,
    draining: () => false,
    now: () => 0,
    startedAt: 0,
    log: silentLog,
    host: '192.0.2.1',
    port: 0,
  });
  await t.rejects(nowhere.listen(), { code: 'PH_HTTP_ADDRESS' });
});
