import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { MongoClient } from 'mongodb';
import { startEmbeddedStore } from '../src/local/mongo/server.js';
import { installed } from '../test/support/needs.js';
import { startSecantusDb } from '../test/support/secantusdb.js';
import { documentOf, idOf } from './store-documents.js';
import { median, startProgram } from './support.js';

const RESTARTS = 3;

/** A server in a process of its own. */
export interface Server {
  readonly uri: string;
  readonly pid: number;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
}

/** Starts a server on its files, again and again: each start finds what the one before has left. */
export type Start = () => Promise<Server>;

/** How long until a killed server answers again, ms: medians of three. */
export interface Ready {
  /** From the kill, the start of the process included, to the answer of the first query. */
  readonly answersMs: number;
  /** Of these, until the server has said where it serves. */
  readonly servesMs: number;
}

/** The embedded store on `<dir>/store`, as `posthorn start local` hosts it. */
export function startStore(dir: string): Start {
  return async () => {
    // With a token there is no local Telegram beside it; in `dir` there is no .env that could interfere.
    const env = { DATA_DIR: join(dir, 'store'), BOT_TOKEN: '1:bench', LOG_LEVEL: 'warn' };
    const program = startProgram(['start', 'local'], env, dir);
    return { uri: await program.line('local store '), pid: program.pid, kill: () => program.kill() };
  };
}

/** SecantusDB on `<dir>/peer`; undefined where it is not installed. */
export function startPeer(dir: string): Start | undefined {
  const program = installed('secantusdb');
  if (program === undefined) return undefined;
  return async () => {
    const directory = join(dir, 'peer');
    await mkdir(directory, { recursive: true });
    const { uri, pid, stop } = await startSecantusDb(program, directory);
    const last = (): void => {
      process.kill(pid, 'SIGKILL');
    };
    process.once('exit', last);
    return {
      uri,
      pid,
      async kill() {
        process.off('exit', last);
        await stop();
      },
    };
  };
}

async function firstAnswer(uri: string): Promise<void> {
  const client = new MongoClient(uri);
  const found = await client
    .db('bench')
    .collection('updates')
    .findOne({ _id: idOf(1) });
  await client.close();
  if (found?.updateId !== documentOf(1).updateId) throw new Error('a document is missing after the restart');
}

/** Kills the server and starts it again, three times; the last one is left running. Rejects when a document is gone. */
export async function restarted(start: Start, server: Server): Promise<{ ready: Ready; server: Server }> {
  const answers: number[] = [];
  const serves: number[] = [];
  let current = server;
  for (let i = 0; i < RESTARTS; i++) {
    const began = performance.now();
    await current.kill();
    current = await start();
    serves.push(performance.now() - began);
    await firstAnswer(current.uri);
    answers.push(performance.now() - began);
  }
  return { ready: { answersMs: median(answers), servesMs: median(serves) }, server: current };
}

/** Opens the files of the embedded store, that a killed process has left in `<dir>/store`, in this process: the median ms of three until the first query is answered. */
export async function openHere(dir: string): Promise<number> {
  const took: number[] = [];
  for (let i = 0; i < RESTARTS; i++) {
    const began = performance.now();
    const store = await startEmbeddedStore({ dataDir: join(dir, 'store') });
    await firstAnswer(store.uri);
    took.push(performance.now() - began);
    await store.stop();
  }
  return median(took);
}
