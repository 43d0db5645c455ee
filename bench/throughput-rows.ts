/** Rows without limits: how near a durable broadcast comes to a raw loop of undici that writes nothing down, and what it costs. */
import { delivered, seconds, weather } from './delivering.js';
import { rawLoop, startRawProcess } from './raw-loop.js';
import type { Measure, Row } from './row.js';
import { cpuSeconds, median, watchMemory } from './support.js';
import { inWorld, type World, type WorldOptions } from './world.js';

const TEXT = '#1 The quick brown fox jumps over the lazy dog, and everybody is told of it in one line of text.';
const MB = 1_048_576;
/** Each ratio is the median of so many turns, or of so many runs of a world of their own. */
const TURNS = 3;

/** The store in a process of its own, rates lifted, so many calls in flight. */
const unlimited = (concurrency: number): WorldOptions => ({
  processes: [['local'], ['web', 'bot', 'sender', 'scheduler']],
  env: { SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: String(concurrency) },
});

/** What a turn measures beside its work: the raw loop's ms, and the local Telegram's CPU for it in s. */
interface Beside {
  readonly rawMs: number;
  readonly telegramCpu: number;
}

/** `work` so often, under this weather without limits, each time between two halves of the raw loop under the same. */
async function turns<T extends object>(
  say: (progress: string) => void,
  world: World,
  loop: { readonly chats: readonly number[]; readonly concurrency: number; readonly faults: object },
  work: () => Promise<T>,
  rawOf: typeof rawLoop = rawLoop,
): Promise<(T & Beside)[]> {
  const { telegram, bot, telegramPid } = world;
  const { chats, concurrency } = loop;
  const faults = { limits: 'off', ...loop.faults };
  const half = Math.floor(chats.length / 2);
  const done: (T & Beside)[] = [];
  while (done.length < TURNS) {
    say(`turn ${done.length + 1} of ${TURNS}`);
    let telegramCpu = 0;
    const raw = async (some: readonly number[]) => {
      await telegram.reset();
      await telegram.faults(faults);
      const cpu = cpuSeconds([telegramPid]);
      const taken = await rawOf(telegram.url, bot.token, TEXT, some, concurrency);
      telegramCpu += cpuSeconds([telegramPid]) - cpu;
      return taken;
    };
    const before = await raw(chats.slice(0, half));
    await weather(world, faults);
    const own = await work();
    const rawMs = (before + (await raw(chats.slice(half)))) * 1_000;
    done.push({ ...own, rawMs, telegramCpu });
  }
  return done;
}

/** The median, and each of those that it is of. */
const ofTurns = (values: readonly number[], digits: number, unit = '', of = 'turns'): string =>
  `${median(values).toFixed(digits)}${unit} (${of}: ${values.map((value) => value.toFixed(digits)).join(', ')})`;

/** What a broadcast, or what stands for one, came to at the local Telegram. */
interface Counted {
  readonly stats: { readonly distinct: number };
}

const eachOnce = (done: readonly Counted[], wanted: number): Measure => ({
  what: 'delivered',
  value: `${Math.min(...done.map(({ stats }) => stats.distinct))} of ${wanted}`,
  goal: 'each once',
  held: done.every(({ stats }) => stats.distinct === wanted),
});

interface Timed extends Beside {
  readonly ms: number;
}

function noWorse(what: string, done: readonly Timed[]): Measure {
  const ratios = done.map(({ ms, rawMs }) => ms / rawMs);
  const raw = seconds(median(done.map(({ rawMs }) => rawMs)));
  return {
    what,
    value: `${ofTurns(ratios, 2)}; ${seconds(median(done.map(({ ms }) => ms)))}, raw ${raw}`,
    goal: '≤ 1.10 × raw undici',
    held: median(ratios) <= 1.1,
  };
}

interface Broadcast extends Timed, Counted {
  /** Of all our processes, s for 1,000 messages. */
  readonly cpu: number;
}

/** Three broadcasts to as many people, one after another, in processes that did nothing before; raw undici's is as new. */
async function broadcasts(say: (progress: string) => void, people: number, concurrency: number): Promise<Broadcast[]> {
  const raw = startRawProcess();
  try {
    return await inWorld(unlimited(concurrency), async (world) => {
      const chats = await world.telegram.people(people);
      say('importing');
      await world.api.importPeople(chats);
      const work = async () => {
        const before = cpuSeconds(world.pids);
        const { ms, stats } = await delivered(world, people, 60, () => world.api.broadcast({ text: TEXT }));
        return { ms, stats, cpu: (cpuSeconds(world.pids) - before) / (people / 1_000) };
      };
      return await turns(say, world, { chats, concurrency, faults: { latencyMs: 0 } }, work, raw.loop);
    });
  } finally {
    raw.end();
  }
}

const throughput: Row = {
  name: 'throughput',
  about: '20,000 chats, no latency, no limits, 50 in flight, beside raw undici with 50; each run in new processes',
  async run(say) {
    const people = 20_000;
    const runs: Broadcast[][] = [];
    while (runs.length < TURNS) {
      const run = runs.length + 1;
      runs.push(await broadcasts((progress) => say(`run ${run}, ${progress}`), people, 50));
    }
    const ofRuns = (values: readonly number[], digits: number, unit = ''): string =>
      ofTurns(values, digits, unit, 'runs');
    const rate = (ms: readonly number[]): string => ((people * 1_000) / median(ms)).toFixed(0);
    const beside = (done: readonly Broadcast[]): string =>
      `${ofRuns(
        done.map(({ ms, rawMs }) => rawMs / ms),
        2,
      )}; ${rate(done.map(({ ms }) => ms))}/s of ${rate(done.map(({ rawMs }) => rawMs))}/s`;
    const of = (turn: number): Broadcast[] => runs.flatMap((run) => run[turn] ?? []);
    const [first, last] = [of(0), of(TURNS - 1)];
    const cpu = (done: readonly Broadcast[]): number[] => done.map((one) => one.cpu);
    return [
      {
        what: 'of raw undici’s rate',
        value: beside(first),
        goal: '≥ 0.40',
        held: median(first.map(({ ms, rawMs }) => rawMs / ms)) >= 0.4,
      },
      {
        what: 'CPU of all our processes for 1,000',
        value: ofRuns(cpu(first), 3, ' s'),
        goal: '≤ 0.150 s',
        held: median(cpu(first)) <= 0.15,
      },
      {
        what: 'the local Telegram: what a core of it takes, to raw undici’s rate',
        value: ofRuns(
          first.map(({ rawMs, telegramCpu }) => rawMs / 1_000 / telegramCpu),
          2,
        ),
        goal: '≥ 2, or said',
        held: true,
      },
      {
        what: 'the third broadcast in the same processes, of raw undici’s third',
        value: beside(last),
        goal: 'said',
        held: true,
      },
      { what: 'its CPU for 1,000', value: ofRuns(cpu(last), 3, ' s'), goal: 'said', held: true },
      eachOnce(runs.flat(), people),
    ];
  },
};

const latency: Row = {
  name: 'latency',
  about: '20,000 chats, 50 ms latency, 200 in flight, beside raw undici with 200',
  run: (say) =>
    inWorld(unlimited(200), async (world) => {
      const chats = await world.telegram.people(20_000);
      say('importing');
      await world.api.importPeople(chats);
      const loop = { chats, concurrency: 200, faults: { latencyMs: 50 } };
      const done = await turns(say, world, loop, () =>
        delivered(world, chats.length, 60, () => world.api.broadcast({ text: TEXT })),
      );
      return [noWorse('wall', done), eachOnce(done, chats.length)];
    }),
};

const ordered: Row = {
  name: 'latency-jitter',
  about:
    '2,000 chats × 5 messages, 50 ms latency and 0–20 ms of jitter, 200 in flight, beside raw undici with 200, which keeps no order',
  run: (say) =>
    inWorld(unlimited(200), async (world) => {
      const [people, each] = [2_000, 5];
      const ids = await world.telegram.people(people);
      const chats = Array.from({ length: people * each }, (_, index) => ids[index % people] ?? 0);
      const messages = chats.map((chatId, index) => ({ chatId, text: `#${Math.floor(index / people) + 1} in order` }));
      const loop = { chats, concurrency: 200, faults: { latencyMs: 50, jitterMs: 20 } };
      const done = await turns(say, world, loop, () =>
        delivered(world, messages.length, 60, async () => {
          for (let at = 0; at < messages.length; at += 1_000) {
            const part = messages.slice(at, at + 1_000);
            const { status } = await world.api.call('POST', '/api/send_messages', { messages: part });
            if (status !== 202) throw new Error(`send_messages was answered ${status}`);
          }
        }),
      );
      const outOfOrder = done.reduce((sum, { stats }) => sum + stats.outOfOrder, 0);
      return [
        noWorse('wall', done),
        { what: 'out of order', value: String(outOfOrder), goal: '0', held: outOfOrder === 0 },
        eachOnce(done, chats.length),
      ];
    }),
};

const million: Row = {
  name: 'million',
  about: 'one broadcast to 1,000,000 recipients, no latency, no limits, 64 in flight',
  run: (say) =>
    inWorld(unlimited(64), async (world) => {
      const count = 1_000_000;
      const ids = await world.telegram.people(count);
      const memory = watchMemory(world.pids);
      say('importing');
      await world.api.importPeople(ids);
      say('sending');
      await weather(world, { limits: 'off', latencyMs: 0 });
      const tenth = count / 10;
      const began = performance.now();
      await world.api.broadcast({ text: TEXT });
      const first = (await delivered(world, tenth, 600, async () => undefined)).ms;
      await delivered(world, count - tenth, 1_800, async () => undefined);
      const last = await delivered(world, count, 600, async () => undefined);
      const total = performance.now() - began;
      const peak = memory.peak / MB;
      memory.stop();
      return [
        { what: 'peak private memory', value: `${peak.toFixed(0)} MB`, goal: '≤ 320 MB', held: peak <= 320 },
        {
          what: 'rate of the last tenth to the first',
          value: `${(first / last.ms).toFixed(2)} (${((count * 1_000) / total).toFixed(0)}/s over all)`,
          goal: '≥ 0.90',
          held: first >= 0.9 * last.ms,
        },
        eachOnce([last], count),
      ];
    }),
};

/** The rows of throughput. */
export const throughputRows: readonly Row[] = [throughput, latency, ordered, million];
