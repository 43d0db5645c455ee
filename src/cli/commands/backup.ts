import { cp, mkdir, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { openSnapshot } from '../../local/mongo/storage/engine.js';
import { CommandError, EXIT } from '../exit.js';
import { say, sayJson } from '../io.js';
import type { Session } from '../session.js';

/** What a copy of the data directory needs beside the store: the secrets that it was sealed with (mode 0600 stays), and the local Telegram's world with its bot. */
const KEPT = ['api-key', 'secret-key', 'telegram'] as const;
/** Of the world, what belongs to the process that holds it. */
const OF_ITS_HOST = /(?:\/lock|\.lock|\.draft|\.new)$/;

async function isEmpty(directory: string): Promise<boolean> {
  try {
    return (await readdir(directory)).length === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw new CommandError(EXIT.usage, `${directory} cannot be read as a directory: ${(error as Error).message}`);
  }
}

/**
 * `posthorn backup DIR`: copies the embedded store as it is at one moment, also while a process serves it, with the secrets and the local Telegram's world, so that
 * `DATA_DIR=DIR posthorn start` works. Resolves with the exit code; throws CommandError (64) when DIR is not empty or the store is at MONGODB_URI, (69) when there is no store.
 */
export async function backup({ config, io }: Session, directory: string, json: boolean): Promise<number> {
  if (config.mongoUri !== undefined)
    throw new CommandError(
      EXIT.usage,
      'the store is at MONGODB_URI: copy it by mongodump; this command copies the embedded store',
    );
  const target = resolve(directory);
  if (!(await isEmpty(target)))
    throw new CommandError(EXIT.usage, `${target} is not empty: name a directory to be made, or an empty one`);
  const source = join(config.dataDir, 'store');
  if (await isEmpty(source))
    throw new CommandError(EXIT.unavailable, `there is no embedded store in ${config.dataDir}`);
  await mkdir(target, { recursive: true, mode: 0o700 });
  for (const name of KEPT) {
    await cp(join(config.dataDir, name), join(target, name), {
      recursive: true,
      preserveTimestamps: true,
      filter: (path) => !OF_ITS_HOST.test(path),
    }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
  const snapshot = openSnapshot(source);
  try {
    await snapshot.copyTo(join(target, 'store'));
  } finally {
    await snapshot.close();
  }
  if (json) sayJson(io, { directory: target });
  else say(io, `copied to ${target}; to start on it: DATA_DIR=${target} posthorn start`);
  return EXIT.done;
}
