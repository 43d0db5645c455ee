import { cp, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { openSnapshot } from '../../local/mongo/storage/engine.js';
import { CommandError, EXIT } from '../exit.js';
import { say, sayJson } from '../io.js';
import type { Session } from '../session.js';

/** What a copy of the data directory needs beside the store: the secrets that it was sealed with (mode 0600 stays), and the local Telegram's world with its bot. */
const KEPT = ['api-key', 'secret-key', 'telegram'] as const;
/** Of the world, what belongs to the process that holds it. */
const OF_ITS_HOST = /(?:\/lock|\.lock|\.draft|\.new)$/;

/** Within the copy's directory, where a copy lies until it is whole and on the disk: an interrupted one can be taken for nothing else, and the next one replaces it. */
const PARTIAL = '.partial';

async function isEmpty(directory: string): Promise<boolean> {
  try {
    return (await readdir(directory)).every((name) => name === PARTIAL);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw new CommandError(EXIT.usage, `${directory} cannot be read as a directory: ${(error as Error).message}`);
  }
}

/** Puts a directory and all in it on the disk. */
async function flush(path: string, isDirectory: boolean): Promise<void> {
  const entries = isDirectory ? await readdir(path, { withFileTypes: true }) : [];
  for (const entry of entries) await flush(join(path, entry.name), entry.isDirectory());
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function copyStore(source: string, target: string): Promise<void> {
  const snapshot = openSnapshot(source);
  try {
    await snapshot.copyTo(target);
  } finally {
    await snapshot.close();
  }
}

async function copyAll(dataDir: string, target: string): Promise<void> {
  const partial = join(target, PARTIAL);
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true, mode: 0o700 });
  try {
    for (const name of KEPT) {
      await cp(join(dataDir, name), join(partial, name), {
        recursive: true,
        preserveTimestamps: true,
        filter: (path) => !OF_ITS_HOST.test(path),
      }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    }
    await copyStore(join(dataDir, 'store'), join(partial, 'store'));
    await flush(partial, true);
    const copied = await readdir(partial);
    // The store comes last: without it the directory is no copy.
    for (const name of copied.sort((a, b) => Number(a === 'store') - Number(b === 'store')))
      await rename(join(partial, name), join(target, name));
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  await flush(target, true);
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
  if (await isEmpty(join(config.dataDir, 'store')))
    throw new CommandError(EXIT.unavailable, `there is no embedded store in ${config.dataDir}`);
  await copyAll(config.dataDir, target);
  if (json) sayJson(io, { directory: target });
  else say(io, `copied to ${target}; to start on it: DATA_DIR=${target} posthorn start`);
  return EXIT.done;
}
