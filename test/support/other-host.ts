import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Ended, MAIN, type PosthornProcess, startProcess } from './posthorn-process.js';

const UNSHARE = ['unshare', '--pid', '--uts', '--fork', '--mount-proc'] as const;

/** Whether this system lets a test give its processes a pid namespace and a boot id of their own. */
export const hostsCanBeApart = (dir: string): boolean => {
  writeFileSync(join(dir, 'boot-id'), `${randomUUID()}\n`);
  const script = within('another', join(dir, 'boot-id'), 'true');
  return spawnSync(UNSHARE[0], [...UNSHARE.slice(1), 'sh', '-c', script]).status === 0;
};

const within = (name: string, bootId: string, command: string) =>
  `hostname '${name}' && mount --bind '${bootId}' /proc/sys/kernel/random/boot_id && exec ${command}`;

/** A host as its processes see it: nobody on another one can look at their pids. */
export interface OtherHost {
  /** What os.hostname() says there. */
  readonly name: string;
  /** Starts the program there, as startProcess does; `end` reaches the program itself. */
  start(args: readonly string[]): PosthornProcess;
}

/**
 * A host of its own for processes with this environment: in a container each has a pid namespace, and the host's boot id. Where the system does not allow that
 * (`apart` false) they are processes of this host.
 */
export function otherHost(
  t: Test,
  apart: boolean,
  options: { readonly name: string; readonly dir: string; readonly env: Readonly<Record<string, string>> },
): OtherHost {
  const { name, dir, env } = options;
  const bootId = join(dir, 'boot-id');
  writeFileSync(bootId, `${randomUUID()}\n`);
  return {
    name: apart ? name : hostname(),
    start(args) {
      if (!apart) return startProcess(t, { args, cwd: dir, env });
      const command = [
        ...UNSHARE,
        'sh',
        '-c',
        within(name, bootId, `'${process.execPath}' '${MAIN}' "$@"`),
        'sh',
      ] as const;
      const outer = startProcess(t, { args, cwd: dir, env, command: command as unknown as [string, ...string[]] });
      return {
        ...outer,
        get running() {
          return outer.running;
        },
        end(signal): Promise<Ended> {
          for (const pid of childrenOf(outer.pid)) process.kill(pid, signal);
          return outer.ended();
        },
      };
    },
  };
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
