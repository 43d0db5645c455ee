import type { SeededRandom } from '../../support/seeded-random.js';
import { bytesOfRecorded, RECORDED } from './recorded-requests.js';

/**
 * A request that no client would send, and what is due for it: `refused` is a Bot API error, after so many answers to whole requests before it; `refused-or-none` may also be
 * a closed connection, since the client ends in the middle of a request; `any` are random changes that may have left it whole.
 */
export interface MalformedRequest {
  readonly kind: string;
  readonly bytes: Buffer;
  readonly due: 'refused' | 'refused-or-none' | 'any';
  readonly wholeBefore: number;
}

/** Whose requests are changed. */
export interface Target {
  readonly token: string;
  readonly person: number;
}

type Make = (random: SeededRandom, target: Target) => Buffer;

const HEAD_MAX_BYTES = 16 * 1024;

const one = <T>(random: SeededRandom, list: readonly T[]): T => list[random.whole(0, list.length - 1)] as T;
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

function randomBytes(random: SeededRandom, most: number): Buffer {
  return Buffer.from(Array.from({ length: random.whole(1, most) }, () => random.whole(0, 255)));
}

/** A request for a method with a body of that type, whole in itself. */
function post(path: string, contentType: string, body: Buffer | string, more = ''): Buffer {
  const content = typeof body === 'string' ? Buffer.from(body) : body;
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${contentType}\r\nContent-Length: ${content.length}\r\n${more}\r\n`;
  return Buffer.concat([latin1(head), content]);
}

const message = ({ person }: Target): string => JSON.stringify({ chat_id: person, text: 'a text' });

/** The same with lines of one's own in place of the framing. */
function framed(target: Target, lines: readonly string[], body: string): Buffer {
  const head = [`POST /bot${target.token}/sendMessage HTTP/1.1`, 'Content-Type: application/json', ...lines];
  return latin1(`${head.join('\r\n')}\r\n\r\n${body}`);
}

const requestLine: Make = (random, { token }) => {
  const path = `/bot${token}/getMe`;
  const line = one(random, [
    `get ${path} HTTP/1.1`,
    `${'G'.repeat(random.whole(21, 900))} ${path} HTTP/1.1`,
    `GET  ${path} HTTP/1.1`,
    `GET\t${path}\tHTTP/1.1`,
    `GET ${path}`,
    `GET ${path} HTTP/${random.whole(2, 9)}.0`,
    `GET ${path} HTTP/1.${random.whole(2, 99)}`,
    `GET ${path} HTTP/1.1 ${random.whole(0, 9)}`,
    `GET ${path} ICY/1.1`,
    `GET bot${token}/getMe HTTP/1.1`,
    `GET /bot${token}/get\tMe ${random.whole(0, 9)} HTTP/1.1`,
    ' GET / HTTP/1.1',
    'HTTP/1.1 200 OK',
    `\u0016\u0003\u0001${randomBytes(random, 80).toString('latin1')}`,
    `${String.fromCharCode(random.whole(0, 9))}GET ${path} HTTP/1.1`,
    '*1',
    'GET',
  ]);
  return latin1(`${line}\r\nHost: localhost\r\n\r\n`);
};

const header: Make = (random, { token }) => {
  const line = one(random, [
    'no colon here',
    ': without a name',
    ' folded: header',
    '\tfolded: header',
    `X-Long: ${'x'.repeat(random.whole(HEAD_MAX_BYTES, HEAD_MAX_BYTES * 3))}`,
    ...Array.from({ length: 2 }, () =>
      randomBytes(random, 40)
        .toString('latin1')
        .replaceAll(/[:\r\n]/g, '.'),
    ),
  ]);
  const first = one(random, ['Host: localhost\r\n', '']);
  return latin1(`GET /bot${token}/getMe HTTP/1.1\r\n${first}${line}\r\n\r\n`);
};

const length: Make = (random, target) => {
  const body = message(target);
  const wrong = one(random, [
    `-${random.whole(1, 999)}`,
    `+${body.length}`,
    `${body.length}.0`,
    `0x${body.length.toString(16)}`,
    '9'.repeat(random.whole(16, 400)),
    String(random.whole(2 ** 30, 2 ** 40)),
    '',
    'chunked',
    `${body.length}, ${body.length + 1}`,
    `${body.length}\r\nContent-Length: ${body.length + random.whole(1, 9)}`,
  ]);
  return framed(target, [`Content-Length: ${wrong}`], body);
};

const chunks: Make = (random, target) => {
  const body = message(target);
  const size = body.length.toString(16);
  const [coding, wire] = one(random, [
    [one(random, ['gzip', 'deflate, chunked', 'identity', 'chunked chunked', '']), body],
    ['chunked', `${one(random, ['g', '-1', '0x10', '', ' ', '1.5', '\u0000'])}\r\n${body}\r\n0\r\n\r\n`],
    ['chunked', `${size}\r\n${body}${one(random, ['xx', '\n\n', '\r\r'])}0\r\n\r\n`],
    ['chunked', `${'f'.repeat(random.whole(8, 40))}\r\n${body}`],
    ['chunked', `${size};${'x'.repeat(random.whole(1100, 5000))}`],
    ['chunked', `0\r\n${'x: y\r\n'.repeat(random.whole(4000, 6000))}`],
    [`chunked\r\nContent-Length: ${body.length}`, `${size}\r\n${body}\r\n0\r\n\r\n`],
    // A whole one of no use: half of the JSON.
    [
      'chunked',
      `${Math.floor(body.length / 2).toString(16)}\r\n${body.slice(0, Math.floor(body.length / 2))}\r\n0\r\n\r\n`,
    ],
  ] as const);
  return framed(target, [`Transfer-Encoding: ${coding}`], wire);
};

const percent: Make = (random, { token, person }) => {
  const broken = one(random, ['%', '%z', '%4', '%zz', '%C3', '%E0%A4', '%FF%FE', '%00', '%u0041', '%%41']);
  const [path, query, body] = one(random, [
    [`/bot${token}/getMe${broken}`, '', ''],
    [`/bot${broken}${token}/getMe`, '', ''],
    [`/bot${token}${broken}/getMe`, '', ''],
    [`/${broken}bot${token}/getMe`, '', ''],
    [`/bot${token}/`, '', ''],
    [`/bot/getMe`, '', ''],
    [`/file/bot${token}/${broken}`, '', ''],
    [`/bot${token}/sendMessage`, `?chat_id=${person}${broken}&text=a`, ''],
    [`/bot${token}/sendMessage`, `?chat_id${broken}=${person}&text=a`, ''],
    [`/bot${token}/sendMessage`, '', `text=a&chat_id=${broken}`],
    [`/bot${token}/sendMessage`, '', `${broken}text=a&chat_id=${person}`],
    [`/bot${token}/sendMessage`, '', `chat_id=${person}&text=a&reply_markup=${broken}`],
  ] as const);
  return body === ''
    ? latin1(`GET ${path}${query} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    : post(path, 'application/x-www-form-urlencoded', body);
};

const json: Make = (random, target) => {
  const whole = JSON.stringify({ chat_id: target.person, text: 'Ĝis "la"', reply_markup: { inline_keyboard: [[]] } });
  const cut = whole.slice(0, random.whole(1, whole.length - 1));
  const depth = random.whole(257, 20_000);
  const body = one(random, [
    cut,
    cut,
    `${whole}${one(random, ['}', ']', ',', 'x', '\u0000', whole])}`,
    whole.replace(',', one(random, [',,', ';', ' ', ':'])),
    whole.replaceAll('"', "'"),
    whole.replace('la', one(random, ['\u0001', '\n', '\u0000', '\\u12', '\\x41', '\\'])),
    JSON.stringify([whole]),
    JSON.stringify(whole),
    one(random, ['null', 'true', '1', 'NaN', 'undefined', '-', '\ufeff', '/**/{}', '{"chat_id":01}', '{a:1}', '']),
    `{"chat_id":${target.person},"text":"a","reply_markup":${'['.repeat(depth)}${']'.repeat(depth)}}`,
    `{"chat_id":${target.person},"text":"a","reply_markup":${'{"a":'.repeat(depth)}`,
    '['.repeat(depth),
  ]);
  const bytes = Buffer.from(body);
  return post(
    `/bot${target.token}/sendMessage`,
    one(random, ['application/json', 'application/json; charset=utf-8']),
    bytes,
  );
};

const multipart: Make = (random, { token, person }) => {
  const b = 'X-boundary';
  const part = (name: string, value: string): string =>
    `--${b}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const whole = `${part('chat_id', String(person))}${part('text', 'a text')}--${b}--\r\n`;
  const [type, body] = one(random, [
    ['multipart/form-data', whole],
    ['multipart/form-data; boundary=', whole],
    [`multipart/form-data; boundary=${'b'.repeat(random.whole(201, 999))}`, whole],
    ['multipart/form-data; boundary=another', whole],
    [`multipart/form-data; boundary=${b}`, whole.slice(0, random.whole(1, whole.length - 6))],
    [`multipart/form-data; boundary=${b}`, whole.replace('\r\n\r\n', '\r\n')],
    [`multipart/form-data; boundary=${b}`, part('chat_id', String(person))],
    [`multipart/form-data; boundary=${b}`, `${part('chat_id', String(person))}--${b}--`],
    [
      `multipart/form-data; boundary=${b}`,
      whole.replace('name="chat_id"', one(random, ['', 'name=', 'nam="x"', 'name="\u0000"'])),
    ],
    [`multipart/form-data; boundary=${b}`, randomBytes(random, 300).toString('latin1')],
    [`multipart/form-data; boundary=${b}`, `--${b}\r\n`.repeat(random.whole(2, 50))],
  ] as const);
  return post(`/bot${token}/sendMessage`, type, latin1(body));
};

const WRONG_HTML = ['<b>a', 'a</b>', '<b>a</i>', '<x>a</x>', '<a href="x>a</a>', '<', '<b', '</>', '<b><i>a</b></i>'];
const WRONG_MARKDOWN = ['*a', '_a', '||a', 'a.', '[a](', '`a', '```a', '*a_b*', '\\_a_', '!', '(a)'];

/** Calls whose arguments are not what they should be; each would be well but for one of them. */
function wrongCall(random: SeededRandom, { person }: Target): [string, Record<string, unknown>] {
  const huge = one(random, [
    '9'.repeat(random.whole(17, 500)),
    `-${'9'.repeat(random.whole(17, 500))}`,
    '1e300',
    '0x7fffffff',
    '1.5',
  ]);
  const nested = one(random, ['x', '[', '{"a":', '"x"', '17', 'null]', '\u0000', '[[[[[', '{"inline_keyboard":']);
  const wrongMarkup = one(random, [
    { inline_keyboard: 1 },
    { inline_keyboard: [1] },
    { inline_keyboard: [[1]] },
    { inline_keyboard: [[{}]] },
    { inline_keyboard: [[{ text: {} }]] },
    { inline_keyboard: [[{ text: 'a', callback_data: 'x'.repeat(random.whole(65, 999)) }]] },
    { inline_keyboard: [[{ text: 'a', callback_data: '' }]] },
    nested,
  ]);
  // What is no array is as good as no entities, as Telegram has it.
  const wrongEntities = one(random, [
    [1],
    [{}],
    [{ type: 'bold' }],
    [{ type: 'bold', offset: 'x', length: {} }],
    [[[]]],
  ]);
  const wrongCommands = one(random, [
    {},
    [1],
    [{}],
    [{ command: {} }],
    [{ command: 'A B', description: 'x' }],
    [{ command: 'a'.repeat(33), description: 'x' }],
    [{ command: 'a', description: '' }],
    Array.from({ length: random.whole(101, 300) }, (_, i) => ({ command: `c${i}`, description: 'x' })),
    nested,
  ]);
  const wrongChat = one(random, [
    huge,
    '',
    ' ',
    'abc',
    '@',
    '-',
    '--1',
    '\u0000',
    '@\u0000',
    `@${'x'.repeat(300)}`,
    true,
    {},
    [],
    [person],
    { id: person },
    0,
    -1,
  ]);
  const text = 'a text';
  return one(random, [
    ['sendMessage', { chat_id: wrongChat, text }],
    [
      'sendMessage',
      {
        chat_id: person,
        text: one(random, ['', ' ', '\n\t', '\u0000', '\u0000\u0001', 'x'.repeat(random.whole(4097, 9000))]),
      },
    ],
    ['sendMessage', { chat_id: person }],
    ['sendMessage', { chat_id: person, text, reply_markup: wrongMarkup }],
    ['sendMessage', { chat_id: person, text, entities: wrongEntities }],
    ['sendMessage', { chat_id: person, text, parse_mode: one(random, ['BBCode', '\u0000', 'x'.repeat(9999)]) }],
    ['sendMessage', { chat_id: person, text: one(random, WRONG_HTML), parse_mode: 'HTML' }],
    ['sendMessage', { chat_id: person, text: one(random, WRONG_MARKDOWN), parse_mode: 'MarkdownV2' }],
    ['sendMessage', { chat_id: person, text, reply_parameters: one(random, [nested, { message_id: 2 ** 30 }]) }],
    ['setMyCommands', { commands: wrongCommands }],
    ['setMyCommands', { commands: [], scope: one(random, [nested, { type: 'x' }, {}]) }],
    ['setMyCommands', {}],
    ['getChat', { chat_id: wrongChat }],
    ['sendChatAction', { chat_id: person, action: one(random, ['', 'x', 'TYPING!', '\u0000']) }],
    ['editMessageText', { chat_id: person, message_id: huge, text }],
    ['deleteMessage', { chat_id: person, message_id: huge }],
    ['noSuchMethod', { chat_id: person }],
    ['sendMessage\u0000', { chat_id: person, text }],
    ['x'.repeat(random.whole(100, 5000)), {}],
  ] as [string, Record<string, unknown>][]);
}

const wrongArguments: Make = (random, target) => {
  const [method, args] = wrongCall(random, target);
  const path = `/bot${target.token}/${encodeURIComponent(method)}`;
  const texts = Object.entries(args).map(([name, value]): [string, string] => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  const form = new URLSearchParams(texts).toString();
  const parts = texts.map(
    ([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  return one(random, [
    () => post(path, 'application/json', JSON.stringify(args)),
    () => post(path, 'application/x-www-form-urlencoded', form),
    () => post(path, 'multipart/form-data; boundary=b', `${parts.join('')}--b--\r\n`),
    () =>
      form.length > HEAD_MAX_BYTES / 2
        ? post(path, 'application/json', JSON.stringify(args))
        : post(`${path}?${form}`, 'text/plain', 'x'),
  ])();
};

/** Cuts a real request short at a random place: what is due depends on where. */
const half: Make = (random, { token, person }) => {
  const bytes = bytesOfRecorded(one(random, RECORDED), token, person);
  return bytes.subarray(0, random.whole(1, bytes.length - 1));
};

/** Changes a real request at some random places. */
const changed: Make = (random, { token, person }) => {
  let bytes = bytesOfRecorded(one(random, RECORDED), token, person);
  for (let times = random.whole(1, 6); times > 0; times -= 1) {
    const at = random.whole(0, bytes.length - 1);
    const upTo = Math.min(bytes.length, at + random.whole(1, 12));
    const middle = one(random, [
      randomBytes(random, 8),
      Buffer.alloc(random.whole(1, 8)),
      Buffer.alloc(0),
      Buffer.concat([bytes.subarray(at, upTo), bytes.subarray(at, upTo)]),
      latin1(one(random, ['\r\n', '\r\n\r\n', '"', '{', '}', '[', '%', '&', '=', ':', '--', '0', '\u00ff', '\ud800'])),
    ]);
    bytes = Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(one(random, [at, upTo]))]);
  }
  return bytes;
};

/** Makes one of all kinds. Its seed makes it again. */
export function malformedRequest(random: SeededRandom, target: Target): MalformedRequest {
  const refused = { requestLine, header, length, chunks, percent, json, multipart, wrongArguments };
  const kind = one(random, [...Object.keys(refused), 'wrongArguments', 'pipelined', 'half', 'changed', 'changed']);
  if (kind === 'half') return { kind, bytes: half(random, target), due: 'refused-or-none', wholeBefore: 0 };
  if (kind === 'changed') return { kind, bytes: changed(random, target), due: 'any', wholeBefore: 0 };
  if (kind === 'pipelined') {
    const wholeBefore = random.whole(1, 20);
    const whole = latin1(`GET /bot${target.token}/getMe HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const garbage = one(random, [requestLine, header, length])(random, target);
    return { kind, bytes: Buffer.concat([...Array(wholeBefore).fill(whole), garbage]), due: 'refused', wholeBefore };
  }
  return { kind, bytes: refused[kind as keyof typeof refused](random, target), due: 'refused', wholeBefore: 0 };
}

/** Whether bytes hold at least one whole request, by its head and framing; an unreadable head counts as whole, since it is to be refused. */
export function holdsWholeRequest(bytes: Buffer): boolean {
  const text = bytes.toString('latin1').replace(/^(\r\n)+/, '');
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const head = text.slice(0, headEnd);
  const body = text.slice(headEnd + 4);
  if (/^transfer-encoding:[ \t]*chunked[ \t]*$/im.test(head)) return chunksEnd(body);
  const given = /^content-length:[ \t]*(\d+)[ \t]*$/im.exec(head)?.[1];
  return given === undefined || body.length >= Number(given);
}

function chunksEnd(body: string): boolean {
  let at = 0;
  for (;;) {
    const lineEnd = body.indexOf('\r\n', at);
    if (lineEnd < 0) return false;
    const size = /^[0-9a-f]+/i.exec(body.slice(at, lineEnd))?.[0];
    if (size === undefined) return true;
    const bytes = Number.parseInt(size, 16);
    if (bytes === 0) return /^(?:[^\r\n]+\r\n)*\r\n/.test(body.slice(lineEnd + 2));
    at = lineEnd + 2 + bytes + 2;
    if (at > body.length) return false;
  }
}
