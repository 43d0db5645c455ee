import { mkdirSync, statfsSync } from 'node:fs';
import { type Database, open, type RootDatabase } from 'lmdb';
import { outOfSpace, StoreError } from '../errors.js';

/** One table of the file: keys and values are bytes, keys in byte order. */
export type Table = Database<Buffer, Buffer>;

/** A write under way: called inside a transaction again and again until it returns true; between two calls other writes may commit.
 * A StoreError that it throws before it changed anything in that call fails it alone; any other error undoes the whole batch. */
export type WriteStep = (outOfTime: () => boolean) => boolean;

/** The file of the store: three tables, one queue of writes. */
export interface Engine {
  readonly docs: Table;
  readonly index: Table;
  readonly meta: Table;
  /** The bytes of a key, copied into what `allocate` gives (default: Buffer's own pool); undefined when there is none. */
  read(table: Table, key: Buffer, allocate?: (bytes: number) => Buffer): Buffer | undefined;
  /** Queues a write and settles when it is on the disk. `grows`: refused with OutOfDiskSpace (14031) while there is no room. */
  write(step: WriteStep, grows: boolean): Promise<void>;
  /** Bytes in use by documents and indexes, free pages not counted. */
  usedBytes(): number;
  backup(directory: string): Promise<void>;
  close(): Promise<void>;
}

/** What the engine is made of. */
export interface EngineOptions {
  readonly directory: string;
  readonly maxBytes: number;
  /** Called inside of the transaction, after the steps: writes what they left to be written. */
  beforeCommit(): void;
  /** Called when a batch was undone: what is in memory must be read again. */
  onUndone(error: unknown): void;
  /** Called after each batch that is on the disk. */
  onCommitted(): void;
}

interface Queued {
  readonly step: WriteStep;
  readonly grows: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

const BATCH_MS = 6; // how long a batch may hold the event loop
const SPACE_CHECK_MS = 100;
const CAUSE_MS = 1000;
const RESERVE_BYTES = 32 * 1024 * 1024;
const PAGE_FACTOR = 1.5; // the file may hold free pages beside those in use

/** What mdb_stat tells of a table. */
interface TableStats {
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

function bytesIn(table: Table): number {
  const stats = table.getStats() as TableStats;
  return (stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages) * stats.pageSize;
}

/** What lies behind lmdb's `Commit failed`: a promise that must be held, or its rejection ends the process. */
async function causeOf(error: unknown): Promise<Error> {
  const { commitError } = error as { commitError?: Promise<unknown> };
  const cause = await Promise.race([
    (commitError ?? Promise.resolve()).catch((one: unknown) => one),
    new Promise((resolve) => setTimeout(resolve, CAUSE_MS).unref()),
  ]);
  if (cause instanceof Error) return cause;
  return error instanceof Error ? error : new Error(String(error));
}

/** Opens the file in `directory` (made when missing). Each batch of writes is one transaction of lmdb, flushed before any of them settles; what comes
 * meanwhile is the next batch. Throws what lmdb throws when the directory cannot be opened. */
export function openEngine(options: EngineOptions): Engine {
  mkdirSync(options.directory, { recursive: true });
  const root: RootDatabase<Buffer, Buffer> = open({
    path: options.directory,
    noSubdir: false, // else a dot in the directory's name would make it a file's
    encoding: 'binary',
    keyEncoding: 'binary',
    maxDbs: 8,
    mapSize: Math.ceil(options.maxBytes * PAGE_FACTOR) + 512 * 1024 * 1024,
    // A commit settles when it is flushed, and becomes visible no sooner: no reader sees what a power cut could take back.
    overlappingSync: false,
    // With it lmdb makes a promise of its own for each turn that nobody can hold: a commit that fails would end the process.
    eventTurnBatching: false,
  });
  const table = (name: string): Table => root.openDB(name, { encoding: 'binary', keyEncoding: 'binary' });
  const docs = table('docs');
  const index = table('index');
  const meta = table('meta');

  let queue: Queued[] = [];
  let draining: Promise<void> | undefined;
  let closed = false;
  let checkedAt = Number.NEGATIVE_INFINITY;
  let noRoom: string | undefined;
  let broken: string | undefined;

  function usedBytes(): number {
    return bytesIn(docs) + bytesIn(index) + bytesIn(meta);
  }

  function freeDisk(): { free: number; reserve: number } {
    try {
      const disk = statfsSync(options.directory);
      return { free: disk.bavail * disk.bsize, reserve: Math.min(RESERVE_BYTES, (disk.blocks * disk.bsize) / 8) };
    } catch {
      return { free: Number.POSITIVE_INFINITY, reserve: 0 }; // not told: the commit itself will say
    }
  }

  function checkRoom(): void {
    const now = performance.now();
    if (now - checkedAt < SPACE_CHECK_MS) return;
    checkedAt = now;
    const { free, reserve } = freeDisk();
    if (free < reserve) noRoom = `the disk of the store has ${Math.floor(free / 1024)} KiB left: writes are refused`;
    else if (usedBytes() > options.maxBytes) {
      noRoom = `the store has reached its limit of ${Math.floor(options.maxBytes / 1048576)} MB: writes are refused`;
    } else noRoom = undefined;
  }

  function runBatch(batch: readonly Queued[]): { done: [Queued, StoreError | undefined][]; rest: Queued[] } {
    const end = performance.now() + BATCH_MS;
    const outOfTime = (): boolean => performance.now() >= end;
    const done: [Queued, StoreError | undefined][] = [];
    const rest: Queued[] = [];
    for (const queued of batch) {
      if (rest.length > 0 || (done.length > 0 && outOfTime())) {
        rest.push(queued);
        continue;
      }
      try {
        if (queued.step(outOfTime)) done.push([queued, undefined]);
        else rest.push(queued);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        done.push([queued, error]);
      }
    }
    options.beforeCommit();
    return { done, rest };
  }

  function commitFailed(batch: readonly Queued[], error: Error): void {
    checkedAt = Number.NEGATIVE_INFINITY;
    const { free, reserve } = freeDisk();
    const text = error.message;
    let told: StoreError;
    if (free < reserve * 2 || /MAP_FULL|no space/i.test(text)) told = outOfSpace(`no room for this write: ${text}`);
    else {
      told = new StoreError(1, 'InternalError', `the write was undone: ${text}`);
      // An error of the disk that is not about room: what the system has kept is unknown, so nothing more is written.
      if (/Input\/output error/i.test(text)) broken = `the disk failed (${text}): restart the store`;
    }
    options.onUndone(error);
    for (const queued of batch) queued.reject(told);
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      let result: ReturnType<typeof runBatch> | undefined;
      try {
        await root.childTransaction(() => {
          result = runBatch(batch);
        });
      } catch (error) {
        root.resetReadTxn();
        commitFailed(batch, await causeOf(error));
        continue;
      }
      root.resetReadTxn();
      if (result === undefined) throw new Error('the transaction did not run');
      if (result.rest.length > 0) queue = [...result.rest, ...queue];
      options.onCommitted();
      for (const [queued, error] of result.done) {
        if (error === undefined) queued.resolve();
        else queued.reject(error);
      }
      // Lets the sockets be read: what they bring belongs to the next batch.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    draining = undefined;
  }

  return {
    docs,
    index,
    meta,
    usedBytes,
    read(table, key, allocate = Buffer.allocUnsafe) {
      const found = table.getBinaryFast(key);
      if (found === undefined) return undefined;
      // The one buffer of all reads: longer than its `length` says, and overwritten by the next read.
      const copy = allocate(found.length);
      copy.set(new Uint8Array(found.buffer, found.byteOffset, found.length));
      return copy;
    },
    write(step, grows) {
      if (closed) return Promise.reject(new StoreError(91, 'ShutdownInProgress', 'the store is stopping'));
      if (broken !== undefined) return Promise.reject(new StoreError(1, 'InternalError', broken));
      if (grows) {
        checkRoom();
        if (noRoom !== undefined) return Promise.reject(outOfSpace(noRoom));
      }
      return new Promise<void>((resolve, reject) => {
        queue.push({ step, grows, resolve, reject });
        draining ??= drain();
      });
    },
    async backup(directory) {
      mkdirSync(directory, { recursive: true });
      await root.backup(directory, true);
    },
    async close() {
      closed = true;
      while (draining !== undefined) await draining;
      await root.close();
    },
  };
}
