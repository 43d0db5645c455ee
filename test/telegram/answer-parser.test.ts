import t from 'tap';
import { AnswerParser, HEAD_MAX_BYTES } from '../../src/telegram/http/answer-parser.js';
import { randomFrom, type SeededRandom, seededRandom } from '../support/seeded-random.js';
import { ANSWERS } from './recorded-answers.js';

const MAX_BYTES = 4_096;
const MUTATIONS = 20_000;

/** The bytes are fed by a buffer that is longer, and overwritten after each feed, as a connection's is. */
const shared = Buffer.alloc(1 << 20);

function feed(parser: AnswerParser, bytes: Buffer): number {
  bytes.copy(shared);
  const taken = parser.feed(shared, bytes.length);
  shared.fill('\n', 0, bytes.length);
  return taken;
}

/** Feeds pieces until the answer ends; resolves with what it came to after the close, and what was left over. */
function come(pieces: readonly Buffer[], parser = new AnswerParser(MAX_BYTES)) {
  let left = 0;
  for (const piece of pieces) left += piece.length - (parser.state === 'more' ? feed(parser, piece) : 0);
  parser.close();
  const { state, head } = parser;
  return state === 'done' ? { state, left, text: parser.text(), ...head } : { state, left: undefined, text: undefined };
}

const cutAt = (bytes: Buffer, at: number): Buffer[] => [bytes.subarray(0, at), bytes.subarray(at)];
const bytewise = (bytes: Buffer): Buffer[] => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));

function randomPieces(bytes: Buffer, random: SeededRandom): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + random.whole(1, random.pick([2, 10, 100, bytes.length])));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

t.test('answers are read, cut at any place', async (t) => {
  for (const { name, bytes, status, text, keepAlive, retryAfter, keepAliveSeconds } of ANSWERS) {
    const wanted = { state: 'done', left: 0, text, status, keepAlive, retryAfter, keepAliveSeconds };
    t.same(come([bytes]), wanted, name);
    t.same(come(bytewise(bytes)), wanted, `${name}, byte by byte`);
    for (let at = 1; at < bytes.length; at += 1) {
      const found = come(cutAt(bytes, at));
      if (JSON.stringify(found) !== JSON.stringify(come([bytes]))) t.same(found, wanted, `${name}, cut at ${at}`);
    }
  }
});

t.test('an answer ends where it ends, and one parser reads many', async (t) => {
  const parser = new AnswerParser(MAX_BYTES);
  const ended = ANSWERS.filter(({ untilClose }) => untilClose === undefined);
  for (const { name, bytes, text } of [...ended, ...ended]) {
    for (let at = 1; at <= bytes.length; at += 7) {
      parser.reset();
      const found = come(cutAt(Buffer.concat([bytes, Buffer.from('HTTP/1.1 200 OK')]), at), parser);
      if (found.left !== 15 || found.text !== text) t.same(found, { left: 15, text }, `${name}, cut at ${at}`);
    }
    t.pass(name);
  }
});

t.test('an answer that is broken off is none', async (t) => {
  for (const { name, bytes, untilClose } of ANSWERS) {
    const last = untilClose === undefined ? bytes.length : bytes.indexOf('\r\n\r\n') + 4;
    const found = new Set(Array.from({ length: last }, (_, at) => come([bytes.subarray(0, at)]).state));
    t.same([...found], ['malformed'], name);
  }
});

t.test('what is no good HTTP is told at once', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\n';
  const malformed: readonly string[] = [
    'SSH-2.0-OpenSSH_9.2\r\n',
    '\r\n',
    '<html>',
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.2 200 OK\r\n\r\n',
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/1.1 099 OK\r\n\r\n',
    'HTTP/1.1 2000 OK\r\n\r\n',
    'HTTP/1.1  200 OK\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\n\r\n',
    'HTTP/1.1 200 OK\n\n',
    'HTTP/1.1 200 OK\nA: b\r\n\r\n',
    'HTTP/1.1 200 O\0K\r\n\r\n',
    `${ok}A\r\n\r\n`,
    `${ok}: a\r\n\r\n`,
    `${ok}A : b\r\n\r\n`,
    `${ok}A: b\r\n c\r\n\r\n`,
    `${ok}A: b\rc\r\n\r\n`,
    `${ok}Content-Length: \r\n\r\n`,
    `${ok}Content-Length: -1\r\n\r\n`,
    `${ok}Content-Length: 1e3\r\n\r\n`,
    `${ok}Content-Length: 0x10\r\n\r\n`,
    `${ok}Content-Length: 2, 2\r\n\r\n`,
    `${ok}Content-Length: 2\r\nContent-Length: 2\r\n\r\n`,
    `${ok}Content-Length: 9999999999999999\r\n\r\n`,
    `${ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n\r\n`,
    `${ok}Transfer-Encoding: chunked\r\n\r\ng\r\n`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n-1\r\n`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n1 2\r\n`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n2\n`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\r\n`,
    `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n`,
  ];
  for (const text of malformed) {
    for (const pieces of [[Buffer.from(text)], bytewise(Buffer.from(text))]) {
      const parser = new AnswerParser(MAX_BYTES);
      for (const piece of pieces) if (parser.state === 'more') feed(parser, piece);
      t.equal(parser.state, 'malformed', JSON.stringify(text));
    }
  }
});

t.test('heads, lines, trailers and bodies are bounded', async (t) => {
  const both = (text: string) => [[Buffer.from(text)], bytewise(Buffer.from(text))].map((pieces) => come(pieces).state);
  const padded = (bytes: number, end: string) => {
    const rest = `HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: ${end}`;
    return rest.replace('A: ', `A: ${'a'.repeat(bytes - rest.length)}`);
  };
  t.same(both(padded(HEAD_MAX_BYTES, '\r\n\r\n')), ['done', 'done']);
  t.same(both(padded(HEAD_MAX_BYTES + 1, '\r\n\r\n')), ['malformed', 'malformed']);
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  t.same(both(`${head}1;${'a'.repeat(HEAD_MAX_BYTES)}`), ['malformed', 'malformed']);
  const trailer = `A: ${'a'.repeat(997)}\r\n`;
  t.same(both(`${head}0\r\n${trailer.repeat(16)}\r\n`), ['done', 'done']);
  t.same(both(`${head}0\r\n${trailer.repeat(17)}`), ['malformed', 'malformed']);
  const most = 'a'.repeat(MAX_BYTES);
  const half = (MAX_BYTES / 2).toString(16);
  const twice = `${half}\r\n${'a'.repeat(MAX_BYTES / 2)}\r\n`;
  t.same(both(`HTTP/1.1 200 OK\r\nContent-Length: ${MAX_BYTES}\r\n\r\n${most}`), ['done', 'done']);
  t.same(both(`HTTP/1.1 200 OK\r\nContent-Length: ${MAX_BYTES + 1}\r\n\r\n`), ['too-large', 'too-large']);
  t.same(both(`${head}${twice}${twice}0\r\n\r\n`), ['done', 'done']);
  t.same(both(`${head}${twice}${twice}1\r\n`), ['too-large', 'too-large']);
  t.same(both(`HTTP/1.1 200 OK\r\n\r\n${most}`), ['done', 'done']);
  t.same(both(`HTTP/1.1 200 OK\r\n\r\n${most}a`), ['too-large', 'too-large']);
});

t.test('a large body is put together from its pieces', async (t) => {
  const body = JSON.stringify(Array.from({ length: 300_000 }, (_, i) => `ä${i}`));
  const bytes = Buffer.from(body);
  const random = seededRandom(t);
  const heads = ['', 'Transfer-Encoding: chunked\r\n', `Content-Length: ${bytes.length}\r\n`];
  for (const head of heads) {
    const coded = head.startsWith('Transfer')
      ? [Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n0\r\n\r\n')]
      : [bytes];
    const all = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${head}\r\n`), ...coded]);
    const pieces: Buffer[] = [];
    for (let at = 0; at < all.length; ) {
      const end = at + random.whole(1, 3_000);
      pieces.push(all.subarray(at, end));
      at = end;
    }
    const found = come(pieces, new AnswerParser(20_000_000));
    t.ok(found.text === body, `${pieces.length} pieces; ${head}`);
  }
});

t.test('changed answers come to the same however they are cut, and never throw', async (t) => {
  const seed = seededRandom(t).whole(0, 2 ** 31);
  const SNIPPETS = [
    '\r\n',
    '\n',
    '\r',
    '0',
    'f',
    ' ',
    ':',
    ';',
    ',',
    '\0',
    '99999',
    'chunked',
    'Content-Length: 9999\r\n',
    'HTTP/1.1 ',
  ];
  const seen = new Map<string, number>();
  for (let i = 0; i < MUTATIONS; i += 1) {
    const random = randomFrom(seed + i);
    let bytes = Buffer.from(random.pick(ANSWERS).bytes);
    for (let changes = random.whole(1, 3); changes > 0; changes -= 1) {
      const at = random.whole(0, bytes.length - 1);
      const end = random.chance(0.5) ? at : Math.min(bytes.length, at + random.whole(1, 12));
      const put = random.chance(0.3) ? Buffer.from([random.whole(0, 255)]) : Buffer.from(random.pick(SNIPPETS));
      bytes = Buffer.concat([bytes.subarray(0, at), random.chance(0.3) ? Buffer.alloc(0) : put, bytes.subarray(end)]);
      if (bytes.length === 0) bytes = Buffer.from('H');
    }
    const whole = come([bytes]);
    const cut = come(randomPieces(bytes, random));
    seen.set(whole.state, (seen.get(whole.state) ?? 0) + 1);
    if (JSON.stringify(whole) !== JSON.stringify(cut)) {
      t.same(cut, whole, `seed ${seed + i}: ${JSON.stringify(bytes.toString('latin1'))}`);
      return;
    }
  }
  t.comment(JSON.stringify([...seen]));
  for (const state of ['done', 'malformed', 'too-large']) t.ok(seen.get(state), state);
});
