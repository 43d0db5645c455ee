import { connect } from 'node:net';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { BodyBudget } from '../../../src/local/telegram/http/body-budget.js';
import { readForm } from '../../../src/local/telegram/http/multipart.js';
import { HttpReader, type HttpRequest } from '../../../src/local/telegram/http/reader.js';
import { seededRandom } from '../../support/seeded-random.js';
import { ask, bench, until } from './telegram-bench.js';

const FIELDS_MAX_BYTES = 1024 * 1024;
const MEGABYTE = 1024 * 1024;

/** A form as undici, the client of Node itself, puts it on the wire. */
async function wire(form: FormData): Promise<{ body: Buffer; type: string }> {
  const response = new Response(form);
  return { body: Buffer.from(await response.arrayBuffer()), type: response.headers.get('content-type') ?? '' };
}

const part = (head: string, value: string): string => `--b\r\n${head}\r\n\r\n${value}\r\n`;
const named = (more: string): string => `Content-Disposition: form-data; ${more}`;

t.test('what a client puts in a form comes out of it, whatever the bytes', async (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(fc.constantFrom(13, 10, 45), { maxLength: 60 }).map((list) => Uint8Array.from(list)),
  );
  const name = fc.stringMatching(/^[a-z_]{1,12}$/);
  const text = fc.string({ maxLength: 50, unit: 'grapheme' }).map((value) => value.replace(/\r\n|\r|\n/g, '\r\n'));
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.tuple(name, fc.oneof(text, bytes)), { selector: ([key]) => key, maxLength: 8 }),
      async (entries) => {
        const form = new FormData();
        for (const [key, value] of entries) {
          if (typeof value === 'string') form.set(key, value);
          else form.set(key, new Blob([Uint8Array.from(value)], { type: 'image/png' }), `${key}; "x".png`);
        }
        const { body, type } = await wire(form);
        const read = readForm(body, type, FIELDS_MAX_BYTES);
        if ('status' in read) throw new Error(read.what);
        for (const [key, value] of entries) {
          if (typeof value === 'string') t.equal(read.fields.get(key), value);
          else {
            const file = read.files.get(key);
            t.equal(file?.name, `${key}; %22x%22.png`, 'names as the client wrote them');
            t.equal(file?.type, 'image/png');
            t.ok(file?.bytes.equals(value));
          }
        }
        t.equal(read.fields.size + read.files.size, entries.length);
      },
    ),
    { numRuns: 150 },
  );
});

t.test('forms of other makes', (t) => {
  const read = (body: string, type = 'multipart/form-data; boundary=b') =>
    readForm(Buffer.from(body), type, FIELDS_MAX_BYTES);
  const form = read(
    `a preamble\r\n${part(`content-type: text/plain\r\ncontent-disposition:form-data ;name=a; filename*=utf-8''x`, '1')}` +
      part(named('name="a"'), 'the first counts') +
      part(`${named('filename="say \\"hi\\".txt";\r\n name="f"')}\r\nContent-Type: text/plain`, '--b-not--b') +
      part(named('name="g"; filename=""'), '') +
      part(named('name="h"; filename="not "escaped"; at all.txt" '), '') +
      part('content-disposition:form-data;name="i";filename=a "bare" name.txt', '') +
      '--b--\r\nan epilogue',
    'multipart/form-data; charset=utf-8; Boundary="b"; x=y',
  );
  if ('status' in form) throw new Error(form.what);
  t.same([...form.fields], [['a', '1']]);
  t.match(form.files.get('f'), { name: 'say "hi".txt', type: 'text/plain' });
  t.equal(form.files.get('f')?.bytes.toString(), '--b-not--b');
  t.match(form.files.get('g'), { name: '', type: 'application/octet-stream', bytes: { length: 0 } });
  t.equal(form.files.get('h')?.name, 'not "escaped');
  t.equal(form.files.get('i')?.name, 'a "bare" name.txt');
  t.same(read('--b--'), { fields: new Map(), files: new Map() }, 'a form of nothing');

  const field = named('name="a"');
  for (const [body, fault, type] of [
    ['', { what: "can't parse multipart body" }],
    ['x', { what: 'boundary not found' }, 'multipart/form-data'],
    ['x', { what: 'boundary too big or empty' }, 'multipart/form-data; boundary='],
    ['x', { what: 'boundary too big or empty' }, `multipart/form-data; boundary=${'b'.repeat(71)}`],
    ['--b\r\n\r\nvalue\r\n--b--', { what: 'headers in multipart/form-data are empty' }],
    [part('Content-Disposition: attachment; name="a"', '1'), { what: 'expected form-data content disposition' }],
    [part('no colon', '1'), { what: "can't parse form data headers" }],
    [part('Content-Type: text/plain', '1'), { what: 'field name in multipart/form-data not found' }],
    [part(named('name="a'), '1'), { what: 'field name in multipart/form-data not found' }],
    [part(field, '1'), { what: "can't parse multipart body" }],
    [`--b\r\n${field}`, { what: "can't parse multipart body" }],
    [
      `${part(field, 'x'.repeat(FIELDS_MAX_BYTES + 1))}--b--`,
      { status: 413, what: 'too much parameters in form data' },
    ],
    [
      Array.from({ length: 51 }, (_, i) => part(named(`name="f${i}"; filename="x"`), ''))
        .join('')
        .concat('--b--'),
      { status: 413, what: 'too much files attached' },
    ],
    [
      `${part(`${field}\r\nX: ${'x'.repeat(256 * 1024)}`, '')}--b--`,
      { status: 431, what: 'total headers size exceeded' },
    ],
  ] as const) {
    t.match(read(body, type), { status: 400, ...fault }, body.slice(0, 60));
  }
  t.end();
});

t.test('forms that were damaged are read or refused, never more', async (t) => {
  const random = seededRandom(t);
  const form = new FormData();
  form.set('chat_id', '5');
  form.set('photo', new Blob(['\r\n--', Uint8Array.from({ length: 80 }, (_, i) => i)]), 'a.png');
  form.set('caption', 'two\r\nlines');
  const { body, type } = await wire(form);
  let refused = 0;
  const rounds = process.env.POSTHORN_TEST_LONG === undefined ? 3000 : 100_000;
  for (let round = 0; round < rounds; round += 1) {
    let damaged = Buffer.from(body);
    for (let i = random.whole(1, 3); i > 0; i -= 1) {
      const at = random.whole(0, damaged.length);
      const rest = damaged.subarray(at + random.whole(0, random.pick([0, 2, 40])));
      const put = random.pick([[], [13, 10], [45, 45], [random.whole(0, 255)], [34], [59]]);
      damaged = Buffer.concat([damaged.subarray(0, at), Buffer.from(put), rest]);
    }
    const read = readForm(damaged, type, FIELDS_MAX_BYTES);
    if ('status' in read) refused += 1;
    else {
      for (const { bytes } of read.files.values()) if (bytes.length > damaged.length) t.fail('a file out of nothing');
    }
  }
  t.ok(refused > rounds / 20 && refused < rounds, `${refused} of ${rounds} refused`);
});

/** A connection's reader that notes what it read. */
function reading(budget: BodyBudget, maxBytes: number) {
  const requests: HttpRequest[] = [];
  const faults: number[] = [];
  const reader: HttpReader = new HttpReader(
    {
      onRequest: (request) => requests.push(request),
      onContinue: () => undefined,
      onFault: (status) => faults.push(status),
      onGranted: () => reader.feed(Buffer.alloc(0)),
    },
    maxBytes,
    budget,
  );
  return { reader, requests, faults };
}

t.test('bodies under way hold no more than the budget, and wait for it in turn', (t) => {
  const size = 100_000;
  const head = `POST / HTTP/1.1\r\nContent-Length: ${size}\r\n\r\n`;
  const body = Buffer.alloc(size, 'x');
  const budget = new BodyBudget(2.5 * size);
  const all = [1, 2, 3, 4].map(() => reading(budget, size));
  const [first, second, third, fourth] = all;
  if (!(first && second && third && fourth)) throw new Error('four readers');
  for (const { reader } of all) {
    reader.feed(Buffer.from(head));
    reader.feed(body.subarray(0, 70_000));
  }
  t.same(
    all.map(({ reader }) => [reader.waits, reader.holds]),
    [
      [false, true],
      [false, true],
      [true, false],
      [true, false],
    ],
  );
  first.reader.feed(body.subarray(70_000));
  t.match(first.requests, [{ held: size }]);
  t.ok(third.reader.waits, 'a body that is not dealt with yet is held still');
  budget.give(size);
  t.notOk(third.reader.waits);
  third.reader.end();
  t.ok(fourth.reader.holds, 'a connection that ends lets the next one on');
  second.reader.end();
  fourth.reader.feed(body.subarray(70_000));
  t.ok(fourth.requests[0]?.body.equals(body));
  budget.give(size);

  const small = reading(budget, size);
  t.ok(budget.take(2.5 * size, () => undefined));
  small.reader.feed(Buffer.from('POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab'));
  small.reader.feed(Buffer.from('cde'));
  t.match(small.requests, [{ held: 0 }], 'small ones take nothing of it');
  budget.give(2.5 * size);

  const chunked = reading(budget, size);
  const piece = Buffer.concat([Buffer.from('9c40\r\n'), Buffer.alloc(40_000, 'y'), Buffer.from('\r\n')]);
  chunked.reader.feed(Buffer.from('POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'));
  for (const cut of [piece, piece]) {
    for (let at = 0; at < cut.length; at += 777) chunked.reader.feed(cut.subarray(at, at + 777));
  }
  t.ok(chunked.reader.holds);
  chunked.reader.feed(Buffer.from('0\r\n\r\n'));
  t.ok(chunked.requests[0]?.body.equals(Buffer.alloc(80_000, 'y')));
  t.equal(chunked.requests[0]?.held, 80_000, 'what it took too much is given back');
  chunked.reader.feed(Buffer.from('POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'));
  for (const cut of [piece, piece, piece]) chunked.reader.feed(cut);
  t.same(chunked.faults, [413]);
  budget.give(80_000);
  t.ok(
    budget.take(2.5 * size, () => undefined),
    'all of it is back',
  );
  t.end();
});

t.test('what is too large is refused, and the client reads why', async (t) => {
  const { telegram, token, call, people } = await bench(t);
  const [chat = 0] = await people(1);
  t.match(await call('sendMessage', { chat_id: chat, text: 'x'.repeat(MEGABYTE) }), {
    status: 413,
    body: { error_code: 413, description: 'Request Entity Too Large: too much parameters' },
  });
  const form = new FormData();
  form.set('document', new Blob([Buffer.alloc(50 * MEGABYTE + 1)]), 'x.bin');
  t.match(await ask(`${telegram.url}/bot${token}/sendMessage`, { method: 'POST', body: form }), {
    status: 413,
    body: { ok: false, error_code: 413, description: 'Request Entity Too Large' },
  });

  // A client that sends all before it reads: the answer must not be lost to a reset.
  const socket = connect({ port: telegram.port, host: '127.0.0.1', allowHalfOpen: true });
  let answer = '';
  let ended = false;
  socket.on('data', (bytes) => {
    answer += bytes.toString();
  });
  socket.on('end', () => {
    ended = true;
  });
  const length = 60 * MEGABYTE;
  socket.write(`POST /bot${token}/sendDocument HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`);
  for (let sent = 0; sent < length; sent += MEGABYTE) {
    await new Promise<void>((resolve, reject) => {
      socket.write(Buffer.alloc(MEGABYTE), (error) => (error ? reject(error) : resolve()));
    });
  }
  await until(() => ended);
  t.match(answer, /^HTTP\/1\.1 413 [\s\S]*"Request Entity Too Large"/);
  socket.destroy();
});

async function sendMany(t: Test, url: string, count: number): Promise<void> {
  const form = new FormData();
  form.set('x', new Blob([Buffer.alloc(30 * MEGABYTE)]), 'x.bin');
  const answers = await Promise.all(Array.from({ length: count }, () => ask(url, { method: 'POST', body: form })));
  t.ok(answers.every(({ status }) => status === 200));
}

t.test('many large bodies at once wait for each other, and all are answered', async (t) => {
  const { telegram, token } = await bench(t);
  await sendMany(t, `${telegram.url}/bot${token}/getMe`, 20);
});
