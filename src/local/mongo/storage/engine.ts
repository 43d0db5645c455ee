import { mkdirSync, statfsSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { diskFailed, outOfSpace, StoreError, StoreStartError } from '../errors.js';
import { FILE_NAME, inspectPages, readHeader } from './file-header.js';

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
  /** What every write is refused with now: OutOfDiskSpace (14031) while there is no room, FileStreamFailed (39) since the disk failed, ShutdownInProgress (91) since another process hosts the store; undefined while they are taken. */
  refusal(): StoreError | undefined;
  /** Throws that too when nothing can be read any more either: the disk failed so that lmdb gave up, or another process hosts the store (ShutdownInProgress, 91). */
  checkReadable(): void;
  close(): Promise<void>;
}

/** Share of `maxBytes` in use at which an operator is warned. */
export const WARN_SHARE = 0.8;

/** What the engine is made of. */
export interface EngineOptions {
  readonly directory: string;
  readonly maxBytes: number;
  /** Called inside of the transaction, before the steps. Throws OtherHost when another process has written to the file. */
  beforeSteps(): void;
  /** Called inside of the transaction, after the steps: writes what they left to be written. */
  beforeCommit(): void;
  /** Called when a batch was undone: what is in memory must be read again. */
  onUndone(error: unknown): void;
  /** Called after each batch that is on the disk. */
  onCommitted(): void;
  /** Called when writes begin to be refused, with the reason, and when they are taken again. */
  onRefusal?(reason: string | undefined): void;
  /** Called with the bytes in use when they come to be more than 80 % of `maxBytes`: once until they were less again. */
  onNearLimit?(usedBytes: number): void;
  /** lmdb's `open`, or one whose files fail. */
  readonly open?: typeof open;
  /** While the last batch took less than this with its commit, ms (default 3), the next is committed here and not by lmdb's thread. 0: always by the thread. */
  readonly quickMs?: number | undefined;
}

/** Another process has written to the file since this one read it: what this one has in memory is void. */
export class OtherHost extends Error {}

interface Queued {
  readonly step: WriteStep;
  readonly grows: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

interface BatchResult {
  /** What is settled after the commit, with what it failed by. */
  readonly done: readonly (readonly [Queued, StoreError | undefined])[];
  /** The one that is to be called again. */
  readonly unfinished: Queued | undefined;
  /** Those that were not called. */
  readonly waiting: readonly Queued[];
}

const TABLES = ['docs', 'index', 'meta'] as const;
type TableName = (typeof TABLES)[number];

const FILE_OPTIONS = {
  noSubdir: false, // else a dot in the directory's name would make it a file's
  encoding: 'binary',
  keyEncoding: 'binary',
  maxDbs: 8,
} as const;
// How long a batch may hold the event loop: while several write, and when one has been alone for some time (a fifth more updates a second, measured).
const BATCH_MS = 6;
const LONE_BATCH_MS = 20;
const LONE_AFTER_MS = 200;
// Less than a batch may hold the loop. A commit by lmdb's thread is two ways between threads: worth it for a long one, or a slow disk (docs/decisions/0023-commits-without-a-thread.md).
const QUICK_MS = 3;
const SPACE_CHECK_MS = 100;
const CAUSE_MS = 1000;
const RESERVE_BYTES = 32 * 1024 * 1024;
const NO_ROOM = /MAP_FULL|no space|quota|file too large/i;
const DISK_FAILED = /Input\/output error|MDB_PANIC|MDB_CORRUPTED|MDB_PAGE_NOTFOUND|read-only file system/i;
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

function readBytes(
  table: Table,
  key: Buffer,
  allocate: (bytes: number) => Buffer = Buffer.allocUnsafe,
): Buffer | undefined {
  const found = table.getBinaryFast(key);
  if (found === undefined) return undefined;
  // The one buffer of all reads: longer than its `length` says, and overwritten by the next read.
  const copy = allocate(found.length);
  copy.set(new Uint8Array(found.buffer, found.byteOffset, found.length));
  return copy;
}

/** The three tables of a file. Throws PH_STORE_FORMAT when it holds other tables: another program's. */
function openTables(root: RootDatabase<Buffer, Buffer>, directory: string): Readonly<Record<TableName, Table>> {
  const found = [...root.getKeys({ limit: TABLES.length + 1 })].map((key) => key.toString().replace(/\0$/, ''));
  if (found.some((name) => !(TABLES as readonly string[]).includes(name))) {
    throw new StoreStartError(
      'PH_STORE_FORMAT',
      `${directory} holds the data of another program: tables ${found.join(', ')}`,
    );
  }
  const table = (name: TableName): Table => root.openDB(name, { encoding: 'binary', keyEncoding: 'binary' });
  return { docs: table('docs'), index: table('index'), meta: table('meta') };
}

/** A file that is only read, in the state of one moment: of a store that serves, too. */
export interface Snapshot extends Pick<Engine, 'docs' | 'index' | 'meta' | 'read'> {
  /** Copies this state into a directory. */
  copyTo(directory: string): Promise<void>;
  close(): Promise<void>;
}

/** Looks at every page of the state that a reader of lmdb's own holds: what it holds is not written over meanwhile. */
function inspectHeld(root: RootDatabase<Buffer, Buffer>, directory: string): void {
  for (;;) {
    const header = readHeader(directory);
    const held = root.useReadTransaction();
    try {
      if (header === undefined) return;
      if (readHeader(directory)?.transaction !== header.transaction) continue; // which of the two is held is not known
      inspectPages(directory, header, true);
      return;
    } finally {
      held.done();
    }
  }
}

/** Opens the file in `directory` for reading, beside the process that may serve it, and looks at every page of it. All that is read before the next await is of one commit. Throws
 * PH_STORE_FORMAT, and what lmdb throws. */
export function openSnapshot(directory: string): Snapshot {
  readHeader(directory);
  const root: RootDatabase<Buffer, Buffer> = open({ path: directory, ...FILE_OPTIONS, readOnly: true });
  try {
    inspectHeld(root, directory);
    return {
      ...openTables(root, directory),
      read: readBytes,
      async copyTo(target) {
        mkdirSync(target, { recursive: true });
        await root.backup(target, true);
      },
      close: () => root.close(),
    };
  } catch (error) {
    void root.close();
    throw error;
  }
}

/** Makes a file as long as its last commit may reach to, once all that the commit needs was found in it. Throws PH_STORE_FORMAT when something was not. */
function completeFile(directory: string): void {
  const header = readHeader(directory);
  if (header !== undefined && inspectPages(directory, header, false))
    truncateSync(join(directory, FILE_NAME), header.expected);
}

/** Opens the file in `directory` (made when missing). Each batch of writes is one transaction of lmdb, flushed before any of them settles; what comes
 * meanwhile is the next batch. Throws what lmdb throws when the directory cannot be opened. */
export function openEngine(options: EngineOptions): Engine {
  const { quickMs = QUICK_MS } = options;
  mkdirSync(options.directory, { recursive: true });
  completeFile(options.directory);
  const root: RootDatabase<Buffer, Buffer> = (options.open ?? open)({
    path: options.directory,
    ...FILE_OPTIONS,
    mapSize: Math.ceil(options.maxBytes * PAGE_FACTOR) + 512 * 1024 * 1024,
    // A commit settles when it is flushed, and becomes visible no sooner: no reader sees what a power cut could take back.
    overlappingSync: false,
    // With it lmdb makes a promise of its own for each turn that nobody can hold: a commit that fails would end the process.
    eventTurnBatching: false,
  });
  const tables = openTables(root, options.directory);
  const { docs, index, meta } = tables;

  let queue: Queued[] = [];
  let draining: Promise<void> | undefined;
  let closed = false;
  let checkedAt = Number.NEGATIVE_INFINITY;
  let noRoom: string | undefined;
  let broken: StoreError | undefined;
  let told: 'writes' | 'full' | 'broken' = 'writes';
  let nearLimit = false;
  let isReadable = true;
  let sharedAt = Number.NEGATIVE_INFINITY; // when several writes were last in one batch
  let lastMs = Number.POSITIVE_INFINITY; // what the last batch took, with its commit

  function tell(): void {
    const state = broken === undefined ? (noRoom === undefined ? 'writes' : 'full') : 'broken';
    if (state === told) return;
    told = state;
    options.onRefusal?.(broken?.message ?? noRoom);
  }

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
    const used = usedBytes();
    const isNear = used > options.maxBytes * WARN_SHARE;
    if (isNear && !nearLimit) options.onNearLimit?.(used);
    nearLimit = isNear;
    if (free < reserve) noRoom = `the disk of the store has ${Math.floor(free / 1024)} KiB left: writes are refused`;
    else if (used > options.maxBytes) {
      noRoom = `the store has reached its limit of ${Math.floor(options.maxBytes / 1048576)} MB: writes are refused`;
    } else noRoom = undefined;
    tell();
  }

  function runBatch(batch: readonly Queued[]): BatchResult {
    const began = performance.now();
    if (batch.length > 1) sharedAt = began;
    const end = began + (began - sharedAt > LONE_AFTER_MS ? LONE_BATCH_MS : BATCH_MS);
    const outOfTime = (): boolean => performance.now() >= end;
    const done: [Queued, StoreError | undefined][] = [];
    options.beforeSteps();
    let unfinished: Queued | undefined;
    let at = 0;
    while (at < batch.length && unfinished === undefined && (at === 0 || !outOfTime())) {
      const queued = batch[at++] as Queued;
      try {
        if (queued.step(outOfTime)) done.push([queued, undefined]);
        else unfinished = queued;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        done.push([queued, error]);
      }
    }
    options.beforeCommit();
    return { done, unfinished, waiting: batch.slice(at) };
  }

  /** What a failed commit means from now on, or for it alone. */
  function verdict(error: Error): StoreError {
    if (error instanceof OtherHost) {
      isReadable = false;
      broken = new StoreError(
        91,
        'ShutdownInProgress',
        `another process hosts the store by now (${options.directory})`,
      );
      return broken;
    }
    const text = error.message;
    const { free, reserve } = freeDisk();
    const forRoom = free < reserve * 2 || NO_ROOM.test(text);
    try {
      options.onUndone(error);
    } catch {
      isReadable = false; // lmdb gives the whole file up when it could not write the page that says what is committed
    }
    // Not about room: what the system has kept of the pages it was given is unknown (a second fsync would say "done" of pages that it has given up), so
    // nothing more is written. What was committed before is whole: lmdb never writes over a page that a commit needs.
    if (!isReadable || (!forRoom && DISK_FAILED.test(text))) {
      const left = isReadable ? 'nothing more is written, reads go on' : 'nothing is read or written any more';
      broken = diskFailed(`the disk of the store failed (${text}): ${left}; see to the disk, then restart the store`);
      return broken;
    }
    if (forRoom) return outOfSpace(`no room for this write: ${text}`);
    return new StoreError(1, 'InternalError', `the write was undone: ${text}`);
  }

  function commitFailed(batch: readonly Queued[], error: Error): void {
    checkedAt = Number.NEGATIVE_INFINITY;
    const answer = verdict(error);
    tell();
    for (const queued of batch) queued.reject(answer);
  }

  /** Runs a batch as one transaction; it is on the disk when this is over. Rejects with what a step threw that undoes the batch, and with lmdb's error. */
  async function transact(batch: readonly Queued[]): Promise<BatchResult> {
    let result: BatchResult | undefined;
    let began = 0;
    const run = (): void => {
      began = performance.now();
      result = runBatch(batch);
    };
    if (lastMs < quickMs) root.transactionSync(run);
    else await root.childTransaction(run);
    if (result === undefined) throw new Error('the transaction did not run');
    lastMs = performance.now() - began;
    return result;
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      if (broken !== undefined) {
        for (const queued of batch) queued.reject(broken);
        continue;
      }
      let result: BatchResult;
      try {
        result = await transact(batch);
      } catch (error) {
        root.resetReadTxn();
        commitFailed(batch, await causeOf(error));
        continue;
      }
      root.resetReadTxn();
      const { unfinished, waiting } = result;
      // A long write goes behind those that came meanwhile: it holds none of them up for longer than a batch, nor they it.
      queue = [...waiting, ...queue, ...(unfinished === undefined ? [] : [unfinished])];
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
    refusal() {
      if (broken !== undefined) return broken;
      checkRoom();
      return noRoom === undefined ? undefined : outOfSpace(noRoom);
    },
    checkReadable() {
      if (!isReadable && broken !== undefined) throw broken;
    },
    read: readBytes,
    write(step, grows) {
      if (closed) return Promise.reject(new StoreError(91, 'ShutdownInProgress', 'the store is stopping'));
      if (broken !== undefined) return Promise.reject(broken);
      if (grows) {
        checkRoom();
        if (noRoom !== undefined) return Promise.reject(outOfSpace(noRoom));
      }
      return new Promise<void>((resolve, reject) => {
        queue.push({ step, grows, resolve, reject });
        draining ??= drain();
      });
    },
    async close() {
      closed = true;
      while (draining !== undefined) await draining;
      await root.close();
    },
  };
}
