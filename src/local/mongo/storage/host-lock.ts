import { randomUUID } from 'node:crypto';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { writeOver } from '../../write-over.js';
import { StoreStartError } from '../errors.js';

/** Who hosts a directory, as the lock file says. */
interface Holder {
  readonly pid: number;
  /** Clock ticks since boot at which the process began (proc(5), field 22); empty where there is no /proc. */
  readonly start: string;
  readonly bootId: string;
  readonly pidNamespace: string;
}

/** A held lock. */
export interface HostLock {
  release(): void;
}

const BEAT_MS = 2000;
const STALE_MS = 7000;
const LOOK_MS = 250;

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** Start and state of a process by /proc; undefined when there is none of that number, or no /proc. */
function processOf(pid: number): { start: string; state: string } | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // The name in brackets may hold anything: what follows the last bracket counts.
  const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return stat === '' ? undefined : { state: rest[0] ?? '', start: rest[19] ?? '' };
}

function self(): Holder {
  let pidNamespace = '';
  try {
    pidNamespace = readlinkSync('/proc/self/ns/pid');
  } catch {
    // Not Linux.
  }
  return {
    pid: process.pid,
    start: processOf(process.pid)?.start ?? '',
    bootId: read('/proc/sys/kernel/random/boot_id'),
    pidNamespace,
  };
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder>;
    if (typeof value.pid !== 'number') return undefined;
    return {
      pid: value.pid,
      start: value.start ?? '',
      bootId: value.bootId ?? '',
      pidNamespace: value.pidNamespace ?? '',
    };
  } catch {
    return undefined;
  }
}

/** When the holder last touched its file, ms since 1970; −Infinity when it is gone. */
function beatTime(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return Number.NEGATIVE_INFINITY;
  }
}

function isAlive(holder: Holder, me: Holder, path: string): boolean {
  if (holder.bootId !== me.bootId) return false;
  // A process of another container cannot be looked at: its beat counts.
  if (holder.pidNamespace !== me.pidNamespace) return Math.abs(Date.now() - beatTime(path)) < STALE_MS;
  if (me.start !== '') {
    const found = processOf(holder.pid);
    return found !== undefined && found.start === holder.start && found.state !== 'Z' && found.state !== 'X';
  }
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function tryTake(path: string, own: string): boolean {
  try {
    writeOver(own, JSON.stringify(self()));
    linkSync(own, path); // atomic, and never seen half written
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

/** Makes a dead holder's file our own, not yet in place; if it turns out to be another one by then, that one is put back. */
function takeStale(path: string, judged: string, own: string): void {
  try {
    renameSync(path, own);
  } catch {
    return;
  }
  if (read(own) === judged) return;
  try {
    linkSync(own, path);
  } catch {
    // Somebody has taken it meanwhile.
  }
  unlinkSync(own);
}

/** Takes the lock of a directory for this process: a file that names its holder, void as soon as that process is dead. A killed one is followed at once; one of
 * another container cannot be looked at, so its lock is void after 7 s without a beat, which is waited for. Rejects with PH_STORE_LOCKED naming the
 * process that holds it. */
export async function lockHost(directory: string): Promise<HostLock> {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'store.lock');
  const own = `${path}.${process.pid}.${randomUUID()}`;
  const me = self();
  const giveUpAt = performance.now() + STALE_MS + BEAT_MS;
  let firstBeat: number | undefined;
  for (;;) {
    const isThere = existsSync(path);
    const text = read(path);
    const holder = parseHolder(text);
    if (holder !== undefined && isAlive(holder, me, path)) {
      const foreign = holder.bootId === me.bootId && holder.pidNamespace !== me.pidNamespace;
      const beat = beatTime(path);
      firstBeat ??= beat;
      if (!foreign || beat !== firstBeat || performance.now() > giveUpAt) {
        throw new StoreStartError(
          'PH_STORE_LOCKED',
          `the store in ${directory} is hosted by process ${holder.pid} already`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      continue;
    }
    if (isThere) takeStale(path, text, own);
    if (tryTake(path, own)) break;
  }
  const beat = setInterval(() => {
    try {
      const now = new Date();
      utimesSync(path, now, now);
    } catch {
      // The directory may be gone; the pid still tells.
    }
  }, BEAT_MS);
  beat.unref();
  return {
    release() {
      clearInterval(beat);
      const holder = parseHolder(read(path));
      if (holder?.pid === me.pid && holder.start === me.start) unlinkSync(path);
    },
  };
}
