import type { Store } from './commands/context.js';
import { openCursors } from './commands/cursors.js';
import { openWakes } from './commands/wakes.js';
import { type Catalog, openCatalog } from './storage/catalog.js';
import { openEngine } from './storage/engine.js';
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
}

/** Opens the store itself, without listener or lock. Throws PH_STORE_FORMAT when the files are of a newer version, and what lmdb throws. */
export function openStore(options: StoreOptions): Store {
  const wakes = openWakes();
  const startedAt = performance.now();
  let catalog: Catalog | undefined;
  const engine = openEngine({
    directory: options.directory,
    maxBytes: options.maxBytes,
    beforeCommit: () => catalog?.save(),
    onUndone(error) {
      wakes.forget();
      options.log?.error({ err: error }, 'local store: a write was undone');
      catalog?.reload();
    },
    onCommitted: () => wakes.fire(),
  });
  try {
    catalog = openCatalog(engine);
  } catch (error) {
    void engine.close();
    throw error;
  }
  return {
    engine,
    catalog,
    records: openRecords(engine, catalog),
    cursors: openCursors(() => performance.now()),
    wakes,
    now: options.now,
    clients: options.clients,
    uptimeMs: () => performance.now() - startedAt,
  };
}
