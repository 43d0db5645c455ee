import t from 'tap';
import { eventually } from '../support/eventually.js';
import { API_KEY, type BroadcastView } from '../support/posthorn-api.js';
import { startProcess } from '../support/posthorn-process.js';
import { broadcastDone, serverEnv, serverWithSubscribers } from '../support/posthorn-server.js';
import { seededRandom } from '../support/seeded-random.js';

const IS_LONG = process.env.POSTHORN_TEST_LONG !== undefined;
const ROUNDS = IS_LONG ? 20 : 3;
const PEOPLE = IS_LONG ? 2_000 : 600;
const CONCURRENCY = 16;
const UNLIMITED = { SEND_RATE: '0', SEND_CHAT_RATE: '0', SEND_CONCURRENCY: String(CONCURRENCY) };
const OVER_MS = 60_000;

t.setTimeout(IS_LONG ? 900_000 : 240_000);

/** What counts of a broadcast, summed. */
const counted = ({ sent, blocked, dead, unknown, cancelled, skipped }: BroadcastView): number =>
  sent + blocked + dead + unknown + cancelled + skipped;

t.test('paused, shown as events, resumed and cancelled over HTTP and the command line', async (t) => {
  const { telegram, server, api } = await serverWithSubscribers(t, PEOPLE, { SEND_RATE: '100' });
  await telegram.faults({ limits: 'off', latencyMs: 10 });
  const url = await server.process.ready();
  const id = await api.broadcast({ text: '#1 first' });
  const second = await api.broadcast({ text: '#2 second' });
  const events = await fetch(`${url}/api/broadcasts/${id}/events`, { headers: { authorization: `Bearer ${API_KEY}` } });
  const reading = events.text();
  await eventually('some are sent', OVER_MS, async () => (await api.showBroadcast(id)).sent > 50);
  t.match(await api.call('POST', `/api/broadcasts/${id}/pause`), {
    status: 200,
    body: { id, state: 'paused', etaMs: null },
  });
  t.match(await api.call('POST', `/api/broadcasts/${id}/pause`), { status: 409, body: { code: 'PH_BROADCAST_STATE' } });
  await eventually('the second runs meanwhile', OVER_MS, async () => (await api.showBroadcast(second)).sent > 20);
  const { sent } = await api.showBroadcast(id);
  t.ok(sent < PEOPLE);
  await eventually('the second goes on', OVER_MS, async () => (await api.showBroadcast(second)).sent > 60);
  t.equal((await api.showBroadcast(id)).sent, sent, 'nothing of a paused one is sent');
  // So that it is not done before the command below has started, on a busy machine.
  t.match(await api.call('POST', `/api/broadcasts/${second}/pause`), { status: 200 });

  const run = async (...args: string[]) => {
    const command = startProcess(t, {
      args: ['broadcasts', ...args],
      cwd: t.testdirName,
      env: { ...serverEnv(t, t.testdirName), ...telegram.env },
    });
    const { code } = await command.ended();
    return { code, out: command.stdout(), err: command.stderr() };
  };
  t.match(await run('resume', id), { code: 0, out: new RegExp(`^${id} running: sent `) });
  t.match(await run('resume', id, '--json'), {
    code: 1,
    out: '',
    err: /is running: only a paused one.*PH_BROADCAST_STATE/,
  });
  const cancelled = await run('cancel', second, '--json');
  t.equal(cancelled.code, 0, cancelled.err);
  t.match(JSON.parse(cancelled.out), { id: second, state: 'cancelled' });
  t.match(await broadcastDone(api, id, OVER_MS), { sent: PEOPLE, total: PEOPLE, remaining: 0 });
  const over = await eventually('the second is over', OVER_MS, async () => {
    const view = await api.showBroadcast(second);
    return view.finishedAt !== undefined && view;
  });
  t.match(over, { state: 'cancelled', total: PEOPLE, remaining: 0 });
  t.equal(counted(over), PEOPLE);
  t.ok(over.cancelled + over.skipped > 0);
  t.match(await api.call('POST', `/api/broadcasts/${id}/cancel`), {
    status: 409,
    body: { code: 'PH_BROADCAST_STATE' },
  });
  const seen = [...(await reading).matchAll(/^data: (.*)$/gm)].map(
    ([, json = '']) => JSON.parse(json) as BroadcastView,
  );
  t.same([...new Set(seen.map(({ state }) => state))].sort(), ['done', 'paused', 'running']);
  t.match(seen.at(-1), { state: 'done', sent: PEOPLE });
  const stats = await telegram.stats();
  t.match(stats, { duplicates: 0, distinct: PEOPLE + over.sent });
});

t.test('broadcast --wait ends with 1 when it is cancelled', async (t) => {
  const { telegram, api } = await serverWithSubscribers(t, 1_000, { SEND_RATE: '20' });
  await telegram.faults({ limits: 'off' });
  const dir = t.testdirName;
  const command = startProcess(t, {
    args: ['broadcast', '#1 wait', '--wait'],
    cwd: dir,
    env: { ...serverEnv(t, dir), ...telegram.env },
  });
  const id = await eventually('its id', OVER_MS, async () => /^\d+-\d+$/m.exec(command.stdout())?.[0]);
  await eventually('some are sent', OVER_MS, async () => (await api.showBroadcast(id)).sent > 5);
  await api.call('POST', `/api/broadcasts/${id}/cancel`);
  t.match(await command.ended(), { code: 1 });
  t.match(command.stdout(), /^cancelled: sent \d+, blocked 0, dead 0, unknown 0, cancelled \d+, skipped 0$/m);
});

t.test('kill -9 around moves: nothing is lost, little is repeated, the counts are exact', async (t) => {
  const random = seededRandom(t);
  const { telegram, start, server, api } = await serverWithSubscribers(t, PEOPLE, UNLIMITED);
  await telegram.faults({ limits: 'off', latencyMs: 60 });
  const whole = await api.broadcast({ text: '#1 whole' });
  const broken = await api.broadcast({ text: '#2 broken' });
  let last = { server, api };
  const again = async () => {
    await last.server.process.end('SIGKILL');
    const next = start();
    last = { server: next, api: await next.api };
  };
  const within = (ms: number) => new Promise((resolve) => setTimeout(resolve, random.whole(0, ms)));
  for (let round = 0; round < ROUNDS; round += 1) {
    await within(200);
    t.match(await last.api.call('POST', `/api/broadcasts/${whole}/pause`), { status: 200 });
    await within(60);
    await again();
    t.match(await last.api.showBroadcast(whole), { state: 'paused' }, 'a pause outlives the process');
    if (round === 0) t.match(await last.api.call('POST', `/api/broadcasts/${broken}/cancel`), { status: 200 });
    await within(60);
    await again();
    t.match(await last.api.call('POST', `/api/broadcasts/${whole}/resume`), { status: 200 });
  }
  t.match(await broadcastDone(last.api, whole, OVER_MS), { sent: PEOPLE, total: PEOPLE, remaining: 0 });
  const over = await eventually('the cancelled one is over', OVER_MS, async () => {
    const view = await last.api.showBroadcast(broken);
    return view.finishedAt !== undefined && view;
  });
  t.match(over, { state: 'cancelled', total: PEOPLE, remaining: 0 });
  t.equal(counted(over), PEOPLE);
  const stats = await telegram.stats();
  t.ok(stats.duplicates <= 2 * ROUNDS * CONCURRENCY, `${stats.duplicates} repeated`);
  const more = stats.distinct - PEOPLE - over.sent;
  t.ok(more >= 0 && more <= 2 * CONCURRENCY, `${more} of the cancelled had arrived when the process died`);
});
