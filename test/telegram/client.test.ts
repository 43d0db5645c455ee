import { execFile } from 'node:child_process';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { Pool } from 'undici';
import { type TelegramClient, telegramClient } from '../../src/telegram/client.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/posthorn-process.js';
import { answerOf, CERTIFICATE, type SeenRequest, scriptedServer } from '../support/scripted-server.js';
import { randomFrom, seededRandom } from '../support/seeded-random.js';
import { ANSWERS } from './recorded-answers.js';

const TOKEN = '12:secret-token';
const OK = { ok: true, result: 'grüße 👋' };
/** Longer than any test may take. */
const NEVER_MS = 60_000;
const WITHIN_MS = 20_000;

const failure = (beforeFirstByte: boolean, reason: string) => ({ kind: 'failure', beforeFirstByte, reason });
const answer = (body: unknown, status = 200) => ({ kind: 'answer', status, body });

function clientOf(t: Test, url: string, connections = 1, idleMs?: number): TelegramClient {
  const client = telegramClient(url, TOKEN, connections, idleMs);
  t.teardown(() => client.destroy());
  return client;
}

/** A server with one script for all requests, and a client of it. */
async function pair(t: Test, onRequest: (request: SeenRequest) => void, connections = 1, idleMs?: number) {
  const server = await scriptedServer(t, onRequest);
  return { server, client: clientOf(t, server.url, connections, idleMs) };
}

const until = (what: string, look: () => boolean) => eventually(what, WITHIN_MS, async () => look(), 5);

/** Requests that wait to be answered by the test. */
function held() {
  const list: SeenRequest[] = [];
  return {
    list,
    take: (request: SeenRequest): void => {
      list.push(request);
    },
    answer(body: unknown = OK): void {
      list.shift()?.socket.write(answerOf(body));
    },
  };
}

t.test('a call is one POST, and its answer comes back', async (t) => {
  const { server, client } = await pair(t, ({ socket }) => socket.write(answerOf(OK)));
  t.same(await client.call('sendMessage', { chat_id: 5, text: 'grüße 👋' }), answer(OK));
  t.same(await client.call('sendMessage', { chat_id: 5, text: 'plain' }), answer(OK));
  t.equal(
    server.requests[0]?.head,
    [
      `POST /bot${TOKEN}/sendMessage HTTP/1.1`,
      `Host: 127.0.0.1:${server.port}`,
      'Connection: keep-alive',
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength('{"chat_id":5,"text":"grüße 👋"}')}`,
    ].join('\r\n'),
  );
  t.same(JSON.parse(server.requests[0]?.body ?? ''), { chat_id: 5, text: 'grüße 👋' });
  t.same(JSON.parse(server.requests[1]?.body ?? ''), { chat_id: 5, text: 'plain' });
  t.equal(server.sockets.length, 1, 'both on one connection');
});

t.test('the API root may have a path and a name', async (t) => {
  const { server } = await pair(t, ({ socket }) => socket.write(answerOf(OK)));
  const client = clientOf(t, `http://localhost:${server.port}/proxy/`);
  t.same(await client.call('getMe', {}), answer(OK));
  t.match(server.requests[0]?.head, `POST /proxy/bot${TOKEN}/getMe HTTP/1.1\r\nHost: localhost:${server.port}\r\n`);
});

t.test('a path cannot say more than a path', async (t) => {
  const { server } = await pair(t, ({ socket }) => socket.write(answerOf(OK)));
  const client = telegramClient(server.url, '1:ü\r\nX: y \ud800', 1);
  t.same(await client.call('get Me', {}), answer(OK));
  await client.destroy();
  t.match(server.requests[0]?.head, /^POST \/bot1:%c3%bc%0d%0aX:%20y%20%ef%bf%bd\/get%20Me HTTP\/1\.1\r\nHost: /);
});

t.test('Retry-After is read, when it is a number', async (t) => {
  const values = ['7', 'Sat, 28 Nov 2026 10:00:00 GMT'];
  const { client } = await pair(t, ({ socket, index }) =>
    socket.write(answerOf({}, 429, [`Retry-After: ${values[index]}`])),
  );
  t.same(await client.call('getMe', {}), { ...answer({}, 429), retryAfterHeader: 7 });
  t.same(await client.call('getMe', {}), answer({}, 429));
});

t.test('every recorded answer is read byte by byte, as undici reads it, and the next call goes on', async (t) => {
  const server = await scriptedServer(t, ({ socket, head }) => {
    const { bytes = Buffer.alloc(0), untilClose } = ANSWERS[Number(/recorded(\d+)/.exec(head)?.[1])] ?? {};
    let at = 0;
    const next = (): void => {
      if (socket.destroyed) return;
      socket.write(bytes.subarray(at, at + 1));
      at += 1;
      if (at < bytes.length) setImmediate(next);
      else if (untilClose === true) socket.end();
    };
    next();
  });
  const client = clientOf(t, server.url);
  const pool = new Pool(server.url, { connections: 1 });
  t.teardown(() => pool.destroy());
  for (const [i, { name, text, status, retryAfter, notByUndici }] of ANSWERS.entries()) {
    const { body } = await client.call(`recorded${i}`, {}).then((end) => {
      t.match(end, {
        kind: 'answer',
        status,
        ...(retryAfter === undefined ? {} : { retryAfterHeader: Number(retryAfter) }),
      });
      return end as { body: unknown };
    });
    t.same(body, text === '' ? undefined : JSON.parse(text), name);
    if (notByUndici === true) continue;
    const theirs = await pool.request({ path: `/recorded${i}`, method: 'POST', body: '{}' });
    t.same([theirs.statusCode, await theirs.body.text()], [status, text], `${name}: undici`);
  }
});

t.test('changed answers end every call, with what undici reads in them', async (t) => {
  const seed = seededRandom(t).whole(0, 2 ** 31);
  const usable = ANSWERS.filter(({ notByUndici }) => notByUndici === undefined);
  const changed = (index: number): Buffer => {
    const random = randomFrom(seed + index);
    const { bytes } = random.pick(usable);
    const at = random.whole(0, bytes.length - 1);
    const put = random.pick(['', '\r\n', '\n', '0', ' ', ':', 'x', '\0', 'Content-Length: 3\r\n']);
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(put), bytes.subarray(at + random.whole(0, 3))]);
  };
  // Each connection is ended after its answer: so nobody waits for what does not come.
  const server = await scriptedServer(t, ({ socket, head }) =>
    socket.end(changed(Number(/changed(\d+)/.exec(head)?.[1]))),
  );
  const client = clientOf(t, server.url, 4);
  const pool = new Pool(server.url, { connections: 4 });
  t.teardown(() => pool.destroy());
  const counts = { both: 0, none: 0, ours: 0, theirs: 0 };
  for (let i = 0; i < 1_000; i += 1) {
    const mine = await client.call(`changed${i}`, {});
    const theirs = await pool
      .request({ path: `/changed${i}`, method: 'POST', body: '{}' })
      .then(async ({ statusCode, body }) => ({ status: statusCode, text: await body.text() }))
      .catch(() => undefined);
    if (mine.kind === 'failure') {
      if (mine.beforeFirstByte) t.fail(`seed ${seed + i}: ${mine.reason} was said to be before the first byte`);
      if (mine.reason === 'timeout') t.fail(`seed ${seed + i}: the end of the connection was not seen`);
      counts[theirs === undefined ? 'none' : 'theirs'] += 1;
    } else if (theirs === undefined) counts.ours += 1;
    else {
      counts.both += 1;
      let body: unknown;
      try {
        body = JSON.parse(theirs.text);
      } catch {
        body = undefined;
      }
      const same = mine.status === theirs.status && JSON.stringify(mine.body) === JSON.stringify(body);
      if (!same) t.same(mine, answer(body, theirs.status), `seed ${seed + i}: ${JSON.stringify(String(changed(i)))}`);
    }
  }
  t.comment(JSON.stringify(counts));
  t.ok(counts.both > 200, 'many are read by both');
  t.ok(counts.none > 100, 'many are refused by both');
  t.ok(counts.ours + counts.theirs < 60, 'about few there are two opinions');
});

t.test('a refused connection is before the first byte, for every call', async (t) => {
  const client = clientOf(t, `http://127.0.0.1:${await freePort()}`, 2);
  const ends = await Promise.all(Array.from({ length: 5 }, () => client.call('getMe', {})));
  t.same(ends, Array(5).fill(failure(true, 'ECONNREFUSED')));
});

t.test('a name that is none is before the first byte', async (t) => {
  const client = clientOf(t, 'http://no-such-host.invalid');
  t.match(await client.call('getMe', {}), { kind: 'failure', beforeFirstByte: true, reason: /^E/ });
});

t.test('what goes wrong after the request was written may have been heard', async (t) => {
  const ways: readonly (readonly [string, (socket: Socket) => void])[] = [
    ['connection closed', (socket) => socket.end()],
    ['ECONNRESET', (socket) => socket.resetAndDestroy()],
    ['connection closed', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Le')],
    ['answer broken off', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"ok"')],
    ['answer broken off', (socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n')],
    ['malformed answer', (socket) => socket.write('SSH-2.0\r\n')],
    ['answer too large', (socket) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${21 * 1_048_576}\r\n\r\n`)],
  ];
  const { server, client } = await pair(t, ({ socket, index }) => ways[index]?.[1](socket));
  for (const [reason] of ways) t.same(await client.call('getMe', {}), failure(false, reason), reason);
  await until('all connections are gone', () => server.open === 0);
  t.equal(server.sockets.length, ways.length, 'none was used again');
});

t.test('a timeout counts from the call: in line, in flight and in the middle of an answer', async (t) => {
  const { server, client } = await pair(t, ({ socket, head }) => {
    if (head.includes('/broken ')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"ok"');
    if (head.includes('/whole ')) socket.write(answerOf(OK));
  });
  await client.warm(1);
  const first = client.call('silent', {}, { timeoutMs: 60 });
  const inLine = client.call('whole', {}, { timeoutMs: 30 });
  t.same(await inLine, failure(true, 'timeout'));
  t.same(await first, failure(false, 'timeout'));
  await client.warm(1);
  t.same(await client.call('broken', {}, { timeoutMs: 60 }), failure(false, 'timeout'));
  t.same(await client.call('whole', {}, { timeoutMs: NEVER_MS }), answer(OK), 'later calls go on');
  t.equal(server.sockets.length, 3, 'on connections of their own');
});

t.test('a short timeout is kept beside a long one that came before', async (t) => {
  const { client } = await pair(t, () => undefined, 2);
  await client.warm(2);
  const long = client.call('getMe', {}, { timeoutMs: NEVER_MS });
  t.same(await client.call('getMe', {}, { timeoutMs: 20 }), failure(false, 'timeout'));
  await client.destroy();
  t.same(await long, failure(false, 'connections destroyed'));
});

t.test('a server that does not finish its handshake is before the first byte', async (t) => {
  const server = await scriptedServer(t, () => undefined); // it speaks no TLS, and says nothing
  const client = clientOf(t, `https://127.0.0.1:${server.port}`);
  t.same(await client.call('getMe', {}, { timeoutMs: 30 }), failure(true, 'timeout'));
});

t.test('calls go in the order in which they came, on no more than their connections', async (t) => {
  const { list, take, answer: answerOne } = held();
  const { server, client } = await pair(t, take, 3);
  const ended: number[] = [];
  const calls = Array.from({ length: 20 }, (_, n) => client.call('n', { n }).then(() => ended.push(n)));
  for (let left = 20; left > 0; left -= 1) {
    await until('as many as may be are under way', () => list.length === Math.min(3, left));
    answerOne();
  }
  await Promise.all(calls);
  const numbers = server.requests.map(({ body }) => (JSON.parse(body) as { n: number }).n);
  t.same(
    numbers.slice(3),
    Array.from({ length: 17 }, (_, i) => i + 3),
  );
  t.same(numbers.slice(0, 3).sort(), [0, 1, 2], 'the first three each on a connection');
  t.equal(ended.length, 20);
  t.equal(server.sockets.length, 3);
});

t.test('the connection that was used last is used next', async (t) => {
  const { list, take, answer: answerOne } = held();
  const { server, client } = await pair(t, take, 2);
  const both = [client.call('a', {}), client.call('a', {})];
  await until('both are under way', () => list.length === 2);
  answerOne();
  await Promise.race(both);
  answerOne();
  await Promise.all(both);
  const last = server.requests[1]?.socket;
  for (let i = 0; i < 3; i += 1) {
    const call = client.call('b', {});
    await until('it is under way', () => list.length === 1);
    t.equal(list[0]?.socket, last);
    answerOne();
    await call;
  }
});

t.test('idle connections are closed, and those that the server closed are not used', async (t) => {
  await t.test('by ourselves', async (t) => {
    const { server, client } = await pair(t, ({ socket }) => socket.write(answerOf(OK)), 2, 30);
    await Promise.all([client.call('getMe', {}), client.call('getMe', {})]);
    await until('all are closed', () => server.open === 0);
    t.same(await client.call('getMe', {}), answer(OK));
    t.equal(server.sockets.length, 3);
  });
  await t.test('by the server', async (t) => {
    const { server, client } = await pair(t, ({ socket }) => socket.write(answerOf(OK)));
    for (const end of ['end', 'resetAndDestroy'] as const) {
      t.same(await client.call('getMe', {}), answer(OK));
      const { length } = server.sockets;
      server.sockets.at(-1)?.[end]();
      // Another is opened once the client knows that this one has gone.
      await eventually('the close is noticed', WITHIN_MS, async () => {
        await client.warm(1);
        return server.sockets.length > length;
      });
    }
    t.same(await client.call('getMe', {}), answer(OK));
    t.equal(server.sockets.length, 3);
  });
  await t.test('before the time that the server names', async (t) => {
    const { server, client } = await pair(t, ({ socket }) =>
      socket.write(answerOf(OK, 200, ['Keep-Alive: timeout=2'])),
    );
    t.same(await client.call('getMe', {}), answer(OK));
    await until('it is closed', () => server.open === 0);
    t.same(await client.call('getMe', {}), answer(OK));
  });
  await t.test('after words that nobody asked for', async (t) => {
    const { server, client } = await pair(t, ({ socket }) => socket.write(answerOf(OK)));
    await client.call('getMe', {});
    server.sockets[0]?.write(answerOf({}, 408));
    await until('it is closed', () => server.open === 0);
    t.same(await client.call('getMe', {}), answer(OK));
  });
  await t.test('after more than one answer', async (t) => {
    const { server, client } = await pair(t, ({ socket, index }) =>
      socket.write(answerOf({ index }) + answerOf({ index: -1 })),
    );
    t.same(await client.call('getMe', {}), answer({ index: 0 }));
    t.same(await client.call('getMe', {}), answer({ index: 1 }));
    t.equal(server.sockets.length, 2);
  });
  await t.test('after Connection: close, though it stays open', async (t) => {
    const { server, client } = await pair(t, ({ socket }) => socket.write(answerOf(OK, 200, ['Connection: close'])));
    t.same(await Promise.all([client.call('a', {}), client.call('b', {})]), [answer(OK), answer(OK)]);
    t.equal(server.sockets.length, 2);
  });
});

t.test('connections are opened ahead, and nothing is called', async (t) => {
  const { server, client } = await pair(t, ({ socket }) => socket.write(answerOf(OK)), 5);
  await client.warm(3);
  await until('three are open', () => server.open === 3);
  await client.warm(2);
  await client.warm(99);
  await until('as many as may be are open', () => server.open === 5);
  t.equal(server.requests.length, 0);
  t.same(await client.call('getMe', {}), answer(OK));
  t.equal(server.sockets.length, 5);
  const far = clientOf(t, `http://127.0.0.1:${await freePort()}`, 5);
  await far.warm(5);
});

t.test('destroying cuts everything, and the client can be used again', async (t) => {
  const { list, take, answer: answerOne } = held();
  const { server, client } = await pair(t, take, 2);
  const inFlight = [client.call('a', {}), client.call('b', {})];
  const waiting = client.call('c', {});
  await until('two are under way', () => list.length === 2);
  await client.destroy();
  t.same(await Promise.all(inFlight), Array(2).fill(failure(false, 'connections destroyed')));
  t.same(await waiting, failure(true, 'connections destroyed'));
  await until('both are closed', () => server.open === 0);
  list.length = 0;
  const opening = client.call('d', {});
  await client.destroy();
  t.same(await opening, failure(true, 'connections destroyed'), 'while it connects');
  const again = client.call('e', {});
  await until('it is under way', () => list.length === 1);
  answerOne();
  t.same(await again, answer(OK));
  t.same(
    server.requests.map(({ head }) => /\/(\w) HTTP/.exec(head)?.[1]).sort(),
    ['a', 'b', 'e'],
    'nothing else was written',
  );
});

t.test('a signal ends a call before, in line and in flight', async (t) => {
  const { list, take, answer: answerOne } = held();
  const { server, client } = await pair(t, take);
  const aborts = [new AbortController(), new AbortController()] as const;
  const inFlight = client.call('a', {}, { signal: aborts[0].signal });
  const inLine = client.call('a', {}, { signal: aborts[1].signal });
  const after = client.call('b', {});
  await t.rejects(client.call('a', {}, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await until('one is under way', () => list.length === 1);
  aborts[1].abort();
  await t.rejects(inLine, { name: 'AbortError' });
  list.length = 0;
  aborts[0].abort();
  await t.rejects(inFlight, { name: 'AbortError' });
  await until('the next is under way', () => list.length === 1);
  answerOne();
  t.same(await after, answer(OK));
  t.equal(server.requests.length, 2);
  t.equal(server.sockets.length, 2, 'the connection of the aborted call was cut');
  const late = new AbortController();
  const call = client.call('c', {}, { signal: late.signal });
  await until('it is under way', () => list.length === 1);
  answerOne();
  t.same(await call, answer(OK));
  late.abort();
  t.equal(server.open, 1, 'a signal that comes late does nothing');
});

t.test('no failure names the token', async (t) => {
  const { server, client } = await pair(t, ({ socket }) => socket.destroy());
  const far = clientOf(t, `http://127.0.0.1:${await freePort()}`);
  const aborted = client.call('getMe', {}, { signal: AbortSignal.abort() }).catch((error: Error) => error.stack);
  const ends = [await client.call('getMe', {}), await far.call('getMe', {}), await aborted];
  t.notMatch(JSON.stringify(ends), 'secret');
  t.match(server.requests[0]?.head, 'secret');
});

t.test('an answer of some megabytes comes whole', async (t) => {
  const large = { ok: true, result: 'ä'.repeat(4_000_000) };
  const { client } = await pair(t, ({ socket }) => socket.write(answerOf(large)));
  const end = await client.call('getUpdates', {});
  t.ok(end.kind === 'answer' && JSON.stringify(end.body) === JSON.stringify(large));
});

/** Runs the fixture in a process that trusts what `extra` says. */
async function httpsCall(url: string, extra: string | undefined): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), join(import.meta.dirname, 'https-call.fixture.ts'), url],
    { env: { PATH: process.env.PATH, ...(extra === undefined ? {} : { NODE_EXTRA_CA_CERTS: extra }) } },
  );
  return JSON.parse(stdout) as unknown;
}

t.test('https: a certificate that is trusted, is not, and is for another name', async (t) => {
  const server = await scriptedServer(t, ({ socket, body }) => socket.write(answerOf(JSON.parse(body))), 'tls');
  const seen = () => server.sockets.map((socket) => (socket as TLSSocket & { servername?: string | false }).servername);
  const ends = [answer({}), answer({ text: 'grüße' })];
  t.same(await httpsCall(`https://localhost:${server.port}`, CERTIFICATE), ends);
  t.same(seen(), ['localhost'], 'one connection, by name');
  t.same(await httpsCall(server.url, CERTIFICATE), ends, 'by address');
  t.same(
    await httpsCall(server.url, undefined),
    Array(2).fill(failure(true, 'DEPTH_ZERO_SELF_SIGNED_CERT')),
    'not trusted',
  );
  const other = await scriptedServer(t, () => undefined, 'tls', '127.0.0.2');
  t.same(
    await httpsCall(other.url, CERTIFICATE),
    Array(2).fill(failure(true, 'ERR_TLS_CERT_ALTNAME_INVALID')),
    'for another name',
  );
  t.equal(server.requests.length + other.requests.length, 4, 'nothing was written without trust');
});

t.test('https: the next connection goes on with the session of the last', async (t) => {
  const resumed: boolean[] = [];
  const closing = ({ socket, body }: SeenRequest): void => {
    resumed.push((socket as TLSSocket).isSessionReused());
    socket.write(answerOf(JSON.parse(body), 200, ['Connection: close']));
  };
  const server = await scriptedServer(t, closing, 'tls');
  const ends = await httpsCall(`https://localhost:${server.port}`, CERTIFICATE);
  t.same(ends, [answer({}), answer({ text: 'grüße' })]);
  t.same(resumed, [false, true]);
});

t.test('a process ends beside idle connections', async (t) => {
  const { server } = await pair(t, ({ socket }) => socket.write(answerOf(OK)));
  const script = `const { telegramClient } = await import(${JSON.stringify(new URL('../../src/telegram/client.ts', import.meta.url).href)});
    console.log(JSON.stringify(await telegramClient(process.argv[1], '1:a', 1).call('getMe', {})));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', script, server.url],
    { timeout: 9_000 },
  );
  t.same(JSON.parse(stdout), answer(OK));
});
