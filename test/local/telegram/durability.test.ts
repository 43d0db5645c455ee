import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { Pool } from 'undici';
import { startLocalTelegram } from '../../../src/local/telegram/server.js';
import { host, json } from './telegram-host.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;

interface Bot {
  readonly id: number;
  readonly token: string;
}
interface Stats {
  readonly accepted: number;
  readonly distinct: number;
  readonly duplicates: number;
  readonly outOfOrder: number;
  readonly calls: Record<string, number | undefined>;
}

/** Sends a document that says its number, as a numbered message; returns the file's id. */
async function sendDocument(api: string, chat: number, number: number): Promise<string> {
  const form = new FormData();
  form.set('chat_id', String(chat));
  form.set('caption', `#${number} x`);
  form.set('document', new Blob([`file ${number}`]), 'file.txt');
  const answer = await fetch(`${api}/sendDocument`, { method: 'POST', body: form });
  const { result } = (await answer.json()) as { result: { document: { file_id: string } } };
  return result.document.file_id;
}

t.test('what was answered survives kill -9 at any moment', async (t) => {
  const dataDir = t.testdir();
  const acknowledged = new Map<number, number>();
  let bot: Bot | undefined;
  let ids: number[] = [];
  const blocked: number[] = [];
  const files = new Map<string, number>();
  let blockable: number[] = [];
  let written = 0;
  let number = 0;
  for (let round = 0; round < (IS_LONG ? 20 : 3); round += 1) {
    const { url, end } = await host(t, dataDir);
    const pool = new Pool(url, { connections: 16 });
    const [first] = await json<Bot[]>(pool, 'GET', '/local/bots');
    if (bot === undefined) {
      bot = first;
      ids = (await json<{ ids: number[] }>(pool, 'POST', '/local/people', { count: 800 })).ids;
      blockable = ids.slice(400);
      await json(pool, 'PUT', '/local/faults', { limits: 'off' });
    }
    t.same(first, bot, 'the made-up bot is the same');
    const { id = 0, token = '' } = bot ?? {};
    const stats = await json<Stats>(pool, 'GET', '/local/stats');
    const sum = [...acknowledged.values()].length;
    t.ok(
      stats.accepted >= sum && stats.accepted <= number,
      `${sum} acknowledged, ${stats.accepted} accepted, ${number} tried`,
    );
    t.equal(stats.distinct, stats.accepted);
    t.equal((stats.calls.sendMessage ?? 0) + (stats.calls.sendDocument ?? 0), stats.accepted);
    const updates = await json<{ result: { update_id: number }[] }>(pool, 'GET', `/bot${token}/getUpdates?limit=100`);
    t.ok(updates.result.length >= Math.min(100, blocked.length + written), 'updates that were told as made are there');

    // Killed in the midst of things, after so many answers rather than so long a time.
    let left = 40 + Math.floor(Math.random() * 150);
    let killed: Promise<void> | undefined;
    const worker = async (): Promise<void> => {
      for (;;) {
        number += 1;
        const mine = number;
        const chat = ids[mine % 400] ?? 0;
        try {
          await json(pool, 'POST', `/bot${token}/sendMessage?chat_id=${chat}&text=%23${mine}+x`);
          acknowledged.set(mine, chat);
          left -= 1;
          if (left <= 0) killed ??= end('SIGKILL');
          if (mine % 10 !== 0) continue;
          await json(pool, 'POST', '/local/messages', { from: chat, chat: id, text: '/start' });
          written += 1;
          const next = blockable.pop();
          if (next === undefined || mine % 20 !== 0) continue;
          await json(pool, 'PUT', `/local/blocks/${next}/${id}`);
          blocked.push(next);
          number += 1;
          const content = number;
          files.set(await sendDocument(`${url}/bot${token}`, chat, content), content);
        } catch {
          return;
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    await killed;
    await pool.destroy();
  }
  t.ok(acknowledged.size > 100, `${acknowledged.size} acknowledged in all`);

  const telegram = await startLocalTelegram({ dataDir, port: 0 });
  const pool = new Pool(telegram.url);
  const { id = 0, token = '' } = bot ?? {};
  const lost: number[] = [];
  const seen = new Map<number, string[]>();
  for (const [mine, chat] of [...acknowledged].slice(-2000)) {
    if (!seen.has(chat)) {
      const messages = await json<{ text: string }[]>(pool, 'GET', `/local/messages?chat=${id}&user=${chat}`);
      seen.set(
        chat,
        messages.map(({ text }) => text),
      );
    }
    if (!seen.get(chat)?.includes(`#${mine} x`)) lost.push(mine);
  }
  t.same(lost, [], 'each acknowledged message is shown');
  for (const person of blocked) {
    const { statusCode, body } = await pool.request({
      method: 'GET',
      path: `/bot${token}/sendMessage?chat_id=${person}&text=x`,
    });
    await body.dump();
    if (statusCode !== 403) t.fail(`the block of ${person} was lost`);
  }
  for (const [fileId, content] of files) {
    const { result } = await json<{ result: { file_path: string } }>(
      pool,
      'GET',
      `/bot${token}/getFile?file_id=${fileId}`,
    );
    const file = await fetch(`${telegram.url}/file/bot${token}/${result.file_path}`);
    t.equal(await file.text(), `file ${content}`);
  }
  await pool.close();
  await telegram.stop();
});

t.test('an orderly end and a start again: the world, its limits and its ids go on', async (t) => {
  const dataDir = t.testdir();
  let now = 1_800_000_000_000;
  const clock = { now: () => now, after: () => () => undefined };
  let telegram = await startLocalTelegram({ dataDir, port: 0, clock });
  let pool = new Pool(telegram.url);
  const [bot] = await json<Bot[]>(pool, 'GET', '/local/bots');
  const { id = 0, token = '' } = bot ?? {};
  const { ids } = await json<{ ids: number[] }>(pool, 'POST', '/local/people', { count: 5000 });
  const send = async (chat: number | undefined, text: string): Promise<number> => {
    const answer = await pool.request({
      method: 'POST',
      path: `/bot${token}/sendMessage?chat_id=${chat}&text=${encodeURIComponent(text)}`,
    });
    await answer.body.dump();
    return answer.statusCode;
  };
  for (let i = 0; i < 30; i += 1) t.equal(await send(ids[i * 150], '#5 x'), 200);
  await json(pool, 'POST', '/local/messages', { from: ids[0], chat: id, text: 'hi' });
  const before = await json<{ result: unknown[] }>(pool, 'GET', `/bot${token}/getUpdates`);
  const stats = await json<Stats>(pool, 'GET', '/local/stats');
  for (let round = 0; round < 2; round += 1) {
    await pool.close();
    await telegram.stop();
    telegram = await startLocalTelegram({ dataDir, port: 0, clock });
    pool = new Pool(telegram.url);
    t.same(await json(pool, 'GET', '/local/bots'), [bot]);
    t.match(await json<Stats>(pool, 'GET', '/local/stats'), { ...stats, calls: {} });
    t.same(await json(pool, 'GET', `/bot${token}/getUpdates`), before);
  }
  now += 900;
  t.equal(await send(ids[4999], '#1 x'), 429, 'a restart opens no second of its own');
  now += 50;
  t.equal(await send(ids[0], '#4 x'), 200);
  now += 950;
  t.equal(await send(ids[0], '#5 x'), 200);
  t.match(await json<Stats>(pool, 'GET', '/local/stats'), { accepted: 32, distinct: 31, duplicates: 1, outOfOrder: 1 });
  t.match(await json(pool, 'GET', `/local/messages?chat=${id}&user=${ids[0]}`), [
    { text: '#5 x' },
    { text: 'hi' },
    { text: '#4 x' },
    { text: '#5 x' },
  ]);
  await pool.close();
  await telegram.stop();
  t.ok(readdirSync(join(dataDir, 'telegram')).every((name) => !name.endsWith('.draft') && name !== 'lock'));
});

t.test('ports and directories: kept, taken, in use', async (t) => {
  const dataDir = t.testdir({});
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await t.rejects(startLocalTelegram({ dataDir, port }), { code: 'PH_LOCAL_TELEGRAM_PORT_TAKEN' });

  mkdirSync(join(dataDir, 'telegram'), { recursive: true });
  writeFileSync(join(dataDir, 'telegram', 'port'), `${port}\n`);
  const elsewhere = await startLocalTelegram({ dataDir });
  t.not(elsewhere.port, port, 'a kept port that is taken gives way to another');
  await t.rejects(startLocalTelegram({ dataDir }), { code: 'PH_LOCAL_TELEGRAM_LOCKED' });
  await elsewhere.stop();
  await elsewhere.stop();
  const again = await startLocalTelegram({ dataDir, firstBot: false });
  t.equal(again.port, elsewhere.port, 'the port is kept');
  await again.stop();
  taken.close();

  const dir2 = t.testdir({ world: {} });
  const without = await startLocalTelegram({ dataDir: join(dir2, 'world'), port: 0, firstBot: false });
  const bots = await fetch(`${without.url}/local/bots`);
  t.same(await bots.json(), []);
  await without.stop();
});

t.test('many people and many messages stay small', async (t) => {
  const people = IS_LONG ? 1_000_000 : 50_000;
  const { url, child, end } = await host(t, t.testdir());
  const pool = new Pool(url, { connections: 32 });
  const [bot] = await json<Bot[]>(pool, 'GET', '/local/bots');
  await json(pool, 'PUT', '/local/faults', { limits: 'off' });
  const { ids } = await json<{ ids: number[] }>(pool, 'POST', '/local/people', { count: people });
  t.equal(new Set(ids).size, people);
  const messages = IS_LONG ? people : 5000;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < messages) {
      const chat = ids[Math.floor((next * people) / messages)];
      next += 1;
      await json(pool, 'POST', `/bot${bot?.token}/sendMessage?chat_id=${chat}&text=%231+hello`);
    }
  };
  await Promise.all(Array.from({ length: 32 }, worker));
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const megabytes = Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) / 1024;
  t.comment(`${people} people, ${messages} messages: ${Math.round(megabytes)} MB of private memory`);
  t.ok(megabytes < 300, `${Math.round(megabytes)} MB`);
  t.equal((await json<Stats>(pool, 'GET', '/local/stats')).distinct, messages);
  await pool.close();
  await end('SIGTERM');
});
