import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { type LocalTelegram, startLocalTelegram } from '../../../src/local/telegram/server.js';
import { localTelegramControl } from '../../support/local-telegram.js';
import { type SeededRandom, seededRandom } from '../../support/seeded-random.js';
import { holdsWholeRequest, type MalformedRequest, malformedRequest, type Target } from './malformed-requests.js';
import { bytesOfRecorded, RECORDED } from './recorded-requests.js';

const REQUESTS = 1000;
const AT_ONCE = 8;

interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** The answers in what a server sent until it closed; throws on bytes that are none. */
function answersIn(bytes: Buffer): HttpAnswer[] {
  const answers: HttpAnswer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const headEnd = bytes.indexOf('\r\n\r\n', at);
    if (headEnd < 0) throw new Error(`no whole head: ${bytes.toString('latin1', at, at + 200)}`);
    const head = bytes.toString('latin1', at, headEnd);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1]);
    const contentType = /^content-type: (.*)$/im.exec(head)?.[1] ?? '';
    const from = headEnd + 4;
    if (status === 100) {
      at = from;
      continue;
    }
    if (!(length >= 0 && from + length <= bytes.length)) throw new Error(`no whole answer: ${head}`);
    answers.push({ status, contentType, body: bytes.toString('utf8', from, from + length) });
    at = from + length;
  }
  return answers;
}

/** Sends bytes in some pieces, ends the sending side and resolves with all that came until the connection closed. */
function exchange(port: number, pieces: readonly Buffer[]): Promise<Buffer> {
  return new Promise((resolve) => {
    const received: Buffer[] = [];
    const socket: Socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const send = (at: number): void => {
      const piece = pieces[at];
      if (piece === undefined) socket.end();
      else socket.write(piece, () => setImmediate(send, at + 1));
    };
    socket.on('connect', () => send(0));
    socket.on('data', (bytes) => received.push(bytes));
    // Whoever still writes to a closed connection is reset; what was received counts.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(received)));
  });
}

/** What is wrong with the answers to a malformed request, or undefined. */
function faultOf({ due, wholeBefore, bytes }: MalformedRequest, received: Buffer): string | undefined {
  let answers: HttpAnswer[];
  try {
    answers = answersIn(received);
  } catch (error) {
    return String(error);
  }
  for (const [place, { status, contentType, body }] of answers.entries()) {
    if (status >= 500) return `answered ${status}: ${body}`;
    if (contentType !== 'application/json') return `answered as ${contentType}`;
    const value = JSON.parse(body) as { ok?: unknown; error_code?: unknown; description?: unknown };
    const isRefusal = status >= 400 && value.ok === false && value.error_code === status;
    if (isRefusal && (typeof value.description !== 'string' || value.description === ''))
      return `no description: ${body}`;
    if (!isRefusal && !(status === 200 && value.ok === true)) return `neither a result nor an error: ${status} ${body}`;
    if (!isRefusal && due !== 'any' && place >= wholeBefore) return `taken as if it were whole: ${body}`;
  }
  if (answers.length > wholeBefore) return undefined;
  if (due === 'refused') return `${answers.length} answers`;
  return answers.length === 0 && holdsWholeRequest(bytes) ? 'a whole request had no answer' : undefined;
}

async function started(t: Test): Promise<{ telegram: LocalTelegram; log: string[]; token: string; person: number }> {
  const log: string[] = [];
  const telegram = await startLocalTelegram({ dataDir: t.testdir(), port: 0, log: (line) => log.push(line) });
  t.teardown(() => telegram.stop());
  const control = localTelegramControl(telegram.url);
  await control.faults({ limits: 'off' });
  const [bot] = await control.bots();
  return { telegram, log, token: bot?.token ?? '', person: await control.person('Ada') };
}

/** Cuts bytes into at most five pieces. */
function cut(random: SeededRandom, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  const most = random.whole(1, 5);
  for (let from = 0; from < bytes.length; ) {
    const to = pieces.length + 1 === most ? bytes.length : random.whole(from + 1, bytes.length);
    pieces.push(bytes.subarray(from, to));
    from = to;
  }
  return pieces;
}

/** Sends the half of a request and then nothing; `finish` sends the rest and resolves with the answer. */
async function silentHalf(
  t: Test,
  port: number,
  bytes: Buffer,
): Promise<{ finish(): Promise<HttpAnswer | undefined> }> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  t.teardown(() => socket.destroy());
  const half = Math.floor(bytes.length / 2);
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.write(bytes.subarray(0, half), () => resolve());
  });
  return {
    async finish() {
      const received = new Promise<Buffer>((resolve) => socket.once('data', resolve));
      socket.write(bytes.subarray(half));
      return answersIn(await received)[0];
    },
  };
}

/** A call that is as it should be, on a connection that lives on. */
async function sendSteadily(url: string, { token, person }: Target, text: string): Promise<void> {
  const answer = await fetch(`${url}/bot${token}/sendMessage`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ chat_id: person, text }),
  });
  const { result } = (await answer.json()) as { result?: { text?: string } };
  if (result?.text !== text) throw new Error(`another call was disturbed: ${answer.status}`);
}

t.test(`${REQUESTS} malformed requests: an error of the Bot API each, and nobody else is disturbed`, async (t) => {
  const { telegram, log, token, person } = await started(t);
  const target = { token, person };
  const random = seededRandom(t);
  // All of them before the first is sent: what comes of the seed must not depend on what is answered when.
  const requests = Array.from({ length: REQUESTS }, () => {
    const request = malformedRequest(random, target);
    return { request, pieces: cut(random, request.bytes) };
  });
  const silent = await Promise.all(
    RECORDED.filter(({ method }) => method === 'sendMessage').map((recorded) =>
      silentHalf(t, telegram.port, bytesOfRecorded(recorded, token, person)),
    ),
  );

  const rest = requests.entries();
  const over = new AbortController();
  const steady = (async () => {
    let calls = 0;
    for (; !over.signal.aborted; calls += 1) await sendSteadily(telegram.url, target, `steady ${calls}`);
    return calls;
  })();
  // Should it fail, it is told below, after the requests.
  steady.catch(() => undefined);

  const outcomes = new Map<string, number>();
  const work = async (): Promise<void> => {
    for (const [number, { request, pieces }] of rest) {
      const received = await exchange(telegram.port, pieces);
      const fault = faultOf(request, received);
      const start = JSON.stringify(request.bytes.toString('latin1').slice(0, 2000));
      if (fault !== undefined) t.fail(`request ${number + 1}, ${request.kind}: ${fault}\n${start}`);
      const outcome = `${request.kind} ${lastStatus(received)}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  over.abort();
  t.ok((await steady) > 0, 'another connection was answered all the while');
  for (const { finish } of silent) t.equal((await finish())?.status, 200, 'a half request that was silent is finished');
  t.strictSame(log, [], 'no defect came to light');
  t.comment(
    [...outcomes]
      .sort()
      .map(([outcome, count]) => `${outcome}: ${count}`)
      .join(', '),
  );
});

function lastStatus(received: Buffer): string {
  return [...received.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)].at(-1)?.[1] ?? 'closed';
}
