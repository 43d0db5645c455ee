/**
 * What a call costs its caller: `npm run bench:client -- [--calls N] [--rounds R] [--json]`.
 * The product's client, and undici in both of its ways, make N calls of sendMessage with 50 in flight, in turns in this process, after one turn of each that is not counted. The local Telegram is a process
 * of its own with its limits off. Counted is the CPU of this process, user and system.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { telegramClient } from '../src/telegram/client.js';
import { benchCommand, say } from './command.js';
import { columns, median } from './support.js';
import { inWorld } from './world.js';

const IN_FLIGHT = 50;
const CHATS = 1_000;
const TEXT = 'The quick brown fox jumps over the lazy dog, and everybody is told of it in one line of text.';

interface Options {
  readonly calls: number;
  readonly rounds: number;
  readonly json: boolean;
}

/** A way to make calls: resolves with the status. */
interface Caller {
  readonly name: string;
  call(payload: object): Promise<number>;
  close(): Promise<void>;
}

/** CPU in s per 1,000 calls, and calls a second: medians of the rounds. */
interface Line {
  readonly name: string;
  readonly user: number;
  readonly system: number;
  readonly perSecond: number;
}

interface Figures {
  readonly node: string;
  readonly cpus: string;
  readonly options: Options;
  readonly lines: readonly Line[];
}

function optionsOf(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      calls: { type: 'string', default: '20000' },
      rounds: { type: 'string', default: '5' },
      json: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'calls' | 'rounds', min: number, max: number) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new Error(`--${name}: expected a whole number of ${min} to ${max}`);
    }
    return value;
  };
  return { calls: whole('calls', 1_000, 1_000_000), rounds: whole('rounds', 1, 100), json: values.json };
}

function ours(url: string, token: string): Caller {
  const client = telegramClient(url, token, IN_FLIGHT);
  return {
    name: 'src/telegram/client.ts',
    async call(payload) {
      const answer = await client.call('sendMessage', payload);
      return answer.kind === 'answer' ? answer.status : 0;
    },
    close: () => client.destroy(),
  };
}

/** As the raw loop of the other benchmarks. */
function undiciRequest(url: string, token: string): Caller {
  const pool = new Pool(url, { connections: IN_FLIGHT, pipelining: 1 });
  const path = `/bot${token}/sendMessage`;
  const headers = { 'content-type': 'application/json' };
  return {
    name: 'undici, request',
    async call(payload) {
      const answer = await pool.request({ path, method: 'POST', headers, body: JSON.stringify(payload) });
      await answer.body.json();
      return answer.statusCode;
    },
    close: () => pool.close(),
  };
}

/** The way with the least between: its handlers alone, as the product used it before. */
function undiciDispatch(url: string, token: string): Caller {
  const pool = new Pool(url, { connections: IN_FLIGHT, pipelining: 1, bodyTimeout: 0, headersTimeout: 0 });
  const path = `/bot${token}/sendMessage`;
  const headers = ['content-type', 'application/json'];
  return {
    name: 'undici, dispatch',
    call: (payload) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('timeout')), 30_000);
        const chunks: Buffer[] = [];
        let status = 0;
        pool.dispatch(
          { path, method: 'POST', headers, body: JSON.stringify(payload) },
          {
            onRequestStart() {},
            onResponseStart(_controller, statusCode) {
              status = statusCode;
            },
            onResponseData(_controller, chunk) {
              chunks.push(chunk);
            },
            onResponseEnd() {
              clearTimeout(timer);
              JSON.parse(Buffer.concat(chunks).toString('utf8'));
              resolve(status);
            },
            onResponseError(_controller, error) {
              clearTimeout(timer);
              reject(error);
            },
          },
        );
      }),
    close: () => pool.close(),
  };
}

interface Turn {
  readonly user: number;
  readonly system: number;
  readonly seconds: number;
}

async function turn(caller: Caller, chats: readonly number[], calls: number): Promise<Turn> {
  let begun = 0;
  const before = process.cpuUsage();
  const began = performance.now();
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (begun < calls) {
        const chatId = chats[begun % chats.length];
        begun += 1;
        const status = await caller.call({ chat_id: chatId, text: TEXT });
        if (status !== 200) throw new Error(`${caller.name}: answered ${status}`);
      }
    }),
  );
  const { user, system } = process.cpuUsage(before);
  return { user: user / 1e6, system: system / 1e6, seconds: (performance.now() - began) / 1_000 };
}

function run(options: Options): Promise<Figures> {
  return inWorld({ processes: [] }, async ({ telegram, bot }) => {
    const { calls, rounds } = options;
    await telegram.faults({ limits: 'off' });
    const chats = await telegram.people(CHATS);
    const callers = [ours, undiciDispatch, undiciRequest].map((make) => make(telegram.url, bot.token));
    const turns = callers.map((caller) => ({ caller, list: [] as Turn[] }));
    for (let round = 0; round <= rounds; round += 1) {
      say(round === 0 ? 'getting warm' : `round ${round} of ${rounds}`);
      for (const { caller, list } of turns) {
        const one = await turn(caller, chats, calls);
        if (round > 0) list.push(one);
      }
    }
    for (const caller of callers) await caller.close();
    const lines = turns.map(({ caller, list }) => ({
      name: caller.name,
      user: median(list.map(({ user }) => user)) / (calls / 1_000),
      system: median(list.map(({ system }) => system)) / (calls / 1_000),
      perSecond: calls / median(list.map(({ seconds }) => seconds)),
    }));
    return { node: process.version, cpus: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`, options, lines };
  });
}

function table({ node, cpus: machine, options, lines }: Figures): string {
  const cpu = ({ user, system }: Line) => user + system;
  const [first] = lines;
  const own = first === undefined ? 0 : cpu(first);
  const rows = [
    ['', 'CPU per 1,000 calls, s', 'user', 'system', 'calls/s', 'ours of it'],
    ...lines.map((line) => [
      line.name,
      cpu(line).toFixed(4),
      line.user.toFixed(4),
      line.system.toFixed(4),
      line.perSecond.toFixed(0),
      (own / cpu(line)).toFixed(2),
    ]),
  ];
  const head = `${options.calls} calls a turn, ${IN_FLIGHT} in flight, medians of ${options.rounds} turns`;
  return `${head}\nNode ${node}, ${machine}\n\n${columns(rows)}`;
}

await benchCommand({ optionsOf, run, table });
