import type { Store } from './commands/context.js';
import { openCursors } from './commands/cursors.js';
import { openWakes } from './commands/wakes.js';
import { type StoreError, StoreStartError } from './errors.js';
import { type Catalog, type Collection, openCatalog } from './storage/catalog.js';
import { type Engine, type EngineOptions, openEngine } from './storage/engine.js';
import { migrateFile } from './storage/migration.js';
import { openRecords } from './storage/records.js';

/** Where the store says what an operator should know. */
export interface StoreLog {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** What a store is opened with. */
export interface StoreOptions {
  /** Where the file lies; made when missing. */
  readonly directory: string;
  /** Size in bytes at which writes are refused. */
  readonly maxBytes: number;
  /** The wall clock, ms since 1970. */
  now(): number;
  /** Open connections. */
  clients(): number;
  readonly log?: StoreLog | undefined;
  /** As the engine's. */
  readonly open?: EngineOptions['open'];
  readonly quickMs?: EngineOptions['quickMs'];
}

function damaged(why: string): StoreStartError {
  return new StoreStartError('PH_STORE_FORMAT', `the store's file is damaged (${why}): restore a backup`);
}

const DAMAGED = /MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID|VERSION_MISMATCH|BAD_TXN|INCOMPATIBLE|PANIC)/;

/** An error of lmdb's about the file itself in our words, with the directory named; any other as it is. */
function startError(error: unknown, directory: string): unknown {
  if (!(error instanceof Error)) return error;
  const own = DAMAGED.test(error.message) ? damaged(error.message) : error;
  if (own instanceof StoreStartError && !own.message.includes(directory)) own.message += ` (${directory})`;
  return own;
}

function openFile(options: EngineOptions): Engine {
  try {
    return openEngine(options);
  } catch (error) {
    throw startError(error, options.directory);
  }
}

/** Tells an operator of the first index key that is too long: the writer of each is told by its error. */
function keyTooLongTeller(log: StoreLog | undefined): (collection: Collection, error: StoreError) => void {
  let told = false;
  return ({ namespace }, { message }) => {
    if (!told) log?.warn({ namespace, error: message }, 'local store: a write was refused for a too long index key');
    told = true;
  };
}

/** Opens the store itself, without listener or lock. Throws PH_STORE_FORMAT when the files are of another version, of another program or damaged, and what lmdb throws. */
export function openStore(options: StoreOptions): Store {
  const wakes = openWakes();
  const startedAt = performance.now();
  let catalog: Catalog | undefined;
  const engine = openFile({
    directory: options.directory,
    maxBytes: options.maxBytes,
    beforeSteps: () => catalog?.checkOwn(),
    beforeCommit: () => catalog?.save(),
    onUndone(error) {
      wakes.forget();
      options.log?.error({ err: error }, 'local store: a write was undone');
      catalog?.reload();
    },
    onCommitted() {
      catalog?.saved();
      wakes.fire();
    },
    onRefusal(reason) {
      if (reason === undefined) options.log?.info({}, 'local store: writes are taken again');
      else options.log?.error({ reason }, 'local store: writes are refused');
    },
    onNearLimit(usedBytes) {
      options.log?.warn(
        { usedBytes, limitBytes: options.maxBytes },
        'local store: more than 80 % of its limit is used',
      );
    },
    ...(options.open === undefined ? {} : { open: options.open }),
    quickMs: options.quickMs,
  });
  try {
    if (migrateFile(engine)) options.log?.info({}, 'local store: the indexes of an older format were built anew');
    catalog = openCatalog(engine);
  } catch (error) {
    void engine.close();
    throw startError(error, options.directory);
  }
  return {
    engine,
    catalog,
    records: openRecords(engine, catalog, keyTooLongTeller(options.log)),
    cursors: openCursors(() => performance.now()),
    wakes,
    now: options.now,
    clients: options.clients,
    uptimeMs: () => performance.now() - startedAt,
  };
}
