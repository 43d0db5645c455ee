import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
/** How long a process may take to print a line that is waited for, ms. */
const LINE_MS = 60_000;
const SAMPLE_MS = 100;
const KB = 1_024;

/** A running `posthorn` process. */
export interface Program {
  readonly pid: number;
  /** What follows `prefix` on the first line of standard output that begins with it. Rejects when the process ends or a minute passes before. */
  line(prefix: string): Promise<string>;
  /** Sends SIGTERM and resolves with the exit code. */
  stop(): Promise<number>;
  /** Ends it as a crash would, by SIGKILL. */
  kill(): Promise<void>;
}

/** Starts `node dist/main.js …words`, or another command, in `cwd` with these variables beside the caller's PATH; its log goes to our standard error, it ends with us. */
export function startProgram(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
  command: readonly [string, ...string[]] = [process.execPath, MAIN],
): Program {
  const [program, ...first] = command;
  const child = spawn(program, [...first, ...words], {
    cwd,
    // Nothing else of the caller's environment: a BOT_TOKEN that is set there must not be used here.
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const endWithUs = () => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const ended = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) => {
      process.off('exit', endWithUs);
      resolve(code ?? (signal === null ? 1 : 128));
    });
  });
  const output = linesOf(child, ended);
  return {
    pid: child.pid ?? 0,
    line: (prefix) => output(prefix, words.join(' ')),
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Works in a directory of its own, which goes afterwards whatever comes of that; before, the programs of the list are stopped, from its first to its last. */
export async function withPrograms<T>(work: (dir: string, programs: Program[]) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'posthorn-bench-'));
  const programs: Program[] = [];
  try {
    return await work(dir, programs);
  } finally {
    for (const program of programs) await program.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

function linesOf(child: ChildProcess, ended: Promise<number>) {
  const seen: string[] = [];
  const waiting = new Set<() => void>();
  let rest = '';
  let over = false;
  const wake = () => {
    for (const look of waiting) look();
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    seen.push(...lines);
    wake();
  });
  void ended.then(() => {
    over = true;
    wake();
  });
  return (prefix: string, name: string) =>
    new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => end(new Error(`${name}: no line '${prefix}…' in ${LINE_MS} ms`)), LINE_MS);
      function end(result: string | Error): void {
        clearTimeout(timer);
        waiting.delete(look);
        if (typeof result === 'string') resolve(result);
        else reject(result);
      }
      function look(): void {
        const found = seen.find((line) => line.startsWith(prefix));
        if (found !== undefined) end(found.slice(prefix.length));
        else if (over) end(new Error(`${name}: ended before its line '${prefix}…'`));
      }
      waiting.add(look);
      look();
    });
}

/** Seconds of CPU (user and system) that these processes have used so far, children that have ended left out. Throws where there is no /proc. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold spaces: fields are counted from behind it; utime and stime are the 14th and 15th of all.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / ticksPerSecond();
  }, 0);
}

let ticks = 0;
function ticksPerSecond(): number {
  ticks ||= Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout) || 100;
  return ticks;
}

/** A field of /proc/PID/status in bytes, summed over these processes. Throws where there is no /proc. */
export function memoryOf(field: 'RssAnon' | 'VmHWM', pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return sum + Number(found?.[1] ?? 0) * KB;
  }, 0);
}

/** The highest sum of RssAnon of these processes, sampled each 100 ms from the call on. */
export interface MemoryWatch {
  /** Bytes, since the start or the last `mark`. */
  readonly peak: number;
  /** Begins a new peak. */
  mark(): void;
  stop(): void;
}

/** Watches the private memory of these processes. Throws where there is no /proc. */
export function watchMemory(pids: readonly number[]): MemoryWatch {
  let peak = memoryOf('RssAnon', pids);
  const timer = setInterval(() => {
    try {
      peak = Math.max(peak, memoryOf('RssAnon', pids));
    } catch {
      clearInterval(timer); // a process has ended
    }
  }, SAMPLE_MS);
  return {
    get peak() {
      return peak;
    },
    mark() {
      peak = memoryOf('RssAnon', pids);
    },
    stop: () => clearInterval(timer),
  };
}

/** Columns of text with two spaces between them; the first is flush left, the others flush right. Never throws. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** The middle one. Throws on none. */
export function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new Error('a median of nothing');
  return middle;
}
