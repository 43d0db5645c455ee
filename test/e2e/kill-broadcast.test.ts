import t from 'tap';
import { broadcastDone, killWhileSending, serverWithSubscribers } from '../support/posthorn-server.js';
import { seededRandom } from '../support/seeded-random.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const KILLS = IS_LONG ? 50 : 5;
const PEOPLE = IS_LONG ? 10_000 : 2_000;
const PEOPLE_ONCE = IS_LONG ? 10_000 : 1_000;
const CONCURRENCY = 16;
const DONE_MS = IS_LONG ? 600_000 : 120_000;
const UNLIMITED = { SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: String(CONCURRENCY) };

t.setTimeout(IS_LONG ? 1_800_000 : 240_000);

t.test('kill -9 in a broadcast: everyone gets each text, in order, little is repeated', async (t) => {
  const random = seededRandom(t);
  const { telegram, start, server, api } = await serverWithSubscribers(t, PEOPLE, UNLIMITED);
  await telegram.faults({ limits: 'off', latencyMs: 20 });
  const ids = [await api.broadcast({ text: '#1 first' }), await api.broadcast({ text: '#2 second' })];
  const last = await killWhileSending(server, { telegram, random, kills: KILLS, messages: 2 * PEOPLE, start });
  const views = [];
  for (const id of ids) views.push(await broadcastDone(await last.api, id, DONE_MS));
  for (const { sent, total, blocked, dead, unknown, remaining } of views) {
    t.same(
      { sent, total, blocked, dead, unknown, remaining },
      {
        sent: PEOPLE,
        total: PEOPLE,
        blocked: 0,
        dead: 0,
        unknown: 0,
        remaining: 0,
      },
    );
  }
  const stats = await telegram.stats();
  t.equal(stats.distinct, 2 * PEOPLE, 'every subscriber got each text');
  t.equal(stats.outOfOrder, 0, 'the first text came first');
  t.ok(stats.duplicates <= KILLS * CONCURRENCY, `${stats.duplicates} repeated by ${KILLS} kills`);
});

t.test('kill -9 in an at-most-once broadcast: nobody gets it twice, the doubtful are unknown', async (t) => {
  const random = seededRandom(t);
  const { telegram, start, server, api } = await serverWithSubscribers(t, PEOPLE_ONCE, UNLIMITED);
  await telegram.faults({ limits: 'off', latencyMs: 20 });
  const id = await api.broadcast({ text: '#1 once', class: 'at-most-once' });
  const messages = PEOPLE_ONCE - KILLS * CONCURRENCY;
  const last = await killWhileSending(server, { telegram, random, kills: KILLS, messages, start });
  const { sent, unknown, total, blocked, dead } = await broadcastDone(await last.api, id, DONE_MS);
  const stats = await telegram.stats();
  t.equal(stats.duplicates, 0, 'nobody got it twice');
  t.same({ all: sent + unknown, total, blocked, dead }, { all: PEOPLE_ONCE, total: PEOPLE_ONCE, blocked: 0, dead: 0 });
  t.ok(unknown <= KILLS * CONCURRENCY, `${unknown} unknown by ${KILLS} kills`);
  t.ok(
    stats.distinct >= sent && stats.distinct <= PEOPLE_ONCE,
    `${sent} known as sent are among ${stats.distinct} accepted`,
  );
});
