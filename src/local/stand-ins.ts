import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.js';
import { readStandIns, writeStandIns } from '../data-dir.js';
import type { Log } from '../log.js';
import { type EmbeddedStore, startEmbeddedStore } from './mongo/server.js';
import type { LocalTelegram } from './telegram/server.js';

/** Where a process finds its store and its Telegram, and what it hosts of them. */
export interface StandIns {
  readonly mongoUri: string;
  readonly apiRoot: string;
  readonly token: string;
  readonly hosted: { readonly store: EmbeddedStore | undefined; readonly telegram: LocalTelegram | undefined };
  /** Stops what is hosted; waits until no other client is connected, at most `withinMs`. */
  stop(withinMs: number): Promise<void>;
}

/** A stand-in that another process should host was not found in time. */
export class StandInsMissing extends Error {
  readonly code = 'PH_STAND_INS_MISSING';
}

/** How long a process without the role `local` waits for the one that has it, ms. */
const FIND_MS = 10_000;
const LOOK_MS = 100;

/** True when nothing needs a stand-in. */
const allConfigured = (config: Config): boolean => config.mongoUri !== undefined && config.bot !== undefined;

/**
 * Hosts what is not configured (`host`), or finds where another process hosts it by DATA_DIR. Throws StandInsMissing after 10 s, and
 * the stand-ins' own start errors (locked directory, taken port, newer format).
 */
export async function standIns(config: Config, host: boolean, log: Log): Promise<StandIns> {
  const hosted = host ? await hostThem(config, log) : { store: undefined, telegram: undefined };
  if (hosted.store !== undefined || hosted.telegram !== undefined) {
    await writeStandIns(config.dataDir, {
      pid: process.pid,
      ...(hosted.store === undefined ? {} : { mongoPort: hosted.store.port }),
      ...(hosted.telegram === undefined ? {} : { telegramPort: hosted.telegram.port }),
    });
  }
  const found = host || allConfigured(config) ? undefined : await find(config);
  const telegramUrl =
    hosted.telegram?.url ?? (found?.telegramPort === undefined ? undefined : `http://127.0.0.1:${found.telegramPort}`);
  const mongoUri = config.mongoUri ?? hosted.store?.uri ?? `mongodb://127.0.0.1:${found?.mongoPort ?? 0}/posthorn`;
  const token = config.bot?.token ?? (await firstToken(telegramUrl ?? ''));
  return {
    mongoUri,
    apiRoot: config.bot === undefined && telegramUrl !== undefined ? telegramUrl : config.telegram.apiRoot,
    token,
    hosted,
    async stop(withinMs) {
      const { store, telegram } = hosted;
      const deadline = performance.now() + withinMs;
      while ((store?.clients() ?? 0) + (telegram?.clients() ?? 0) > 0 && performance.now() < deadline)
        await sleep(LOOK_MS);
      await telegram?.stop();
      await store?.stop();
    },
  };
}

async function hostThem(config: Config, log: Log) {
  const { port, maxMb } = config.localStore;
  const store =
    config.mongoUri === undefined
      ? await startEmbeddedStore({ dataDir: config.dataDir, maxMb, log, ...(port === undefined ? {} : { port }) })
      : undefined;
  return { store, telegram: config.bot === undefined ? await hostTelegram(config, log) : undefined };
}

async function hostTelegram(config: Config, log: Log): Promise<LocalTelegram> {
  const { localPort } = config.telegram;
  const { startLocalTelegram } = await import('./telegram/server.js');
  return await startLocalTelegram({
    dataDir: config.dataDir,
    log: (line) => log.warn({}, line),
    ...(localPort === undefined ? {} : { port: localPort }),
  });
}

async function find(config: Config) {
  const deadline = performance.now() + FIND_MS;
  for (;;) {
    const found = await readStandIns(config.dataDir);
    const store = config.mongoUri !== undefined || found?.mongoPort !== undefined;
    const telegram =
      config.bot !== undefined || (found?.telegramPort !== undefined && (await answers(found.telegramPort)));
    if (store && telegram) return found;
    if (performance.now() >= deadline) {
      throw new StandInsMissing(
        `no process hosts the local stand-ins in ${config.dataDir}; start one with: posthorn start local (or set MONGODB_URI and BOT_TOKEN)`,
      );
    }
    await sleep(LOOK_MS);
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    await firstToken(`http://127.0.0.1:${port}`);
    return true;
  } catch {
    return false;
  }
}

/** The token of the first bot of a local Telegram. */
async function firstToken(url: string): Promise<string> {
  const answer = await fetch(`${url}/local/bots`);
  const bots = (await answer.json()) as { token: string }[];
  const first = bots[0];
  if (first === undefined) throw new Error('PH_LOCAL_NO_BOT: the local Telegram has no bot');
  return first.token;
}
