/**
 * How soon another process sends what one has accepted, and what that costs: `npm run bench:wakes -- [--messages N] [--idle S] [--json]`.
 * Store, web, bot, sender and scheduler are processes of their own; a bare server in this process stands for Telegram, so both times are of one clock. Measured for each message:
 * from its 202 to its call there, and with nothing to do: commands to the store a second, of all processes together (the driver's own hello left out). Once where the store serves
 * tailable cursors, once where it does not (the collection of wakes is an ordinary one: a cursor on it is refused, as servers without capped collections do).
 */

import { mkdir } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { MongoClient } from 'mongodb';
import { Pool } from 'undici';
import { bareTelegram } from './bare-telegram.js';
import { benchCommand, say } from './command.js';
import { columns, type Program, startProgram } from './support.js';

const API_KEY = 'bench-key';
const TOKEN = '1:bench';
/** Between two messages, ms: random, so that they meet every phase of a timer. */
const PAUSE_MS = [40, 240] as const;
const ARRIVE_MS = 30_000;
const ROLES = ['web', 'bot', 'sender', 'scheduler'] as const;

interface Options {
  readonly messages: number;
  readonly idleSeconds: number;
  readonly json: boolean;
}

interface Row {
  readonly wakes: string;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly callsPerSecond: number;
  readonly byCommand: Readonly<Record<string, number>>;
}

function optionsOf(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      messages: { type: 'string', default: '300' },
      idle: { type: 'string', default: '15' },
      json: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'messages' | 'idle') => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: expected a whole number from 1`);
    return value;
  };
  return { messages: whole('messages'), idleSeconds: whole('idle'), json: values.json };
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const listening = (server: Server) =>
  new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });

/** A proxy before the store that counts the commands that go through it, by name. */
async function countingProxy(toPort: number) {
  const counts = new Map<string, number>();
  const server = createServer((client) => {
    const upstream = connect(toPort, '127.0.0.1');
    let rest = Buffer.alloc(0);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.on('data', (chunk: Buffer) => {
      upstream.write(chunk);
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= rest.readInt32LE(0)) {
        const name = commandOf(rest);
        counts.set(name, (counts.get(name) ?? 0) + 1);
        rest = rest.subarray(rest.readInt32LE(0));
      }
    });
    upstream.on('data', (chunk) => client.write(chunk));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.on('close', () => other.destroy()).on('error', () => other.destroy());
  });
  await listening(server);
  return { port: portOf(server), counts };
}

/** The command's name: the first key of the document behind an OP_MSG's head, flags, kind of section and that document's length and type. */
function commandOf(message: Buffer): string {
  if (message.readInt32LE(12) !== 2_013) return 'hello';
  const name = message.subarray(26, message.indexOf(0, 26)).toString();
  return name === 'ismaster' || name === 'isMaster' ? 'hello' : name;
}

async function measured(served: boolean, options: Options, dir: string, programs: Program[]): Promise<Row> {
  const wakes = served ? 'a tailable cursor' : 'polling';
  say(`${wakes}: starting`);
  const telegram = await bareTelegram();
  const common = { LOG_LEVEL: 'warn', API_KEY, SECRET_KEY: 'a secret key of the benchmark, 32', PORT: '0' };
  const env = { ...common, BOT_TOKEN: TOKEN, TELEGRAM_API_ROOT: telegram.url, SEND_RATE: '0', SEND_CHAT_RATE: '0' };
  const start = (role: string, more: Readonly<Record<string, string>>) => {
    const program = startProgram(['start', role], { ...env, ...more }, dir);
    programs.unshift(program);
    return program;
  };
  const host = start('local', { DATA_DIR: join(dir, 'store') });
  const uri = await host.line('local store ');
  await host.line('posthorn ready');
  if (!served) {
    const client = new MongoClient(uri);
    await client.db().createCollection('wakes');
    await client.close();
  }
  const proxy = await countingProxy(Number(new URL(uri).port));
  const through = { DATA_DIR: join(dir, 'own'), MONGODB_URI: `mongodb://127.0.0.1:${proxy.port}/posthorn` };
  const all = ROLES.map((role) => start(role, through));
  const [url] = await Promise.all(all.map((program) => program.line('posthorn ready')));

  say(`${wakes}: ${options.messages} messages, one after the other`);
  const web = new Pool((url ?? '').trim(), { connections: 1 });
  const post = async (text: string, chatId: number) => {
    const { statusCode, body } = await web.request({
      path: '/api/send_messages',
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ chatId, text }] }),
    });
    await body.text();
    if (statusCode !== 202) throw new Error(`answered ${statusCode}`);
    return performance.now();
  };
  const accepted = new Map<string, number>();
  for (let i = 0; i < options.messages; i += 1) {
    accepted.set(`#${i}`, await post(`#${i}`, i + 1));
    await sleep(PAUSE_MS[0] + Math.random() * (PAUSE_MS[1] - PAUSE_MS[0]));
  }
  const until = performance.now() + ARRIVE_MS;
  while (telegram.arrived.size < accepted.size) {
    if (performance.now() > until) throw new Error(`${telegram.arrived.size} of ${accepted.size} arrived`);
    await sleep(50);
  }
  await web.close();
  const waits = [...accepted].map(([text, at]) => (telegram.arrived.get(text)?.at ?? 0) - at).sort((a, b) => a - b);
  const share = (part: number) => waits[Math.min(waits.length - 1, Math.floor(waits.length * part))] ?? 0;

  say(`${wakes}: ${options.idleSeconds} s with nothing to do`);
  await sleep(3_000);
  proxy.counts.clear();
  const began = performance.now();
  await sleep(options.idleSeconds * 1_000);
  const seconds = (performance.now() - began) / 1_000;
  const byCommand = Object.fromEntries(
    [...proxy.counts].filter(([name]) => name !== 'hello').map(([name, count]) => [name, count / seconds]),
  );
  for (const program of programs.splice(0)) await program.stop();
  telegram.close();
  const callsPerSecond = Object.values(byCommand).reduce((sum, count) => sum + count, 0);
  return { wakes, p50: share(0.5), p99: share(0.99), max: waits.at(-1) ?? 0, callsPerSecond, byCommand };
}

function table(rows: readonly Row[], { messages }: Options): string {
  const ms = (value: number) => value.toFixed(1);
  const lines = rows.map((row) => [row.wakes, ms(row.p50), ms(row.p99), ms(row.max), row.callsPerSecond.toFixed(1)]);
  const commands = rows.map(({ wakes, byCommand }) => {
    const all = Object.entries(byCommand).sort((a, b) => b[1] - a[1]);
    return `${wakes}: ${all.map(([name, count]) => `${name} ${count.toFixed(1)}`).join(', ')}\n`;
  });
  return (
    `${messages} messages, accepted by one process, sent by another; ms from the 202 to the call\n` +
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}\n\n` +
    columns([['wakes by', 'p50', 'p99', 'max', 'idle calls/s'], ...lines]) +
    `\nCommands a second with nothing to do, all processes together\n${commands.join('')}`
  );
}

async function run(options: Options, dir: string, programs: Program[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const served of [true, false]) {
    const own = join(dir, served ? 'cursor' : 'polling');
    await mkdir(own);
    rows.push(await measured(served, options, own, programs));
  }
  return rows;
}

await benchCommand({ optionsOf, run, table });
