/**
 * Rows of wakes: how soon another process sends what one has accepted, and what that costs. Store, web, bot, sender and scheduler are processes of their own; a bare server in
 * this process stands for Telegram, so both times are of one clock. Measured for each message: from its 202 to its call there, and with nothing to do: commands to the store a
 * second, of all processes together (the driver's own hello left out). Once where the store serves tailable cursors, once where it does not (the collection of wakes is an
 * ordinary one: a cursor on it is refused, as servers without capped collections do).
 */
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { Pool } from 'undici';
import { bareTelegram } from './bare-telegram.js';
import type { Row } from './row.js';
import { type Program, startProgram, withPrograms } from './support.js';

const API_KEY = 'bench-key';
const TOKEN = '1:bench';
const MESSAGES = 300;
const IDLE_S = 15;
/** After so long without news nothing is looked at any more often than it will be for ever, ms. */
const QUIET_MS = 11_000;
/** Between two messages, ms: random, so that they meet every phase of a timer. */
const PAUSE_MS = [40, 240] as const;
const ARRIVE_MS = 30_000;
const ROLES = ['web', 'bot', 'sender', 'scheduler'] as const;
const CALLS_GOAL = 10;

/** Of the waits of the messages, ms; of the idle time, commands a second, all and by name. */
interface Figures {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly callsPerSecond: number;
  readonly byCommand: Readonly<Record<string, number>>;
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

async function measured(
  served: boolean,
  say: (progress: string) => void,
  dir: string,
  programs: Program[],
): Promise<Figures> {
  say('starting');
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

  say(`${MESSAGES} messages, one after the other`);
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
  for (let i = 0; i < MESSAGES; i += 1) {
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

  say(`${IDLE_S} s with nothing to do`);
  await sleep(QUIET_MS);
  proxy.counts.clear();
  const began = performance.now();
  await sleep(IDLE_S * 1_000);
  const seconds = (performance.now() - began) / 1_000;
  const byCommand = Object.fromEntries(
    [...proxy.counts].filter(([name]) => name !== 'hello').map(([name, count]) => [name, count / seconds]),
  );
  telegram.close();
  const callsPerSecond = Object.values(byCommand).reduce((sum, count) => sum + count, 0);
  return { p50: share(0.5), p99: share(0.99), max: waits.at(-1) ?? 0, callsPerSecond, byCommand };
}

function wakesRow(name: string, about: string, served: boolean, goalMs: number): Row {
  return {
    name,
    about,
    run: (say) =>
      withPrograms(async (dir, programs) => {
        const { p50, p99, max, callsPerSecond, byCommand } = await measured(served, say, dir, programs);
        const commands = Object.entries(byCommand)
          .sort((a, b) => b[1] - a[1])
          .map(([command, perSecond]) => `${command} ${perSecond.toFixed(1)}`);
        return [
          {
            what: 'p99 from the 202 to the call',
            value: `${p99.toFixed(1)} ms (median ${p50.toFixed(1)}, most ${max.toFixed(1)})`,
            goal: `≤ ${goalMs} ms`,
            held: p99 <= goalMs,
          },
          {
            what: 'store calls a second when idle',
            value: `${callsPerSecond.toFixed(1)} (${commands.join(', ')})`,
            goal: `≤ ${CALLS_GOAL}`,
            held: callsPerSecond <= CALLS_GOAL,
          },
        ];
      }),
  };
}

/** The rows of wakes. */
export const wakesRows: readonly Row[] = [
  wakesRow('wakes', `${MESSAGES} messages accepted by one process, sent by another, with tailable cursors`, true, 50),
  wakesRow('wakes-polling', 'the same on a store without tailable cursors', false, 250),
];
