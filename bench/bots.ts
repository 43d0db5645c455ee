/**
 * Whether many bots in one process stand in each other's way: `npm run bench:bots -- [--bots N] [--recipients N] [--json]`.
 * One process with all roles and the embedded store, a broadcast of each bot at the same time, the default rates (30 a second each). A bare server in this process stands for Telegram.
 * The share of a bot is what it sent from its first call to its last by what 30 a second would be.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { request } from 'undici';
import { bareTelegram } from './bare-telegram.js';
import { benchCommand, say } from './command.js';
import { columns, cpuSeconds, median, type Program, startProgram } from './support.js';

const API_KEY = 'bench-key';
const RATE = 30;
const STALL_MS = 60_000;

interface Options {
  readonly bots: number;
  readonly recipients: number;
  readonly json: boolean;
}

interface Figures {
  readonly node: string;
  readonly cpus: string;
  readonly options: Options;
  /** By bot: the share of its rate that it kept. */
  readonly shares: readonly number[];
  readonly cpuSecondsPer1000: number;
}

function optionsOf(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      bots: { type: 'string', default: '10' },
      recipients: { type: 'string', default: '2000' },
      json: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'bots' | 'recipients', min: number) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < min) throw new Error(`--${name}: expected a whole number from ${min}`);
    return value;
  };
  return { bots: whole('bots', 1), recipients: whole('recipients', 2 * RATE), json: values.json };
}

async function posted(url: string, path: string, body: object | string): Promise<unknown> {
  const type = typeof body === 'string' ? 'application/x-ndjson' : 'application/json';
  const answer = await request(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': type },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headersTimeout: 0,
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`POST ${path}: ${answer.statusCode} ${text}`);
  return JSON.parse(text) as unknown;
}

async function run(options: Options, dir: string, programs: Program[]): Promise<Figures> {
  const telegram = await bareTelegram();
  const env = { LOG_LEVEL: 'warn', API_KEY, PORT: '0', DATA_DIR: join(dir, 'data') };
  const server = startProgram(['start'], { ...env, BOT_TOKEN: '1:bench', TELEGRAM_API_ROOT: telegram.url }, dir);
  programs.push(server);
  const url = await server.line('posthorn ready ');
  const bots = Array.from({ length: options.bots }, (_, i) => String(i + 1));
  say(`${bots.length} bots with ${options.recipients} people each`);
  for (const bot of bots.slice(1)) await posted(url, '/api/bots', { token: `${bot}:bench` });
  for (const bot of bots) {
    const lines = Array.from({ length: options.recipients }, (_, i) => `{"chatId":${i + 1},"botId":"${bot}"}\n`);
    await posted(url, '/api/users/import', lines.join(''));
  }
  // Each bot has its lease and its quiet time behind it once a message of its own has arrived.
  for (const bot of bots)
    await posted(url, '/api/send_messages', { messages: [{ chatId: 1, text: `#ready ${bot}`, botId: bot }] });
  await arrived(telegram, bots.length);

  say('a broadcast of each');
  const cpuBefore = cpuSeconds([server.pid]);
  await Promise.all(bots.map((bot) => posted(url, '/api/broadcasts', { text: `of ${bot}`, botId: bot })));
  await arrived(telegram, bots.length * (options.recipients + 1));
  const cpu = cpuSeconds([server.pid]) - cpuBefore;
  const sends = new Map<number, number[]>();
  for (const [text, { bot, at }] of telegram.arrived)
    if (!text.startsWith('#')) sends.set(bot, [...(sends.get(bot) ?? []), at]);
  telegram.close();
  const shares = [...sends.values()].map((times) => {
    const seconds = (Math.max(...times) - Math.min(...times)) / 1_000;
    return (times.length - 1) / seconds / RATE;
  });
  return {
    node: process.version,
    cpus: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    options,
    shares,
    cpuSecondsPer1000: (cpu * 1_000) / (options.bots * options.recipients),
  };
}

async function arrived(telegram: Awaited<ReturnType<typeof bareTelegram>>, count: number): Promise<void> {
  let last = 0;
  let movedAt = performance.now();
  while (telegram.arrived.size < count) {
    const now = performance.now();
    if (telegram.arrived.size > last) [last, movedAt] = [telegram.arrived.size, now];
    else if (now - movedAt > STALL_MS) throw new Error(`stalled: ${last} of ${count} have arrived`);
    await sleep(50);
  }
}

function table({ node, cpus: machine, options, shares, cpuSecondsPer1000 }: Figures): string {
  const share = (value: number) => value.toFixed(3);
  return (
    `${options.bots} bots in one process, a broadcast to ${options.recipients} people each, ${RATE} a second each\n` +
    `Node ${node}, ${machine}\n\n` +
    columns([
      ['share of its rate', 'least', 'median', 'most'],
      ['a bot', share(Math.min(...shares)), share(median(shares)), share(Math.max(...shares))],
    ]) +
    `\nCPU of our process per 1,000 messages: ${cpuSecondsPer1000.toFixed(3)} s\n`
  );
}

await benchCommand({ optionsOf, run, table });
