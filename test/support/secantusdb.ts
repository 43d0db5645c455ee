import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Db, MongoClient } from 'mongodb';
import { eventually } from './eventually.js';

/** A running SecantusDB: an independent server of MongoDB's wire protocol, over WiredTiger. */
export interface SecantusDb {
  /** `mongodb://127.0.0.1:PORT` */
  readonly uri: string;
  readonly pid: number;
  /** Ends the process by SIGKILL and removes its files, those in a directory of the caller's apart. */
  stop(): Promise<void>;
}

const START_MS = 60_000;

/** Whether a server is a SecantusDB, by its own answer to buildInfo. */
export async function isSecantusDb(db: Db): Promise<boolean> {
  return 'secantusVersion' in (await db.command({ buildInfo: 1 }));
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Starts one of its own as a stand-alone server, on a free port with an empty directory, or in the one given. `program`: what `needed(t, 'secantusdb')` answers. Rejects
 * when it cannot be run, ends, or does not answer within a minute. */
export async function startSecantusDb(program: string, given?: string): Promise<SecantusDb> {
  const directory = given ?? (await mkdtemp(join(tmpdir(), 'secantusdb-')));
  const port = await freePort();
  const server = spawn(program, ['--standalone', '--port', String(port), '--storage-path', directory], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  server.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2000);
  });
  let isOver = false;
  const ended = new Promise<void>((resolve) => {
    const over = (): void => {
      isOver = true;
      resolve();
    };
    server.once('close', over);
    server.once('error', (error) => {
      said += String(error);
      over();
    });
  });
  const stop = async (): Promise<void> => {
    server.kill('SIGKILL');
    await ended;
    if (given === undefined) await rm(directory, { recursive: true, force: true });
  };
  const uri = `mongodb://127.0.0.1:${port}`;
  try {
    await eventually('SecantusDB answers', START_MS, async () => {
      if (isOver) return true;
      const client = new MongoClient(uri, { serverSelectionTimeoutMS: 500 });
      try {
        return await client.db('admin').command({ ping: 1 });
      } finally {
        await client.close();
      }
    });
    if (isOver) throw new Error(`SecantusDB ended at its start: ${said}`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { uri, pid: server.pid as number, stop };
}
