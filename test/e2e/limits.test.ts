import t from 'tap';
import { broadcastDone, killWhileSending, serverWithSubscribers } from '../support/posthorn-server.js';
import { seededRandom } from '../support/seeded-random.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const DONE_MS = IS_LONG ? 300_000 : 120_000;

t.setTimeout(IS_LONG ? 900_000 : 240_000);

t.test('kill -9 under the default limits: never a 429', async (t) => {
  const people = IS_LONG ? 1_000 : 200;
  const kills = IS_LONG ? 10 : 3;
  const random = seededRandom(t);
  const { telegram, start, server, api } = await serverWithSubscribers(t, people, {});
  const id = await api.broadcast({ text: '#1 within the limits' });
  const last = await killWhileSending(server, { telegram, random, kills, messages: people, start });
  const { sent } = await broadcastDone(await last.api, id, DONE_MS);
  t.equal(sent, people);
  const stats = await telegram.stats();
  t.same({ tooMany: stats.tooMany, distinct: stats.distinct }, { tooMany: 0, distinct: people });
  // Not asserted: on a busy machine two sends may arrive closer together than they were made.
  t.comment(`${stats.maxInOneSecond} in the fullest second`);
});
