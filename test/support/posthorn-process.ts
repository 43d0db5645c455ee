import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

/** The repository's root. */
export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

/** What is run: the built program, or the one that POSTHORN_TEST_MAIN names. */
export const MAIN = process.env.POSTHORN_TEST_MAIN ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** How long a start and an end may take on a busy machine, ms. */
const READY_MS = 60_000;
const END_MS = 60_000;
const STDERR_LINES = 30;

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process of the program, or of npm that runs it. */
export interface PosthornProcess {
  readonly pid: number;
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
  /** The rest of the line on standard output that begins with `start`, as soon as there is one. Rejects when the process ends first, or after a minute. */
  line(start: string): Promise<string>;
  /** Resolves at `posthorn ready` with the address of HTTP, '' without the web role. Rejects as `line` does. */
  ready(): Promise<string>;
  /** The end of the process, however it comes. Rejects after `withinMs` of waiting, default a minute. */
  ended(withinMs?: number): Promise<Ended>;
  readonly running: boolean;
  /** Sends the signal to the process alone and resolves with its end. */
  end(signal: NodeJS.Signals): Promise<Ended>;
}

/** What a process is started with. */
export interface ProcessOptions {
  readonly args: readonly string[];
  /** Nothing else is inherited but PATH. */
  readonly env?: Readonly<Record<string, string>>;
  /** Should hold no .env. */
  readonly cwd: string;
  /** Default: Node with the program. */
  readonly command?: readonly [string, ...string[]];
  readonly input?: string;
}

/** Kills the groups it was told of when its input ends: however the test process dies, nothing that it started outlives it. */
const REAPER = `while read -r word pid; do
  if [ "$word" = began ]; then pids="$pids $pid "; else pids=$(echo "$pids" | sed "s/ $pid / /"); fi
done
for pid in $pids; do kill -9 -$pid; done 2>/dev/null`;
const reaper = spawn('/bin/sh', ['-c', REAPER], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
reaper.unref();
(reaper.stdin as Socket).unref();

/** npm has children of its own: each process leads a group. */
function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** Starts a process that never outlives the test; when the test fails, the last lines of its standard error are shown. */
export function startProcess(t: Test, options: ProcessOptions): PosthornProcess {
  const { args, env = {}, cwd, command = [process.execPath, MAIN], input } = options;
  const [program, ...first] = command;
  const child = spawn(program, [...first, ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  reaper.stdin.write(`began ${child.pid}\n`);
  child.stdin.on('error', () => undefined);
  child.stdin.end(input ?? '');
  let stdout = '';
  let stderr = '';
  let end: Ended | undefined;
  const watchers = new Set<() => void>();
  const changed = () => {
    for (const watch of [...watchers]) watch();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    changed();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.on('error', (error) => {
    stderr += `\n${String(error)}`;
  });
  // `close` comes after the last byte of both streams.
  child.on('close', (code, signal) => {
    end = { code, signal };
    reaper.stdin.write(`ended ${child.pid}\n`);
    changed();
  });
  const what = `${first.length === 0 ? program : 'posthorn'} ${args.join(' ')} (${child.pid})`;
  const tail = () => stderr.trimEnd().split('\n').slice(-STDERR_LINES).join('\n');
  t.teardown(async () => {
    if (end === undefined) {
      killGroup(child);
      await ended();
    }
    if (!t.passing()) t.comment(`last lines of ${what}, ${JSON.stringify(end)}:\n${tail()}`);
  });

  /** Resolves with what `look` finds; it is asked at each change. */
  function found<T>(look: () => T | undefined, withinMs: number, wanted: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = (finish: () => void) => {
        watchers.delete(watch);
        clearTimeout(timer);
        finish();
      };
      const watch = () => {
        const value = look();
        if (value !== undefined) done(() => resolve(value));
        else if (end !== undefined)
          done(() => reject(new Error(`${what} ended (${JSON.stringify(end)}) without ${wanted}:\n${tail()}`)));
      };
      const timer = setTimeout(
        () => done(() => reject(new Error(`${what}: no ${wanted} in time:\n${tail()}`))),
        withinMs,
      );
      watchers.add(watch);
      watch();
    });
  }

  function line(start: string): Promise<string> {
    const look = () =>
      stdout
        .split('\n')
        .slice(0, -1)
        .find((one) => one.startsWith(start))
        ?.slice(start.length)
        .trim();
    return found(look, READY_MS, `line '${start}'`);
  }
  const ended = (withinMs = END_MS) => found(() => end, withinMs, 'end');

  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    line,
    ready: () => line('posthorn ready'),
    ended,
    get running() {
      return end === undefined;
    },
    end(signal) {
      child.kill(signal);
      return ended();
    },
  };
}

/** A loopback port that was free a moment ago, from below the range that systems give to outgoing connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
