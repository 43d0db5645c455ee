import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Ended, MAIN, type PosthornProcess, startProcess } from './posthorn-process.js';

const UNSHARE = ['unshare', '--pid', '--uts', '--fork', '--kill-child', '--mount-proc'] as const;

const within = (name: string, dir: string, command: string): [string, ...string[]] => [
  ...UNSHARE,
  'sh',
  '-c',
  `hostname '${name}' && mount --bind '${join(dir, 'boot-id')}' /proc/sys/kernel/random/boot_id && exec ${command}`,
];

const makeBootId = (dir: string): void => writeFileSync(join(dir, 'boot-id'), `${randomUUID()}\n`);

/** Whether this system lets a test give its processes a pid namespace and a boot id of their own; `dir` is free to be written to. */
export function hostsCanBeApart(dir: string): boolean {
  makeBootId(dir);
  const [command, ...args] = within('another', dir, 'true');
  return spawnSync(command, args).status === 0;
}

/**
 * What runs the program on a host of its own, as in a container: with its own pid namespace, boot id (kept in `dir`) and name. Arguments go behind it. The command stays
 * outside as the program's parent, which passes no signals on; killed, it takes the program with it.
 */
export function commandOnOtherHost(name: string, dir: string): [string, ...string[]] {
  makeBootId(dir);
  return [...within(name, dir, `'${process.execPath}' '${MAIN}' "$@"`), 'sh'];
}

/** A host as its processes see it: nobody on another one can look at their pids. */
export interface OtherHost {
  /** What os.hostname() says there. */
  readonly name: string;
  /** Starts the program there, as startProcess does; `end` reaches the program itself. */
  start(args: readonly string[]): PosthornProcess;
}

/** A host of its own for processes with this environment. Where the system does not allow that (`apart` false) they are processes of this host. */
export function otherHost(
  t: Test,
  apart: boolean,
  options: { readonly name: string; readonly dir: string; readonly env: Readonly<Record<string, string>> },
): OtherHost {
  const { name, dir, env } = options;
  if (!apart) return { name: hostname(), start: (args) => startProcess(t, { args, cwd: dir, env }) };
  const command = commandOnOtherHost(name, dir);
  return {
    name,
    start(args) {
      const outer = startProcess(t, { args, cwd: dir, env, command });
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

/** The children of a process. Throws where there is no such process, or no /proc. */
export const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
