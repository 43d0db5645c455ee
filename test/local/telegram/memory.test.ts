import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type LocalTelegramOptions, startLocalTelegram } from '../../../src/local/telegram/server.js';
import { type LocalTelegramControl, localTelegramControl } from '../../support/local-telegram.js';
import { startProcess } from '../../support/posthorn-process.js';
import { pipeline, postOf } from '../../support/raw-http.js';

const TEXT = 'The quick brown fox jumps over the lazy dog, and everybody is told of it in one line of text.';
const HOST = join(import.meta.dirname, 'host.fixture.ts');

/** Far below what a message would take in memory: its text alone has 96 characters. */
const BYTES_MAX = 100;

/** Texts to all of these people, round after round; a text begins with its round. */
function* rounds(token: string, people: readonly number[], from: number, to: number): Generator<string> {
  for (let round = from; round < to; round += 1) {
    for (const id of people) yield postOf(`/bot${token}/sendMessage`, { chat_id: id, text: `${round}. ${TEXT}` });
  }
}

function privateBytes(pid: number): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

async function firstBot(control: LocalTelegramControl): Promise<{ id: number; token: string }> {
  const [bot] = await control.bots();
  if (bot === undefined) throw new Error('the local Telegram has no bot');
  return bot;
}

t.test(
  'memory grows with people, not with messages',
  { skip: process.platform !== 'linux' && 'needs /proc' },
  async (t) => {
    const people = 500;
    // Until then the collector lets its heap grow to what suits it, by up to 20 MB.
    const first = 100_000;
    const more = 200_000;
    const host = startProcess(t, {
      command: [process.execPath, '--import', import.meta.resolve('tsx')],
      args: [HOST, t.testdir()],
      cwd: t.testdirName,
    });
    const url = `http://127.0.0.1:${await host.line('http://127.0.0.1:')}`;
    const control = localTelegramControl(url);
    const { token } = await firstBot(control);
    await control.faults({ limits: 'off' });
    const ids = await control.people(people);
    const port = Number(new URL(url).port);

    await pipeline(port, rounds(token, ids, 0, first / people));
    const before = privateBytes(host.pid);
    await pipeline(port, rounds(token, ids, first / people, (first + more) / people));
    const grown = privateBytes(host.pid) - before;
    t.comment(
      `${(before / 2 ** 20).toFixed(1)} MB with ${first} messages, ${(grown / 2 ** 20).toFixed(1)} MB more with ${more} more`,
    );
    t.ok(grown <= more * BYTES_MAX, `${grown} bytes for ${more} messages`);
    t.equal((await control.stats()).accepted, first + more);
    await host.end('SIGTERM');
  },
);

/** What each of these people sees of the bot's messages: the rounds, oldest first. */
async function roundsSeen(control: LocalTelegramControl, bot: number, people: readonly number[]): Promise<number[][]> {
  const seen: number[][] = [];
  for (const id of people) {
    const messages = await control.messages(bot, id);
    seen.push(messages.map(({ text }) => Number.parseInt(text ?? '', 10)));
  }
  return seen;
}

async function start(t: Test, options: LocalTelegramOptions) {
  const telegram = await startLocalTelegram(options);
  t.teardown(() => telegram.stop());
  return { telegram, control: localTelegramControl(telegram.url) };
}

t.test('the oldest messages of all chats are given up first', async (t) => {
  const historyBytes = 1024 * 1024;
  const people = 100;
  const count = 150;
  const options = { dataDir: t.testdir(), port: 0, historyBytes };
  const { telegram, control } = await start(t, options);
  const bot = await firstBot(control);
  await control.faults({ limits: 'off' });
  const ids = await control.people(people);
  // Few under way at once: a segment ends with the turn that fills it.
  await pipeline(telegram.port, rounds(bot.token, ids, 0, count), 20);

  const seen = await roundsSeen(control, bot.id, ids);
  const oldest = seen.map((rounds) => rounds[0] ?? count);
  const [first, last] = [Math.min(...oldest), Math.max(...oldest)];
  t.ok(first > 0, 'the first messages are gone');
  t.ok(last - first <= 1, `all chats begin at about the same message: ${first} to ${last}`);
  for (const [place, rounds] of seen.entries()) {
    const from = oldest[place] ?? 0;
    if (rounds.length !== count - from || rounds.some((round, i) => round !== from + i)) {
      t.fail(`chat ${place} misses newer messages: ${rounds.join(' ')}`);
    }
  }
  const journals = readdirSync(join(options.dataDir, 'telegram')).filter((name) => name.startsWith('journal-'));
  const bytes = journals.reduce((sum, name) => sum + statSync(join(options.dataDir, 'telegram', name)).size, 0);
  t.ok(bytes > historyBytes / 2 && bytes < historyBytes * 1.2, `${bytes} bytes of journal`);

  await telegram.stop();
  for (let restarts = 0; restarts < 20; restarts += 1) {
    const again = await start(t, options);
    await again.control.write(await again.control.person('Ada'), bot.id, 'one more message');
    await again.telegram.stop();
  }
  const again = await start(t, options);
  t.strictSame(await roundsSeen(again.control, bot.id, ids), seen, 'restarts give up nothing');
});
