import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** Who a process is, so that another can prove that it is dead: host, boot, pid namespace, pid and the pid's start. */
export interface ProcessIdentity {
  readonly host: string;
  readonly bootId: string;
  readonly pidNamespace: string;
  readonly pid: number;
  /** The kernel's start time of the pid (clock ticks since boot), or this process's start in ms where there is no /proc. */
  readonly started: string;
}

const read = (get: () => string): string => {
  try {
    return get().trim();
  } catch {
    return '';
  }
};

/** State letter and start ticks of a pid from /proc/PID/stat (proc(5), fields 3 and 22), or undefined when there is no such process. */
function stat(pid: number): { state: string; started: string } | undefined {
  const line = read(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return line === '' ? undefined : { state: fields[0] ?? '', started: fields[19] ?? '' };
}

/** This process's identity. Never throws. */
export function ownIdentity(): ProcessIdentity {
  return {
    host: hostname(),
    bootId: read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')) || hostname(),
    pidNamespace: read(() => readlinkSync('/proc/self/ns/pid')),
    pid: process.pid,
    started: stat(process.pid)?.started ?? String(Math.round(Date.now() - process.uptime() * 1000)),
  };
}

/** True when both identities are one process. Never throws. */
export function sameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.bootId === b.bootId && a.pidNamespace === b.pidNamespace && a.pid === b.pid && a.started === b.started;
}

/**
 * True when `other` is provably dead as seen from `self`: same boot and pid namespace, and its pid is gone, a zombie or of another start.
 * False means "not known", never "alive". Never throws.
 */
export function provablyDead(other: ProcessIdentity, self: ProcessIdentity): boolean {
  if (other.bootId !== self.bootId || other.pidNamespace !== self.pidNamespace) return false;
  if (other.pid === self.pid) return other.started !== self.started;
  const now = stat(other.pid);
  if (now !== undefined) return now.state === 'Z' || now.state === 'X' || now.started !== other.started;
  try {
    process.kill(other.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
