/** Rows in which the limits set the wall: how close to them the sender comes, in which order, and how soon a reply finds its way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { delivered, noTooMany, once, seconds, weather } from './delivering.js';
import type { Measure, Row } from './row.js';
import { inWorld, type World } from './world.js';

const REPLY_LOOK_MS = 5;
const RATE = 30;
const MODELS = ['telegram', 'strict', 'bucket'] as const;

/** Lets the windows of what was sent before run out. */
const settleLimits = () => sleep(2_500);

const limits: Row = {
  name: 'limits',
  about: '600 chats at 30/s under three models of the limits, 20 ms latency',
  run: (say) =>
    inWorld({}, async (world) => {
      const chats = 600;
      await world.api.importPeople(await world.telegram.people(chats));
      const measures: Measure[] = [];
      const wallS = chats / RATE + 1;
      for (const model of MODELS) {
        say(model);
        await settleLimits();
        await weather(world, { limits: model });
        const { ms, stats } = await delivered(world, chats, wallS, () => world.api.broadcast({ text: '#1 in time' }));
        measures.push(
          { what: `${model}, wall`, value: seconds(ms), goal: `≤ ${wallS.toFixed(2)} s`, held: ms <= wallS * 1_000 },
          noTooMany(model, stats.tooMany),
        );
      }
      return measures;
    }),
};

const jitter: Row = {
  name: 'limits-jitter',
  about: 'the same with 0–20 ms of jitter before acceptance',
  run: (say) =>
    inWorld({}, async (world) => {
      const chats = 600;
      await world.api.importPeople(await world.telegram.people(chats));
      const measures: Measure[] = [];
      for (const model of MODELS) {
        say(model);
        await settleLimits();
        await weather(world, { limits: model, jitterMs: 20 });
        const text = '#1 through jitter';
        const { ms, stats } = await delivered(world, chats, chats / RATE, () => world.api.broadcast({ text }));
        const rate = (chats * 1_000) / ms;
        measures.push(
          { what: `${model}, rate`, value: `${rate.toFixed(1)}/s`, goal: 'said', held: true },
          noTooMany(model, stats.tooMany),
        );
      }
      return measures;
    }),
};

const hotChats: Row = {
  name: 'hot-chats',
  about: '10 chats with 30 messages each at 1/s a chat, 20 ms latency',
  run: () =>
    inWorld({}, async (world) => {
      const [each, chats] = [30, 10];
      const ids = await world.telegram.people(chats);
      await settleLimits();
      await weather(world, {});
      const messages = Array.from({ length: each * chats }, (_, index) => ({
        chatId: ids[index % chats] ?? 0,
        text: `#${Math.floor(index / chats) + 1} hot`,
      }));
      const { ms, stats } = await delivered(world, messages.length, each, () =>
        world.api.call('POST', '/api/send_messages', { messages }),
      );
      const wallS = 1.05 * (each - 1);
      return [
        { what: 'wall', value: seconds(ms), goal: `≤ ${wallS.toFixed(2)} s`, held: ms <= wallS * 1_000 },
        noTooMany('10 chats', stats.tooMany),
        { what: 'out of order', value: String(stats.outOfOrder), goal: '0', held: stats.outOfOrder === 0 },
      ];
    }),
};

const REPLIES = 60;

/** The time from a person's message to the bot's answer, ms. Its error is that of a look: 5 ms and an answer of the local Telegram. */
async function reply({ telegram, bot }: World, person: number): Promise<number> {
  const before = (await telegram.messages(bot.id, person)).at(-1)?.messageId ?? 0;
  const began = performance.now();
  await telegram.write(person, bot.id, '/status');
  const isAnswer = async () =>
    (await telegram.messages(bot.id, person, before)).some(({ from }) => from.is_bot === true);
  return (await once(`the answer to ${person}`, 10, isAnswer, REPLY_LOOK_MS)) - began;
}

function repliesRow(name: string, about: string, goalMs: number, processes: readonly (readonly string[])[]): Row {
  return {
    name,
    about,
    run: (say) =>
      inWorld({ processes }, async (world) => {
        say('importing 100,000 people');
        await world.api.importPeople(await world.telegram.people(100_000));
        const askers = await world.telegram.people(REPLIES);
        await weather(world, {});
        const id = await world.api.broadcast({ text: '#1 to everybody' });
        await once('the broadcast runs', 10, async () => (await world.telegram.stats()).accepted > 3 * RATE);
        const from = { at: performance.now(), accepted: (await world.telegram.stats()).accepted };
        const waits: number[] = [];
        for (const person of askers) {
          const began = performance.now();
          waits.push(await reply(world, person));
          await sleep(Math.max(0, 1_000 - (performance.now() - began)));
        }
        const stats = await world.telegram.stats();
        const rate = ((stats.accepted - from.accepted) * 1_000) / (performance.now() - from.at);
        await world.api.call('POST', `/api/broadcasts/${id}/cancel`);
        const sorted = waits.toSorted((a, b) => a - b);
        const p99 = sorted[Math.ceil(0.99 * sorted.length) - 1] ?? Number.POSITIVE_INFINITY;
        const middle = sorted[Math.floor(sorted.length / 2)] ?? 0;
        return [
          {
            what: 'p99 of 60 replies',
            value: `${p99.toFixed(0)} ms (median ${middle.toFixed(0)})`,
            goal: `≤ ${goalMs} ms`,
            held: p99 <= goalMs,
          },
          { what: 'all messages meanwhile', value: `${rate.toFixed(1)}/s`, goal: '≥ 28/s', held: rate >= 28 },
          noTooMany('meanwhile', stats.tooMany),
        ];
      }),
  };
}

const slowChat: Row = {
  name: 'slow-chat',
  about: 'one chat with 3,000 waiting beside a broadcast to 600 others, 20 ms latency',
  run: (say) =>
    inWorld({}, async (world) => {
      const chats = 600;
      await world.api.importPeople(await world.telegram.people(chats));
      const [slow = 0] = await world.telegram.people(1);
      await weather(world, {});
      const wall = async () => {
        const began = performance.now();
        const id = await world.api.broadcast({ text: 'beside' });
        const isSent = async () => (await world.api.showBroadcast(id)).sent >= chats;
        return (await once(`${chats} messages`, chats / RATE, isSent)) - began;
      };
      say('alone');
      await settleLimits();
      const alone = await wall();
      say('beside 3,000');
      const messages = Array.from({ length: 1_000 }, () => ({ chatId: slow, text: 'one of very many', lane: 'bulk' }));
      for (let i = 0; i < 3; i += 1) await world.api.call('POST', '/api/send_messages', { messages });
      await settleLimits();
      const beside = await wall();
      const stats = await world.telegram.stats();
      // The slow chat takes one message a second of the bot's 30.
      const goalMs = (alone * RATE) / (RATE - 1) + 500;
      return [
        { what: 'the 600 alone', value: seconds(alone), goal: '≤ 21.00 s', held: alone <= 21_000 },
        { what: 'the 600 beside it', value: seconds(beside), goal: `≤ ${seconds(goalMs)}`, held: beside <= goalMs },
        noTooMany('both', stats.tooMany),
      ];
    }),
};

/** The rows of pace. */
export const paceRows: readonly Row[] = [
  limits,
  jitter,
  hotChats,
  repliesRow('replies', '60 people get a reply, one a second, during a broadcast to 100,000 at 30/s', 250, [[]]),
  repliesRow('replies-apart', 'the same with web, bot, sender and store as processes of their own', 400, [
    ['local'],
    ['web'],
    ['bot'],
    ['sender'],
  ]),
  slowChat,
];
