import { CommandError, EXIT } from './cli/exit.js';
import type { Config } from './config.js';
import { ListenError } from './http/server.js';
import type { Log } from './log.js';
import { SecretKeyWrong } from './store/bots.js';
import { missingIndexes } from './store/index-check.js';
import { createIndexes, isConnectionError, openStore, type Store } from './store/store.js';
import { TokenRefused } from './system.js';
import { type RoomWait, untilRoom } from './until-room.js';

// Loaded, with the system, only by a process that plays another role than `local`: one that hosts the stand-ins alone is ready sooner and smaller.

/** How long the first connection to the store may take, ms. */
const STORE_MS = 10_000;

/** Connects to the store and sees to its indexes: outside of production they are made, as soon as the store has room for them; in production an operator makes
 * them. Throws CommandError when the store cannot be reached (69), refuses or lacks indexes (78), and as untilRoom does. */
export async function reachStore(uri: string, config: Config, log: Log, room: RoomWait): Promise<Store> {
  const store = await reach(uri, log);
  try {
    if (!config.production || config.mongoUri === undefined) await untilRoom(() => createIndexes(store), room);
    else await checkIndexes(store);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function checkIndexes(store: Store): Promise<void> {
  const missing = await missingIndexes(store);
  if (missing.length > 0)
    throw new CommandError(EXIT.config, `the store lacks indexes (${missing.join(', ')}); run: posthorn migrate`);
}

async function reach(uri: string, log: Log): Promise<Store> {
  try {
    return await openStore(uri, log, STORE_MS);
  } catch (error) {
    const where = uri.replace(/\/\/[^/]*@/, '//').replace(/\?.*$/, '');
    if (isConnectionError(error))
      throw new CommandError(EXIT.unavailable, `the store at ${where} cannot be reached (MONGODB_URI)`);
    throw new CommandError(EXIT.config, `the store at ${where} refuses (MONGODB_URI): ${(error as Error).message}`);
  }
}

/** How a start ends that failed in what is loaded here: the exit code and one line; undefined for any other error. Never throws. */
export function servingFailure(cause: Error): { readonly exitCode: number; readonly message: string } | undefined {
  if (cause instanceof TokenRefused || cause instanceof SecretKeyWrong)
    return { exitCode: EXIT.config, message: cause.message };
  if (cause instanceof ListenError) return { exitCode: EXIT.failed, message: cause.message };
  if (isConnectionError(cause)) return { exitCode: EXIT.unavailable, message: 'the store cannot be reached' };
  return undefined;
}
