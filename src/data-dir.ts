import { randomBytes, randomInt } from 'node:crypto';
import { link, mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from './config.js';

/** A data directory that cannot be used; the program prints the message and ends with 78. */
export class DataDirError extends Error {
  readonly code = 'PH_DATA_DIR';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DataDirError';
  }
}

const errno = (error: unknown): string => String((error as NodeJS.ErrnoException).code ?? error);

/** Why a path cannot be used, in one sentence. */
function unusable(path: string, error: unknown): DataDirError {
  return new DataDirError(`the data directory cannot be used (DATA_DIR): ${path}: ${errno(error)}`, { cause: error });
}

/** A name beside `path` that no other process uses. */
const aside = (path: string): string => `${path}.${process.pid}.${randomBytes(4).toString('hex')}.new`;

/** Writes a file of mode 0600, on disk before it resolves. */
async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Makes the directory (mode 0700) if it is missing and proves that files can be written there. Throws DataDirError PH_DATA_DIR. */
export async function openDataDir(path: string): Promise<void> {
  const probe = aside(join(path, 'probe'));
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await writeDurably(probe, '');
    await unlink(probe);
  } catch (error) {
    throw unusable(path, error);
  }
}

/** A text that is kept in the data directory, and whether this call made it. */
export interface Kept {
  readonly value: string;
  readonly made: boolean;
}

/**
 * The text kept under `name`, made by `make` the first time. Of several processes that start at once all get the same one:
 * a finished file is put in place only where there is none. Throws DataDirError PH_DATA_DIR.
 */
export async function madeOnce(dir: string, name: string, make: () => string): Promise<Kept> {
  const path = join(dir, name);
  try {
    const there = await readText(path);
    if (there !== undefined) return { value: keptValue(path, there), made: false };
    const fresh = aside(path);
    const value = make();
    await writeDurably(fresh, `${value}\n`);
    try {
      await link(fresh, path);
      await syncDirectory(dir);
      return { value, made: true };
    } catch (error) {
      if (errno(error) !== 'EEXIST') throw error;
      return { value: keptValue(path, (await readText(path)) ?? ''), made: false };
    } finally {
      await unlink(fresh);
    }
  } catch (error) {
    throw error instanceof DataDirError ? error : unusable(path, error);
  }
}

function keptValue(path: string, text: string): string {
  const value = text.trim();
  if (value === '') throw new DataDirError(`${path} is empty; restore it, or delete it to have a new one made`);
  return value;
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** `length` characters of 0-9 A-Z a-z, each equally likely, from the system's secure source. Never throws. */
export function randomText(length: number): string {
  return Array.from({ length }, () => BASE62[randomInt(BASE62.length)]).join('');
}

/** The secrets that a process works with; `apiKeyMade` is true when the API key is not from the environment, so it is printed at start. */
export interface Secrets {
  readonly apiKey: string;
  readonly apiKeyMade: boolean;
  readonly secretKey: string;
}

const API_KEY_FILE = 'api-key';

/**
 * The secrets of the configuration; what is not set there is made once and kept in the data directory: API key `ph_` with 32 characters (190 bits),
 * SECRET_KEY of 43 (256 bits). Throws DataDirError PH_DATA_DIR.
 */
export async function loadSecrets(config: Pick<Config, 'apiKey' | 'secretKey' | 'dataDir'>): Promise<Secrets> {
  const { apiKey, secretKey, dataDir } = config;
  if (apiKey === undefined || secretKey === undefined) await openDataDir(dataDir);
  return {
    apiKey: apiKey ?? (await madeOnce(dataDir, API_KEY_FILE, () => `ph_${randomText(32)}`)).value,
    apiKeyMade: apiKey === undefined,
    secretKey: secretKey ?? (await madeOnce(dataDir, 'secret-key', () => randomText(43))).value,
  };
}

/** The API key that commands use against the running server, or undefined when none is set or was made yet. Throws DataDirError PH_DATA_DIR when the file cannot be read. */
export async function knownApiKey(config: Pick<Config, 'apiKey' | 'dataDir'>): Promise<string | undefined> {
  if (config.apiKey !== undefined) return config.apiKey;
  const path = join(config.dataDir, API_KEY_FILE);
  try {
    return (await readText(path))?.trim();
  } catch (error) {
    throw unusable(path, error);
  }
}

/** Where the stand-ins of this data directory serve: the process that hosts them, and the loopback port of each that it hosts. */
export interface StandIns {
  readonly pid: number;
  readonly mongoPort?: number;
  readonly telegramPort?: number;
}

const STAND_INS_FILE = 'stand-ins.json';

/** Writes where the stand-ins serve, whole or not at all; on a full disk what was said before may stay if it still holds. Throws DataDirError PH_DATA_DIR. */
export async function writeStandIns(dir: string, standIns: StandIns): Promise<void> {
  const path = join(dir, STAND_INS_FILE);
  const fresh = aside(path);
  try {
    await writeDurably(fresh, `${JSON.stringify(standIns)}\n`);
    await rename(fresh, path);
  } catch (error) {
    await unlink(fresh).catch(() => undefined);
    const before = await readStandIns(dir).catch(() => undefined);
    const holds = before?.mongoPort === standIns.mongoPort && before?.telegramPort === standIns.telegramPort;
    if (errno(error) !== 'ENOSPC' || !holds) throw unusable(path, error);
  }
}

const port = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536 ? value : undefined;

/**
 * Where the stand-ins were said to serve last, or undefined when nothing was written. It outlives a killed host, so a reader connects to find out;
 * `pid` tells whose it was. A file that cannot be understood counts as none. Throws DataDirError PH_DATA_DIR when it cannot be read.
 */
export async function readStandIns(dir: string): Promise<StandIns | undefined> {
  const path = join(dir, STAND_INS_FILE);
  let text: string | undefined;
  try {
    text = await readText(path);
  } catch (error) {
    throw unusable(path, error);
  }
  if (text === undefined) return undefined;
  try {
    const { pid, mongoPort, telegramPort } = JSON.parse(text) as Record<string, unknown>;
    if (typeof pid !== 'number') return undefined;
    const [mongo, telegram] = [port(mongoPort), port(telegramPort)];
    return {
      pid,
      ...(mongo === undefined ? {} : { mongoPort: mongo }),
      ...(telegram === undefined ? {} : { telegramPort: telegram }),
    };
  } catch {
    return undefined;
  }
}
