/**
 * How many sendMessage the local Telegram takes: `npm run bench:telegram -- [--seconds S] [--chats N] [--each M] [--json]`.
 * It runs in a process of its own with its limits off, and so does who loads it: 50 keep-alive connections over loopback. Beside it, row by row in turn and in three rounds, a bare
 * server of node:http that answers the same bytes, and undici in place of the raw client. Afterwards `each` messages to each of `chats` people, for the memory that they take.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { request } from 'undici';
import { benchCommand, say } from './command.js';
import type { Load, LoadResult } from './http-load.js';
import { columns, cpuSeconds, median, memoryOf, type Program, startProgram } from './support.js';

const CONNECTIONS = 50;
const PIPELINING = 16;
const ROUNDS = 3;
/** The memory is read after each of so many parts of the messages. */
const PARTS = 4;
const TEXT = 'The quick brown fox jumps over the lazy dog, and everybody is told of it in one line of text.';
const MB = 1_048_576;

interface Options {
  readonly seconds: number;
  readonly chats: number;
  readonly each: number;
  readonly json: boolean;
}

/** What one client came to with one server: medians of the rounds, and the server's CPU over all of them. */
interface Row {
  readonly name: string;
  readonly perSecond: number;
  readonly perServerCpuSecond: number;
  readonly serverCpu: number;
  readonly clientCpu: number;
}

/** Private memory (RssAnon) of the local Telegram after so many messages. */
interface Memory {
  readonly messages: number;
  readonly bytes: number;
}

interface Figures {
  readonly node: string;
  readonly cpus: string;
  readonly options: Options;
  readonly rows: readonly Row[];
  readonly memory: readonly Memory[];
  readonly fillPerSecond: number;
}

interface Server {
  readonly name: string;
  readonly url: string;
  readonly path: string;
  readonly pid: number;
}

function optionsOf(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seconds: { type: 'string', default: '3' },
      chats: { type: 'string', default: '10000' },
      each: { type: 'string', default: '100' },
      json: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'seconds' | 'chats' | 'each', min: number, max: number) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new Error(`--${name}: expected a whole number of ${min} to ${max}`);
    }
    return value;
  };
  return {
    seconds: whole('seconds', 1, 60),
    chats: whole('chats', 1, 1_000_000),
    each: whole('each', 0, 10_000),
    json: values.json,
  };
}

async function json<T>(url: string, method: 'GET' | 'POST' | 'PUT', body?: object): Promise<T> {
  const headers = { 'content-type': 'application/json' };
  const answer = await request(url, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`${method} ${new URL(url).pathname}: ${answer.statusCode} ${text}`);
  return JSON.parse(text) as T;
}

const scriptCommand = (name: string): [string, ...string[]] => [
  process.execPath,
  '--import',
  import.meta.resolve('tsx'),
  join(import.meta.dirname, name),
];

/** Runs the loading process to its end. Rejects when a request was refused. */
async function runLoad(load: Load, dir: string): Promise<LoadResult> {
  const program = startProgram([JSON.stringify(load)], {}, dir, scriptCommand('http-load.ts'));
  const result = JSON.parse(await program.line('load ')) as LoadResult;
  await program.kill();
  if (result.refused > 0) throw new Error(`${result.refused} of ${result.answers} requests were refused`);
  return result;
}

async function measure(
  servers: readonly Server[],
  load: Omit<Load, 'url' | 'path' | 'engine' | 'pipelining'>,
  dir: string,
): Promise<Row[]> {
  const kinds = [
    { name: 'raw client', engine: 'net', pipelining: 1 },
    { name: `raw client, ${PIPELINING} in flight on each`, engine: 'net', pipelining: PIPELINING },
    { name: 'undici', engine: 'undici', pipelining: 1 },
  ] as const;
  const rows = kinds.flatMap((kind) => servers.map((server) => ({ kind, server, rounds: [] as LoadResult[], cpu: 0 })));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const row of rows) {
      const { kind, server } = row;
      const { engine, pipelining } = kind;
      say(`round ${round + 1} of ${ROUNDS}: ${kind.name}, ${server.name}`);
      const before = cpuSeconds([server.pid]);
      row.rounds.push(await runLoad({ ...load, engine, pipelining, url: server.url, path: server.path }, dir));
      row.cpu += cpuSeconds([server.pid]) - before;
    }
  }
  return rows.map(({ kind, server, rounds, cpu }) => {
    const answers = rounds.reduce((sum, one) => sum + one.answers, 0);
    const clientCpu = rounds.reduce((sum, one) => sum + one.cpuSeconds, 0);
    return {
      name: `${kind.name} → ${server.name}`,
      perSecond: median(rounds.map((one) => one.answers / one.seconds)),
      perServerCpuSecond: answers / cpu,
      serverCpu: cpu,
      clientCpu,
    };
  });
}

/** Starts a bare server of node:http that answers with what the local Telegram answers now. */
async function startBare(telegram: Server, firstChat: number, dir: string): Promise<[Server, Program]> {
  const answer = await json(`${telegram.url}${telegram.path}`, 'POST', { chat_id: firstChat, text: TEXT });
  const program = startProgram([JSON.stringify(answer)], {}, dir, scriptCommand('bare-http.ts'));
  const url = await program.line('bare ');
  return [{ name: 'bare node:http', url, path: telegram.path, pid: program.pid }, program];
}

async function run(options: Options, dir: string, programs: Program[]): Promise<Figures> {
  const program = startProgram(
    ['start', 'local'],
    { LOG_LEVEL: 'warn', DATA_DIR: join(dir, 'telegram'), MONGODB_URI: 'mongodb://127.0.0.1:9/not-used' },
    dir,
  );
  programs.push(program);
  const url = await program.line('local telegram ');
  await program.line('posthorn ready');
  const [bot] = await json<{ token: string }[]>(`${url}/local/bots`, 'GET');
  if (bot === undefined) throw new Error('the local Telegram has no bot');
  const telegram = { name: 'local Telegram', url, path: `/bot${bot.token}/sendMessage`, pid: program.pid };
  await json(`${url}/local/faults`, 'PUT', { limits: 'off' });
  const { ids } = await json<{ ids: number[] }>(`${url}/local/people`, 'POST', { count: options.chats });
  const firstChat = ids[0] ?? 0;
  const [bare, bareProgram] = await startBare(telegram, firstChat, dir);
  programs.push(bareProgram);

  const load = { firstChat, chats: options.chats, text: TEXT, connections: CONNECTIONS, requests: 0 };
  const rows = await measure([telegram, bare], { ...load, seconds: options.seconds }, dir);
  await bareProgram.kill();

  await json(`${url}/local/reset`, 'POST', { world: true });
  await json(`${url}/local/faults`, 'PUT', { limits: 'off' });
  const again = await json<{ ids: number[] }>(`${url}/local/people`, 'POST', { count: options.chats });
  const memory: Memory[] = [{ messages: 0, bytes: memoryOf('RssAnon', [telegram.pid]) }];
  const total = options.chats * options.each;
  let fillSeconds = 0;
  for (let part = 1; part <= PARTS && total >= PARTS; part += 1) {
    const requests = Math.floor((total * part) / PARTS) - Math.floor((total * (part - 1)) / PARTS);
    say(`filling: part ${part} of ${PARTS}, ${requests} messages`);
    const fill = { ...load, firstChat: again.ids[0] ?? 0, engine: 'net', pipelining: PIPELINING } as const;
    const { answers, seconds } = await runLoad({ ...fill, url, path: telegram.path, seconds: 0, requests }, dir);
    fillSeconds += seconds;
    const messages = (memory.at(-1)?.messages ?? 0) + answers;
    memory.push({ messages, bytes: memoryOf('RssAnon', [telegram.pid]) });
  }
  return {
    node: process.version,
    cpus: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    options,
    rows,
    memory,
    fillPerSecond: total / fillSeconds,
  };
}

function table({ node, cpus: machine, options, rows, memory, fillPerSecond }: Figures): string {
  const rates = [
    ['', 'messages/s', 'per CPU second of the server', 'CPU of server, s', 'of client, s'],
    ...rows.map((row) => [
      row.name,
      row.perSecond.toFixed(0),
      row.perServerCpuSecond.toFixed(0),
      row.serverCpu.toFixed(2),
      row.clientCpu.toFixed(2),
    ]),
  ];
  const fill = [
    ['messages kept', 'private memory (RssAnon)'],
    ...memory.map(({ messages, bytes }) => [String(messages), `${(bytes / MB).toFixed(1)} MB`]),
  ];
  const head = `${CONNECTIONS} connections, ${ROUNDS} rounds of ${options.seconds} s, ${options.chats} chats; then ${options.each} messages to each (${fillPerSecond.toFixed(0)} a second)`;
  return `${head}\nNode ${node}, ${machine}\n\n${columns(rates)}\n${columns(fill)}`;
}

await benchCommand({ optionsOf, run, table });
