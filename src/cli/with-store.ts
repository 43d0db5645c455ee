import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../actors/clock.js';
import { problemOf } from '../api/problem.js';
import type { Services } from '../api/services.js';
import { type BotSetup, storeServices } from '../api/store-services.js';
import { loadSecrets, openDataDir, readStandIns } from '../data-dir.js';
import { startEmbeddedStore } from '../local/mongo/server.js';
import { acceptance } from '../store/acceptance.js';
import { pageLog } from '../store/page-log.js';
import { createIndexes, isConnectionError, openStore, type Store } from '../store/store.js';
import { getMe } from '../telegram/get-me.js';
import { CommandError, EXIT, withCode } from './exit.js';
import type { Session } from './session.js';

/** How long a command waits for a store that another process is just opening, ms. */
const LOCKED_WAIT_MS = 10_000;
const LOOK_MS = 200;
const CONNECT_MS = 500;
/** How long a command tries to reach a MongoDB, and a stand-in that accepts connections, ms. */
const REACH_MS = 5_000;
const REACH_STAND_IN_MS = 3_000;

/** The store of a command. `place`: at MONGODB_URI, served by another process, or opened by this command. */
export interface CommandStore {
  readonly store: Store;
  readonly services: Services;
  readonly place: 'mongodb' | 'served' | 'opened';
}

/** True when something listens on this loopback port. Never rejects. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: CONNECT_MS });
    const end = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false));
  });
}

interface Opened {
  readonly store: Store;
  readonly place: CommandStore['place'];
  close(): Promise<void>;
}

/** The store that a stand-in of this data directory serves, or undefined when none does. */
async function served({ config, log }: Session): Promise<Opened | undefined> {
  const port = (await readStandIns(config.dataDir))?.mongoPort;
  if (port === undefined || !(await listens(port))) return undefined;
  try {
    const store = await openStore(`mongodb://127.0.0.1:${port}/posthorn`, log, REACH_STAND_IN_MS);
    return { store, place: 'served', close: () => store.close() };
  } catch (error) {
    // Another program has taken the port since: the store is ours to open.
    log.debug({ err: error, port }, 'no store at the kept port');
    return undefined;
  }
}

/** Opens the embedded store in this process; undefined while another process has it. */
async function opened({ config, log }: Session): Promise<Opened | undefined> {
  const { maxMb, port } = config.localStore;
  const options = { dataDir: config.dataDir, maxMb, log, ...(port === undefined ? {} : { port }) };
  const embedded = await startEmbeddedStore(options).catch((error: unknown) => {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
    if (code === 'PH_STORE_LOCKED') return undefined;
    if (typeof code !== 'string' || !code.startsWith('PH_STORE_')) throw error;
    const message = withCode((error as Error).message, error);
    throw new CommandError(code === 'PH_STORE_FORMAT' ? EXIT.config : EXIT.unavailable, message);
  });
  if (embedded === undefined) return undefined;
  let store: Store | undefined;
  const close = async (): Promise<void> => {
    await store?.close();
    await embedded.stop();
  };
  try {
    store = await openStore(embedded.uri, log);
    await createIndexes(store);
    return { store, place: 'opened', close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What may be said of an address: no user and no password. */
const shownUri = (uri: string): string => uri.replace(/\/\/[^/]*@/, '//').replace(/\?.*$/, '');

async function reached(session: Session): Promise<Opened> {
  const { config, log } = session;
  if (config.mongoUri !== undefined) {
    const uri = config.mongoUri;
    const store = await openStore(uri, log, REACH_MS).catch((error: unknown) => {
      const away = problemOf(error)?.status === 503 || isConnectionError(error);
      const why = away ? 'cannot be reached' : `refused: ${(error as Error).message}`;
      throw new CommandError(away ? EXIT.unavailable : EXIT.config, `the store at ${shownUri(uri)} ${why}`);
    });
    return { store, place: 'mongodb', close: () => store.close() };
  }
  await openDataDir(config.dataDir);
  const deadline = systemClock.now() + LOCKED_WAIT_MS;
  for (;;) {
    const found = (await served(session)) ?? (await opened(session));
    if (found !== undefined) return found;
    if (systemClock.now() >= deadline) {
      const what = `the embedded store in ${config.dataDir} is held by another process that does not serve it`;
      throw new CommandError(EXIT.unavailable, what);
    }
    await sleep(LOOK_MS);
  }
}

/** What the bots depend on, as a server with the same environment has it. */
async function botSetup({ config }: Session): Promise<BotSetup> {
  const { rate, chatRate, groupRate } = config.send;
  const local = config.bot === undefined;
  const telegram = async () => {
    if (!local) return config.telegram.apiRoot;
    const port = (await readStandIns(config.dataDir))?.telegramPort;
    return port === undefined || !(await listens(port)) ? undefined : `http://127.0.0.1:${port}`;
  };
  return {
    first: config.bot?.id,
    local,
    rates: { rate, chatRate, groupRate },
    secretKey: async () => (await loadSecrets(config)).secretKey,
    async getMe(token) {
      const apiRoot = await telegram();
      if (apiRoot !== undefined) return getMe(apiRoot, token);
      return { kind: 'failed', reason: 'no BOT_TOKEN is set, and no local Telegram runs' };
    },
  };
}

/**
 * Opens the store for the time of `work`: the one at MONGODB_URI, else the embedded one, through the process that serves it or in this one.
 * Throws CommandError (69 unreachable, 78 refused), DataDirError, and what `work` throws.
 */
export async function withStore<T>(session: Session, work: (store: CommandStore) => Promise<T>): Promise<T> {
  const { store, place, close } = await reached(session);
  try {
    const pages = pageLog(store, systemClock, session.log);
    const services = storeServices(
      store,
      acceptance(store, pages, systemClock),
      () => new Date(),
      await botSetup(session),
    );
    return await work({ store, services, place });
  } finally {
    await close();
  }
}
