/** The row of many bots: whether those of one process stand in each other's way. A bare server in this process stands for Telegram. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PosthornApi, posthornApi } from '../test/support/posthorn-api.js';
import { type BareTelegram, bareTelegram } from './bare-telegram.js';
import type { Row } from './row.js';
import { cpuSeconds, median, startProgram, withPrograms } from './support.js';

const API_KEY = 'bench-key';
const BOTS = 10;
const RECIPIENTS = 2_000;
const RATE = 30;
const STALL_MS = 60_000;

/** A call of the API. Rejects when it is not answered with 2xx. */
async function posted(api: PosthornApi, path: string, body: object | string): Promise<void> {
  const type = typeof body === 'string' ? { 'content-type': 'application/x-ndjson' } : {};
  const answer = await api.call('POST', path, body, type);
  if (answer.status >= 300) throw new Error(`POST ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

async function arrived(telegram: BareTelegram, count: number): Promise<void> {
  let last = 0;
  let movedAt = performance.now();
  while (telegram.arrived.size < count) {
    const now = performance.now();
    if (telegram.arrived.size > last) [last, movedAt] = [telegram.arrived.size, now];
    else if (now - movedAt > STALL_MS) throw new Error(`stalled: ${last} of ${count} have arrived`);
    await sleep(50);
  }
}

/** By bot, the share of its rate: what it sent from its first call to its last by what 30 a second would be. */
function sharesOf(telegram: BareTelegram): number[] {
  const sends = new Map<number, number[]>();
  for (const [text, { bot, at }] of telegram.arrived)
    if (!text.startsWith('#')) sends.set(bot, [...(sends.get(bot) ?? []), at]);
  return [...sends.values()].map((times) => {
    const seconds = (Math.max(...times) - Math.min(...times)) / 1_000;
    return (times.length - 1) / seconds / RATE;
  });
}

const bots: Row = {
  name: 'bots',
  about: `${BOTS} bots in one process, a broadcast to ${RECIPIENTS} people of each at the same time, 30/s each`,
  run: (say) =>
    withPrograms(async (dir, programs) => {
      const telegram = await bareTelegram();
      const env = { LOG_LEVEL: 'warn', API_KEY, PORT: '0', DATA_DIR: join(dir, 'data') };
      const server = startProgram(['start'], { ...env, BOT_TOKEN: '1:bench', TELEGRAM_API_ROOT: telegram.url }, dir);
      programs.push(server);
      const api = posthornApi((await server.line('posthorn ready')).trim(), API_KEY);
      const ids = Array.from({ length: BOTS }, (_, i) => String(i + 1));
      say('importing');
      for (const bot of ids.slice(1)) await posted(api, '/api/bots', { token: `${bot}:bench` });
      for (const bot of ids) {
        const lines = Array.from({ length: RECIPIENTS }, (_, i) => `{"chatId":${i + 1},"botId":"${bot}"}\n`);
        await posted(api, '/api/users/import', lines.join(''));
      }
      // Each bot has its lease and its quiet time behind it once a message of its own has arrived.
      for (const bot of ids)
        await posted(api, '/api/send_messages', { messages: [{ chatId: 1, text: `#ready ${bot}`, botId: bot }] });
      await arrived(telegram, BOTS);
      say('a broadcast of each');
      const cpuBefore = cpuSeconds([server.pid]);
      await Promise.all(ids.map((bot) => posted(api, '/api/broadcasts', { text: `of ${bot}`, botId: bot })));
      await arrived(telegram, BOTS * (RECIPIENTS + 1));
      const cpu = ((cpuSeconds([server.pid]) - cpuBefore) * 1_000) / (BOTS * RECIPIENTS);
      const shares = sharesOf(telegram);
      telegram.close();
      const least = Math.min(...shares);
      return [
        {
          what: 'least share of its rate',
          value: `${least.toFixed(3)} (median ${median(shares).toFixed(3)}, most ${Math.max(...shares).toFixed(3)})`,
          goal: '≥ 0.96 each',
          held: shares.length === BOTS && least >= 0.96,
        },
        { what: 'CPU of our process per 1,000', value: `${cpu.toFixed(3)} s`, goal: 'said', held: true },
      ];
    }),
};

/** The rows of many bots. */
export const botRows: readonly Row[] = [bots];
