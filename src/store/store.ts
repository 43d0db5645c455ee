import mongoose from 'mongoose';
import type { Log } from '../log.js';
import { isSocketError } from './failure.js';
import { defineModels, type Models } from './models.js';

/** An update of a command of updates: filter and change as MongoDB takes them. */
export interface Update {
  readonly filter: Readonly<Record<string, unknown>>;
  readonly change: Readonly<Record<string, unknown>>;
  readonly upsert?: boolean;
}

/** The connection and the models on it. */
export interface Store {
  readonly connection: mongoose.Connection;
  readonly models: Models;
  /** True while the driver sees a server that takes writes. */
  reachable(): boolean;
  /**
   * Carries out updates of one collection, each whatever becomes of the others, by a command for 64 of them: the driver's bulk writes cost as much CPU as all the rest of such a
   * command. Rejects with the driver's error, or that of the first update that failed (code 11000: see duplicateKey). The driver does not try it again.
   */
  update(model: keyof Models, updates: readonly Update[]): Promise<void>;
  close(): Promise<void>;
}

/** An error of the store's services, with a stable code and an HTTP status that fits. */
export class StoreError extends Error {
  constructor(
    readonly code:
      | 'PH_STORE_AWAY'
      | 'PH_STORE_FULL'
      | 'PH_TOO_MANY_WAITING'
      | 'PH_IDEMPOTENCY_CONFLICT'
      | 'PH_LEASE_FENCED'
      | 'PH_PAGE_TOO_LARGE'
      | 'PH_TEXT_MALFORMED'
      | 'PH_TEXT_UNSPLITTABLE',
    message: string,
    readonly retryAfterS?: number,
  ) {
    super(message);
    this.name = 'StoreError';
  }
}

/** How long an operation looks for a server before it fails, ms. The caller tries again; a lost connection is a state. */
const SERVER_SELECTION_MS = 2_000;

/**
 * Connects to `uri`. Writes ask for w: majority, j: true and reads for majority, whatever the URI says (docs/protocol.md).
 * Resolves once connected; rejects with the driver's error when no server answers within `timeoutMs` (default 10,000).
 */
export async function openStore(uri: string, log: Log, timeoutMs = 10_000): Promise<Store> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const connection = mongoose.createConnection();
    try {
      await connection.openUri(uri, {
        autoCreate: false,
        autoIndex: false,
        writeConcern: { w: 'majority', journal: true },
        readConcern: { level: 'majority' },
        serverSelectionTimeoutMS: SERVER_SELECTION_MS,
        connectTimeoutMS: SERVER_SELECTION_MS,
        heartbeatFrequencyMS: 2_000,
        minHeartbeatFrequencyMS: 100,
        maxPoolSize: 16,
        ...(namesDatabase(uri) ? {} : { dbName: 'posthorn' }),
      });
      return watched(connection, log);
    } catch (error) {
      await connection.destroy().catch(() => undefined);
      if (Date.now() >= deadline || !isConnectionError(error)) throw error;
    }
  }
}

/** Whether a connection string names a database; several hosts may stand in it, so it is no URL. */
const namesDatabase = (uri: string): boolean => /^mongodb(\+srv)?:\/\/[^/]+\/[^?]/.test(uri);

function watched(connection: mongoose.Connection, log: Log): Store {
  let up = true;
  connection.getClient().on('topologyDescriptionChanged', ({ newDescription }) => {
    const now = [...newDescription.servers.values()].some((server) => server.isWritable);
    if (now !== up) {
      if (now) log.info({}, 'store reached again');
      else log.warn({}, 'store lost; trying again until it is back');
    }
    up = now;
  });
  connection.on('error', (error: unknown) => {
    log.warn({ error: String(error) }, 'store connection error');
  });
  const models = defineModels(connection);
  return {
    connection,
    models,
    reachable: () => up,
    update: (model, updates) => updateAll(connection, models[model].collection.collectionName, updates),
    close: () => connection.close(),
  };
}

/** Updates of one command: the rows of results that they write are 12 KB, with errors of all items 300 KB, and a command has 16 MB. */
const UPDATES_OF_A_COMMAND = 64;

/** What a server answers to a command of updates. */
interface UpdateAnswer {
  readonly writeErrors?: readonly WriteFault[];
  readonly writeConcernError?: WriteFault;
}

interface WriteFault {
  readonly code: number;
  readonly errmsg: string;
  readonly keyPattern?: Record<string, unknown>;
}

async function updateAll({ db }: mongoose.Connection, collection: string, updates: readonly Update[]): Promise<void> {
  if (db === undefined) throw new StoreError('PH_STORE_AWAY', 'the store is not connected');
  let fault: WriteFault | undefined;
  for (let at = 0; at < updates.length; at += UPDATES_OF_A_COMMAND) {
    const answer = (await db.command({
      update: collection,
      updates: updates
        .slice(at, at + UPDATES_OF_A_COMMAND)
        .map(({ filter, change, upsert = false }) => ({ q: filter, u: change, upsert })),
      ordered: false,
      // A command takes nothing of it from the connection.
      writeConcern: { w: 'majority', j: true },
    })) as UpdateAnswer;
    fault ??= answer.writeErrors?.[0] ?? answer.writeConcernError;
  }
  if (fault !== undefined)
    throw Object.assign(new Error(fault.errmsg), { code: fault.code, keyPattern: fault.keyPattern });
}

/** True for errors that mean "no server, or the connection broke": the operation may or may not have been applied. */
export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (isSocketError(error)) return true;
  const labels = (error as { hasErrorLabel?: (label: string) => boolean }).hasErrorLabel;
  return (
    /^Mongo(ose)?(Network|ServerSelection|PoolCleared|ConnectionPoolCleared|NotConnected|TopologyClosed|WaitQueueTimeout|ServerClosed|Runtime)/.test(
      error.name,
    ) ||
    error.name === 'PoolClearedOnNetworkError' ||
    (labels?.call(error, 'RetryableWriteError') ?? false) ||
    [6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436].includes((error as { code?: number }).code ?? -1)
  );
}

/** The server's answer to a duplicate key, or undefined: which index, by its key pattern. */
export function duplicateKey(error: unknown): { keyPattern: Record<string, unknown> } | undefined {
  if (error === null || typeof error !== 'object' || (error as { code?: number }).code !== 11000) return undefined;
  const holder = error as {
    keyPattern?: Record<string, unknown>;
    errorResponse?: { keyPattern?: Record<string, unknown> };
    message?: string;
  };
  const keyPattern = holder.keyPattern ?? holder.errorResponse?.keyPattern;
  if (keyPattern !== undefined) return { keyPattern };
  const index = /index: (\S+)/.exec(holder.message ?? '')?.[1] ?? '';
  return {
    keyPattern: Object.fromEntries(
      index
        .split('_')
        .filter((part) => !/^-?1?$/.test(part))
        .map((part) => [part, 1]),
    ),
  };
}

/** Size of the capped collection of wakes, bytes: a few thousand hints, which a cursor that is opened reads once. */
const WAKES_BYTES = 262_144;
/** Answers of servers that know no capped collections: NotImplemented, CommandNotSupported, InvalidOptions, FailedToParse, BadValue, IDLUnknownField. */
const NOT_CAPPED = [238, 115, 72, 9, 2, 40_415, 303];

/** Makes the collections and indexes that are missing. Idempotent; several processes may run it at once. */
export async function createIndexes(store: Store): Promise<void> {
  const { Wakes, ...others } = store.models;
  if ((await createWakes(store)) && (await Wakes.collection.estimatedDocumentCount()) === 0) {
    // A tailable cursor on an empty capped collection dies at once: one sentinel keeps it alive.
    await Wakes.collection.insertOne({ bot: '', part: 'sentinel', at: new Date() });
  }
  for (const model of Object.values(others)) {
    await (model as unknown as { createIndexes(): Promise<void> }).createIndexes();
  }
}

/** Makes the capped collection of wakes; false where the server knows none: there new pages are polled for. */
async function createWakes(store: Store): Promise<boolean> {
  const { collectionName } = store.models.Wakes.collection;
  try {
    await store.connection.createCollection(collectionName, { capped: true, size: WAKES_BYTES });
    return true;
  } catch (error) {
    const code = (error as { code?: number }).code ?? -1;
    if (code === 48) return true; // NamespaceExists
    if (NOT_CAPPED.includes(code)) return false;
    throw error;
  }
}
