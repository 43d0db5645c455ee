import t from 'tap';
import { request } from 'undici';
import { eventually } from '../support/eventually.js';
import { startProcess } from '../support/posthorn-process.js';
import { broadcastDone, serverEnv, serverWithSubscribers } from '../support/posthorn-server.js';

const OVER_MS = 90_000;

t.setTimeout(240_000);

interface Health {
  readonly status: string;
  readonly checks: { readonly queues: { readonly status: string; readonly detail?: string } };
}

const health = async (url: string): Promise<Health> =>
  (await (await request(`${url}/health/ready`)).body.json()) as Health;

/** Whether two times are the same but for what the monotonic and the wall clock differ. */
const near = (one: string, other: string): boolean => Math.abs(Date.parse(one) - Date.parse(other)) < 2_000;

t.test('429 now and then: only those chats wait, no attempt is spent, everybody gets it', async (t) => {
  const { telegram, api } = await serverWithSubscribers(t, 150, {});
  await telegram.faults({ tooMany: { share: 0.1, retryAfter: 1 } });
  const id = await api.broadcast({ text: '#1 through' });
  await eventually('some met a 429', OVER_MS, async () => (await telegram.stats()).tooMany > 0);
  await telegram.faults({ tooMany: { share: 0, retryAfter: 1 } });
  t.match(await broadcastDone(api, id, OVER_MS), { sent: 150, dead: 0, unknown: 0 });
  t.match(await telegram.stats(), { distinct: 150, duplicates: 0 });
});

t.test('an hour’s wait of the whole bot: three calls, shown in health, and kept over kill -9', async (t) => {
  const { dir, telegram, start, server, api } = await serverWithSubscribers(t, 100, { SEND_CONCURRENCY: '4' });
  await telegram.faults({ tooMany: { share: 1, retryAfter: 3_600 } });
  const id = await api.broadcast({ text: '#1 later' });
  const url = await server.process.ready();
  const shown = await eventually('health', OVER_MS, async () => {
    const { status, checks } = await health(url);
    return checks.queues.detail?.includes('the bot wait') === true && { whole: status, ...checks.queues };
  });
  const until = /until (\S+) \(429\)/.exec(shown.detail ?? '')?.[1] ?? '';
  t.match(shown, { whole: 'degraded', status: 'degraded' });
  t.ok(Math.abs(Date.parse(until) - Date.now() - 3_600_000) < 60_000, until);
  const web = startProcess(t, { args: ['start', 'web'], cwd: dir, env: { ...serverEnv(t, dir), ...telegram.env } });
  const apart = await web.ready();
  const elsewhere = await eventually('health of a process that does not send', OVER_MS, async () => {
    const { detail } = (await health(apart)).checks.queues;
    return detail;
  });
  const told = /wait until (\S+) \(429\)/.exec(elsewhere)?.[1] ?? '';
  t.ok(near(told, until), `${elsewhere}, of the sender: ${shown.detail}`);
  t.match(elsewhere, `bot ${telegram.botId} `);
  await web.end('SIGTERM');
  const { tooMany } = await telegram.stats();
  t.ok(tooMany >= 3 && tooMany <= 3 + 4, `${tooMany} calls`);
  await server.process.end('SIGKILL');
  await telegram.faults({ tooMany: { share: 0, retryAfter: 1 } });
  const next = start();
  const nextApi = await next.api;
  const nextUrl = await next.process.ready();
  const again = await eventually('health after the restart', OVER_MS, async () => {
    const { detail } = (await health(nextUrl)).checks.queues;
    return detail;
  });
  const stillUntil = /the bot wait until (\S+) \(429\)/.exec(again)?.[1] ?? '';
  t.ok(near(stillUntil, until), `${again}, before: ${shown.detail}`);
  // Ready means that its quiet time is over: without the wait it would have sent long before.
  const uptime = async () =>
    ((await (await request(`${nextUrl}/health`)).body.json()) as { uptimeMs: number }).uptimeMs;
  const readyAt = await uptime();
  await eventually('two more seconds', OVER_MS, async () => (await uptime()) > readyAt + 2_000);
  t.match(await telegram.stats(), { accepted: 0, tooMany });
  t.match(await nextApi.showBroadcast(id), { sent: 0, dead: 0, remaining: 100 });
});
