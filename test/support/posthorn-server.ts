import { join } from 'node:path';
import type { Test } from 'tap';
import { eventually } from './eventually.js';
import { storeEnv } from './given-server.js';
import { type LocalTelegramControl, startLocalTelegramProcess } from './local-telegram.js';
import { API_KEY, type BroadcastView, type PosthornApi, posthornApi } from './posthorn-api.js';
import { type PosthornProcess, startProcess } from './posthorn-process.js';
import type { SeededRandom } from './seeded-random.js';

/** A server with all roles; its store is the embedded one in `<dir>/data`, or a database of its own on the server given for tests. */
export interface PosthornServer {
  readonly process: PosthornProcess;
  /** Resolves at `posthorn ready`. */
  readonly api: Promise<PosthornApi>;
}

/** What every server gets: its data directory, its store, any free port, the key of the tests. */
export const serverEnv = (t: Test, dir: string): Readonly<Record<string, string>> => ({
  ...storeEnv(t, dir),
  DATA_DIR: join(dir, 'data'),
  PORT: '0',
  API_KEY,
  LOG_FORMAT: 'json',
});

/** Starts a server; `env` beside what every one of them gets. */
export function startServer(t: Test, dir: string, env: Readonly<Record<string, string>>): PosthornServer {
  const process = startProcess(t, {
    args: ['start'],
    cwd: dir,
    env: { ...serverEnv(t, dir), ...env },
  });
  const api = process.ready().then((url) => posthornApi(url));
  api.catch(() => undefined); // who kills a server before it is ready does not wait for it
  return { process, api };
}

/** A local Telegram with subscribers, and a server on it that may be started over and over. */
export async function serverWithSubscribers(t: Test, people: number, env: Readonly<Record<string, string>>) {
  const dir = t.testdir();
  const telegram = await startLocalTelegramProcess(t, dir);
  const start = () => startServer(t, dir, { ...telegram.env, ...env });
  const server = start();
  const api = await server.api;
  await api.importPeople(await telegram.people(people));
  return { dir, telegram, start, server, api };
}

/** What a series of kills needs. */
export interface KillSeries {
  readonly telegram: LocalTelegramControl;
  readonly random: SeededRandom;
  readonly kills: number;
  /** What the local Telegram will have counted as distinct at the end. */
  readonly messages: number;
  start(): PosthornServer;
}

/** A kill on purpose never waits longer than this for its moment, ms. */
const MOMENT_MS = 60_000;

/**
 * Kills the server at random moments of the sending of `messages`, starts it again each time and answers the last one, which runs. A moment is a
 * number of distinct messages; where that has passed before the server is up again, it is a time within the start, so that starts are killed too.
 */
export async function killWhileSending(first: PosthornServer, series: KillSeries): Promise<PosthornServer> {
  const { telegram, random, kills, messages, start } = series;
  const moments = Array.from({ length: kills }, () => random.whole(1, Math.floor(messages * 0.9))).sort(
    (a, b) => a - b,
  );
  let server = first;
  for (const moment of moments) {
    const passed = (await telegram.stats()).distinct >= moment;
    const within = random.whole(0, passed ? 2_500 : 30);
    if (!passed)
      await eventually(`message ${moment}`, MOMENT_MS, async () => (await telegram.stats()).distinct >= moment, 20);
    await new Promise((resolve) => {
      setTimeout(resolve, within);
    });
    await server.process.end('SIGKILL');
    server = start();
  }
  return server;
}

/** Waits until the broadcast is done and answers its figures. */
export async function broadcastDone(api: PosthornApi, id: string, withinMs: number): Promise<BroadcastView> {
  let view: BroadcastView | undefined;
  try {
    return await eventually(`broadcast ${id} done`, withinMs, async () => {
      view = await api.showBroadcast(id);
      return view.state === 'done' ? view : undefined;
    });
  } catch (error) {
    throw new Error(`${(error as Error).message}: ${JSON.stringify(view)}`);
  }
}
