/**
 * How fast one broadcast is delivered: `npm run bench:deliver -- [--recipients N] [--concurrency N] [--latency MS] [--store same|own] [--no-raw] [--json]`.
 * The local Telegram runs in a process of its own with its limits off; Posthorn sends with its rates lifted. Measured from the first POST to the last
 * acceptance there. A raw undici loop with the same concurrency, half of it before and half after, is what the same Telegram takes without any durability.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { request } from 'undici';
import { benchCommand, say } from './command.js';
import { rawLoop } from './raw-loop.js';
import { columns, cpuSeconds, memoryOf, type Program, startProgram, watchMemory } from './support.js';

const API_KEY = 'bench-key';
const TEXT = '#1 The quick brown fox jumps over the lazy dog, and everybody is told of it in one line of text.';
/** How often the local Telegram is asked what it has accepted, ms: the error of a measured time. */
const LOOK_MS = 20;
/** Without any progress for this long the run has failed, ms. */
const STALL_MS = 60_000;
const IMPORT_LINES = 1_000;
const MB = 1_048_576;

interface Options {
  readonly recipients: number;
  readonly concurrency: number;
  readonly latencyMs: number;
  readonly store: 'same' | 'own';
  readonly raw: boolean;
  readonly json: boolean;
}

interface Stats {
  readonly accepted: number;
  readonly distinct: number;
  readonly duplicates: number;
  readonly tooMany: number;
  readonly maxInFlight: number;
}

interface Figures {
  readonly node: string;
  readonly cpus: string;
  readonly options: Options;
  readonly importSeconds: number;
  readonly posthorn: {
    readonly seconds: number;
    readonly perSecond: number;
    readonly cpuSecondsPer1000: number;
    readonly maxInFlight: number;
  };
  readonly raw: { readonly seconds: number; readonly perSecond: number } | undefined;
  readonly ratio: number | undefined;
  readonly memory: {
    readonly peakRssAnonMb: number;
    readonly peakRssAnonWhileSendingMb: number;
    readonly peakVmHwmMb: number;
  };
  readonly distinct: number;
  readonly duplicates: number;
}

function optionsOf(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      recipients: { type: 'string', default: '20000' },
      concurrency: { type: 'string', default: '64' },
      latency: { type: 'string', default: '0' },
      store: { type: 'string', default: 'same' },
      'no-raw': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'recipients' | 'concurrency' | 'latency', min: number) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < min) throw new Error(`--${name}: expected a whole number from ${min}`);
    return value;
  };
  const { store } = values;
  if (store !== 'same' && store !== 'own') throw new Error('--store: expected same or own');
  return {
    recipients: whole('recipients', 1),
    concurrency: whole('concurrency', 1),
    latencyMs: whole('latency', 0),
    store,
    raw: !values['no-raw'],
    json: values.json,
  };
}

async function json<T>(url: string, method: 'GET' | 'POST' | 'PUT', body?: unknown): Promise<T> {
  const answer = await request(url, {
    method,
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${method} ${new URL(url).pathname}: ${answer.statusCode} ${text}`);
  return JSON.parse(text) as T;
}

/** Resolves with the time at which the local Telegram had accepted so many. Throws when nothing moves any more. */
async function accepted(telegram: string, wanted: number): Promise<number> {
  let last = -1;
  let movedAt = performance.now();
  for (;;) {
    const stats = await json<Stats>(`${telegram}/local/stats`, 'GET');
    const now = performance.now();
    if (stats.accepted >= wanted) return now;
    if (stats.accepted > last) [last, movedAt] = [stats.accepted, now];
    else if (now - movedAt > STALL_MS) throw new Error(`stalled: ${stats.accepted} of ${wanted} were accepted`);
    await sleep(LOOK_MS);
  }
}

function* importLines(ids: readonly number[]): Generator<string> {
  for (let at = 0; at < ids.length; at += IMPORT_LINES) {
    yield ids
      .slice(at, at + IMPORT_LINES)
      .map((id) => `${JSON.stringify({ chatId: id, firstName: `Person ${id}` })}\n`)
      .join('');
  }
}

async function importPeople(server: string, ids: readonly number[]): Promise<number> {
  const began = performance.now();
  const { body, statusCode } = await request(`${server}/api/users/import`, {
    method: 'POST',
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/x-ndjson' },
    body: importLines(ids) as unknown as Uint8Array,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const answer = (await body.json()) as { imported: number };
  if (statusCode !== 200 || answer.imported !== ids.length) throw new Error(`import: ${JSON.stringify(answer)}`);
  return (performance.now() - began) / 1_000;
}

/** Sets the counters to zero and the faults to those of the run. */
async function freshTelegram(telegram: string, { latencyMs }: Options): Promise<void> {
  await json(`${telegram}/local/reset`, 'POST', {});
  await json(`${telegram}/local/faults`, 'PUT', { limits: 'off', latencyMs });
}

async function run(options: Options, dir: string, programs: Program[]): Promise<Figures> {
  const start = (words: readonly string[], env: Readonly<Record<string, string>>) => {
    // In `dir` there is no .env that could interfere.
    const program = startProgram(words, { LOG_LEVEL: 'warn', API_KEY, HOST: '127.0.0.1', PORT: '0', ...env }, dir);
    programs.unshift(program);
    return program;
  };
  say('starting the local Telegram and Posthorn');
  const telegramProcess = start(['start', 'local'], {
    DATA_DIR: join(dir, 'telegram'),
    MONGODB_URI: 'mongodb://127.0.0.1:9/not-used',
  });
  const telegram = await telegramProcess.line('local telegram ');
  await telegramProcess.line('posthorn ready');
  const [bot] = await json<{ token: string }[]>(`${telegram}/local/bots`, 'GET');
  if (bot === undefined) throw new Error('the local Telegram has no bot');
  const env = {
    DATA_DIR: join(dir, 'posthorn'),
    BOT_TOKEN: bot.token,
    TELEGRAM_API_ROOT: telegram,
    SEND_RATE: '0',
    SEND_CHAT_RATE: '0',
    SEND_CONCURRENCY: String(options.concurrency),
  };
  const ours = [];
  if (options.store === 'own') {
    ours.push(start(['start', 'local'], env));
    await ours[0]?.line('posthorn ready');
  }
  const roles = options.store === 'own' ? ['web', 'bot', 'sender', 'scheduler'] : [];
  const serverProcess = start(['start', ...roles], env);
  ours.push(serverProcess);
  const server = await serverProcess.line('posthorn ready ');
  const pids = ours.map(({ pid }) => pid);
  const memory = watchMemory(pids);

  const { recipients } = options;
  say(`making and importing ${recipients} people`);
  const { ids } = await json<{ ids: number[] }>(`${telegram}/local/people`, 'POST', { count: recipients });
  const importSeconds = await importPeople(server, ids);
  const peakOfImport = memory.peak;

  const half = Math.floor(recipients / 2);
  let rawSeconds = 0;
  if (options.raw) {
    say('raw undici, the first half');
    await freshTelegram(telegram, options);
    rawSeconds += await rawLoop(telegram, bot.token, TEXT, ids.slice(0, half), options.concurrency);
  }

  say(`one broadcast to ${recipients} people`);
  await freshTelegram(telegram, options);
  memory.mark();
  const cpuBefore = cpuSeconds(pids);
  const began = performance.now();
  const { id } = await json<{ id: string }>(`${server}/api/broadcasts`, 'POST', { text: TEXT });
  const seconds = ((await accepted(telegram, recipients)) - began) / 1_000;
  await done(server, id, recipients);
  const cpuUsed = cpuSeconds(pids) - cpuBefore;
  const stats = await json<Stats>(`${telegram}/local/stats`, 'GET');
  const peakOfSending = memory.peak;
  const highWater = memoryOf('VmHWM', pids);
  memory.stop();
  if (stats.distinct !== recipients || stats.duplicates > 0) {
    throw new Error(`${stats.distinct} of ${recipients} got the text, ${stats.duplicates} more than once`);
  }

  if (options.raw) {
    say('raw undici, the second half');
    await freshTelegram(telegram, options);
    rawSeconds += await rawLoop(telegram, bot.token, TEXT, ids.slice(half), options.concurrency);
  }
  const perSecond = recipients / seconds;
  const rawPerSecond = recipients / rawSeconds;
  return {
    node: process.version,
    cpus: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    options,
    importSeconds,
    posthorn: {
      seconds,
      perSecond,
      cpuSecondsPer1000: (cpuUsed * 1_000) / recipients,
      maxInFlight: stats.maxInFlight,
    },
    raw: options.raw ? { seconds: rawSeconds, perSecond: rawPerSecond } : undefined,
    ratio: options.raw ? perSecond / rawPerSecond : undefined,
    memory: {
      peakRssAnonMb: Math.max(peakOfImport, peakOfSending) / MB,
      peakRssAnonWhileSendingMb: peakOfSending / MB,
      peakVmHwmMb: highWater / MB,
    },
    distinct: stats.distinct,
    duplicates: stats.duplicates,
  };
}

/** Waits until the broadcast is done in Posthorn too: every outcome is in the store, and the CPU of that counts. */
async function done(server: string, id: string, recipients: number): Promise<void> {
  const until = performance.now() + STALL_MS;
  for (;;) {
    const broadcast = await json<{ state: string; sent: number }>(`${server}/api/broadcasts/${id}`, 'GET');
    if (broadcast.state === 'done' && broadcast.sent === recipients) return;
    if (broadcast.state === 'done' || performance.now() > until) throw new Error(JSON.stringify(broadcast));
    await sleep(250);
  }
}

function table({ node, cpus: machine, options, importSeconds, posthorn, raw, ratio, memory }: Figures): string {
  const { recipients, concurrency, latencyMs, store } = options;
  const rates = [
    ['', 'seconds', 'messages/s'],
    ['posthorn, durable', posthorn.seconds.toFixed(2), posthorn.perSecond.toFixed(0)],
    ...(raw === undefined ? [] : [['raw undici', raw.seconds.toFixed(2), raw.perSecond.toFixed(0)]]),
    ...(ratio === undefined ? [] : [['ratio', '', ratio.toFixed(2)]]),
  ];
  const costs = [
    ['CPU of our processes per 1,000 messages', `${posthorn.cpuSecondsPer1000.toFixed(3)} s`],
    ['peak private memory (RssAnon), import and broadcast', `${memory.peakRssAnonMb.toFixed(0)} MB`],
    ['peak private memory (RssAnon), broadcast alone', `${memory.peakRssAnonWhileSendingMb.toFixed(0)} MB`],
    ['peak resident memory (VmHWM, with mapped files)', `${memory.peakVmHwmMb.toFixed(0)} MB`],
    ['import', `${importSeconds.toFixed(1)} s`],
    ['most calls in flight at the local Telegram', String(posthorn.maxInFlight)],
  ];
  const head = `${recipients} recipients, concurrency ${concurrency}, latency ${latencyMs} ms, store in ${store === 'own' ? 'a process of its own' : 'the same process'}`;
  return `${head}\nNode ${node}, ${machine}\n\n${columns(rates)}\n${columns(costs)}`;
}

await benchCommand({ optionsOf, run, table });
