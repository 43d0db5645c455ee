/**
 * A process that loads an HTTP server over loopback: its argument is a `Load` in JSON, its last line of output a `LoadResult`.
 * The engine `net` writes prepared bytes to keep-alive connections of node:net and reads no more of an answer than status and length, so that the server is the bound; `undici` is what most clients come to.
 */
import { connect, type Socket } from 'node:net';
import { Pool } from 'undici';
import { AnswerCounter } from '../test/support/raw-http.js';

/** What is asked of the process. Each request posts `{"chat_id": one of the chats in turn, "text"}`; it ends after `requests`, or after `seconds` when 0. */
export interface Load {
  readonly engine: 'net' | 'undici';
  readonly url: string;
  readonly path: string;
  readonly firstChat: number;
  readonly chats: number;
  readonly text: string;
  readonly connections: number;
  /** Requests in flight on each connection. */
  readonly pipelining: number;
  readonly seconds: number;
  readonly requests: number;
}

/** What came of it. `seconds` are from the first request to the last answer; `cpuSeconds` those of this process meanwhile. */
export interface LoadResult {
  readonly answers: number;
  readonly refused: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

const HEAD_END = '\r\n\r\n';

/** Hands out the chats of the requests to come, until the load's end. */
class Turns {
  readonly #load: Load;
  readonly #until: number;
  #begun = 0;

  constructor(load: Load) {
    this.#load = load;
    this.#until = performance.now() + load.seconds * 1_000;
  }

  /** At most so many numbers of chats (from 0); none at the end. */
  take(most: number): number[] {
    const { requests, chats } = this.#load;
    if (requests === 0 && performance.now() >= this.#until) return [];
    const count = requests === 0 ? most : Math.min(most, requests - this.#begun);
    const first = this.#begun;
    this.#begun += count;
    return Array.from({ length: count }, (_, i) => (first + i) % chats);
  }
}

function bodiesOf({ firstChat, chats, text }: Load): string[] {
  return Array.from({ length: chats }, (_, i) => JSON.stringify({ chat_id: firstChat + i, text }));
}

async function loadByNet(load: Load): Promise<Pick<LoadResult, 'answers' | 'refused'>> {
  const { host, hostname, port } = new URL(load.url);
  const head = `POST ${load.path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: `;
  const requests = bodiesOf(load).map((body) => `${head}${Buffer.byteLength(body)}${HEAD_END}${body}`);
  const turns = new Turns(load);
  const begin = (socket: Socket, most: number): number => {
    const taken = turns.take(most);
    if (taken.length > 0) socket.write(taken.map((chat) => requests[chat]).join(''), 'latin1');
    return taken.length;
  };
  const run = (): Promise<{ answers: number; refused: number }> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true });
      const counter = new AnswerCounter();
      let answers = 0;
      let inFlight = 0;
      const go = (most: number) => {
        inFlight += begin(socket, most);
        if (inFlight > 0) return;
        socket.destroy();
        resolve({ answers, refused: counter.refused });
      };
      socket.on('connect', () => go(load.pipelining));
      socket.on('data', (bytes) => {
        const whole = counter.feed(bytes);
        answers += whole;
        inFlight -= whole;
        if (whole > 0) go(whole);
      });
      socket.on('error', reject);
      socket.on('end', () => reject(new Error('the server closed a connection')));
    });
  const ends = await Promise.all(Array.from({ length: load.connections }, run));
  return {
    answers: ends.reduce((sum, { answers }) => sum + answers, 0),
    refused: ends.reduce((sum, { refused }) => sum + refused, 0),
  };
}

async function loadByUndici(load: Load): Promise<Pick<LoadResult, 'answers' | 'refused'>> {
  const pool = new Pool(load.url, { connections: load.connections, pipelining: load.pipelining });
  const bodies = bodiesOf(load);
  const turns = new Turns(load);
  let answers = 0;
  let refused = 0;
  await Promise.all(
    Array.from({ length: load.connections * load.pipelining }, async () => {
      for (let [chat] = turns.take(1); chat !== undefined; [chat] = turns.take(1)) {
        const { statusCode, body } = await pool.request({
          path: load.path,
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: bodies[chat] ?? '',
        });
        await body.json();
        answers += 1;
        if (statusCode !== 200) refused += 1;
      }
    }),
  );
  await pool.close();
  return { answers, refused };
}

const load = JSON.parse(process.argv[2] ?? '') as Load;
const cpuBefore = process.cpuUsage();
const began = performance.now();
const { answers, refused } = await (load.engine === 'net' ? loadByNet(load) : loadByUndici(load));
const seconds = (performance.now() - began) / 1_000;
const { user, system } = process.cpuUsage(cpuBefore);
const result: LoadResult = { answers, refused, seconds, cpuSeconds: (user + system) / 1e6 };
process.stdout.write(`load ${JSON.stringify(result)}\n`);
