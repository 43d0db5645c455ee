import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Pool } from 'undici';

const FIXTURE = fileURLToPath(new URL('host.fixture.ts', import.meta.url));

/** A process that hosts a local Telegram. */
export interface Host {
  readonly url: string;
  readonly child: ChildProcess;
  end(signal: NodeJS.Signals): Promise<void>;
}

/** Starts one on a directory; it ends with the test at the latest. */
export async function host(t: Test, dataDir: string): Promise<Host> {
  const child = spawn(process.execPath, ['--import', 'tsx', FIXTURE, dataDir, '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    url: line.toString().trim(),
    child,
    async end(signal) {
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    },
  };
}

/** A request whose answer is JSON; rejects when it is not 200. */
export async function json<T>(
  pool: Pool,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<T> {
  const answer = await pool.request({ method, path, ...(body !== undefined && { body: JSON.stringify(body) }) });
  const value = (await answer.body.json()) as T;
  if (answer.statusCode !== 200) throw new Error(`${path}: ${JSON.stringify(value)}`);
  return value;
}
