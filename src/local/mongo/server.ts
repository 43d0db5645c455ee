import { randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Store } from './commands/context.js';
import { dispatch } from './commands/dispatch.js';
import { collectGarbage } from './commands/garbage.js';
import { errorReply } from './commands/reply.js';
import { dropUnfinished, expireDocuments } from './commands/upkeep.js';
import { StoreStartError } from './errors.js';
import { WARN_SHARE } from './storage/engine.js';
import { lockHost } from './storage/host-lock.js';
import { MAX_KEY_BYTES } from './storage/index-key.js';
import { openStore, type StoreLog } from './store.js';
import { MAX_DOCUMENT_BYTES } from './update/storable.js';
import { serveConnection } from './wire/connection.js';

/** A running embedded store. */
export interface EmbeddedStore {
  /** `mongodb://127.0.0.1:PORT/posthorn` */
  readonly uri: string;
  readonly port: number;
  /** Open connections. */
  clients(): number;
  /** Ends the connections, finishes the writes under way, closes the file and gives the directory free. Never rejects. */
  stop(): Promise<void>;
}

/** How to start the store. */
export interface EmbeddedStoreOptions {
  /** The files live in `<dataDir>/store`, the port in `<dataDir>/store-port`. */
  readonly dataDir: string;
  /** 0 or missing: the port used last, else any free one. */
  readonly port?: number | undefined;
  /** Size in MiB at which writes are refused. Default 8192; a warning at 80 %. */
  readonly maxMb?: number | undefined;
  readonly log?: StoreLog | undefined;
}

const HOST = '127.0.0.1';
const UPKEEP_MS = 60_000; // MongoDB's TTL monitor runs as often
const DEFAULT_MAX_MB = 8192;
const MIB = 1024 * 1024;
// Below the ports that systems give to outgoing connections: a client that tries again while the store is down could else be given the port it asks for.
const PORT_LOW = 21_000;
const PORT_HIGH = 32_000;
const PORT_TRIES = 20;

function listenOn(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      server.off('listening', listening);
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    };
    const listening = (): void => {
      server.off('error', failed);
      resolve(true);
    };
    server.once('error', failed);
    server.once('listening', listening);
    server.listen({ host: HOST, port, exclusive: true });
  });
}

function keptPort(path: string): number | undefined {
  try {
    const port = Number(readFileSync(path, 'utf8'));
    return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps a port for the next start, whole or not at all; what is kept already is not written again: the disk may be full. */
function keepPort(path: string, port: number): void {
  if (keptPort(path) === port) return;
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, String(port));
  renameSync(fresh, path);
}

async function listen(server: Server, wanted: number, portFile: string): Promise<number> {
  if (wanted !== 0) {
    if (await listenOn(server, wanted)) return wanted;
    throw new StoreStartError('PH_STORE_PORT_TAKEN', `port ${wanted} for the local store is taken by another program`);
  }
  const kept = keptPort(portFile);
  if (kept !== undefined && (await listenOn(server, kept))) return kept;
  for (let i = 0; i < PORT_TRIES; i++) {
    const port = randomInt(PORT_LOW, PORT_HIGH);
    if (await listenOn(server, port)) return port;
  }
  await listenOn(server, 0);
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function startUpkeep(store: Store, log: StoreLog | undefined): NodeJS.Timeout {
  const timer = setInterval(() => {
    store.cursors.sweep();
    expireDocuments(store).catch((error: unknown) => log?.warn({ err: error }, 'local store: expiry failed'));
  }, UPKEEP_MS);
  timer.unref();
  return timer;
}

function sayLimits(store: Store, maxMb: number, log: StoreLog | undefined): void {
  log?.info(
    {
      documentBytes: MAX_DOCUMENT_BYTES,
      indexKeyBytes: MAX_KEY_BYTES,
      usedBytes: store.engine.usedBytes(),
      warningMb: Math.floor(maxMb * WARN_SHARE),
      maxMb,
    },
    'local store: what is larger than these limits is refused',
  );
}

/** Starts the embedded store: a stand-alone server of MongoDB's wire protocol on 127.0.0.1, durable on lmdb. Throws PH_STORE_LOCKED when another live process hosts
 * the directory, PH_STORE_PORT_TAKEN when the port asked for is taken, PH_STORE_FORMAT when the files are of a newer version. */
export async function startEmbeddedStore(options: EmbeddedStoreOptions): Promise<EmbeddedStore> {
  mkdirSync(options.dataDir, { recursive: true });
  const lock = await lockHost(options.dataDir);
  const maxMb = options.maxMb ?? DEFAULT_MAX_MB;
  const sockets = new Set<Socket>();
  let store: Store;
  try {
    store = openStore({
      directory: join(options.dataDir, 'store'),
      maxBytes: maxMb * MIB,
      now: () => Date.now(),
      clients: () => sockets.size,
      log: options.log,
    });
  } catch (error) {
    lock.release();
    throw error;
  }
  const { engine } = store;
  let connections = 0;
  const held = { bytes: 0 };
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    serveConnection(socket, ++connections, {
      refuse: errorReply,
      held,
      execute: (command, connectionId, signal) =>
        dispatch(store, command, { connectionId, signal }, (error, name) =>
          options.log?.error({ err: error, command: name }, 'local store: a command failed by a defect'),
        ),
    });
  });

  const portFile = join(options.dataDir, 'store-port');
  let port: number;
  try {
    await dropUnfinished(store);
    port = await listen(server, options.port ?? 0, portFile);
    keepPort(portFile, port);
  } catch (error) {
    server.close();
    await engine.close();
    lock.release();
    throw error;
  }
  server.on('error', (error) => options.log?.error({ err: error }, 'local store: the listener failed'));
  const upkeep = startUpkeep(store, options.log);
  sayLimits(store, maxMb, options.log);
  void collectGarbage(store);

  let stopping: Promise<void> | undefined;
  async function stop(): Promise<void> {
    clearInterval(upkeep);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
    await engine.close().catch((error: unknown) => options.log?.error({ err: error }, 'local store: closing failed'));
    lock.release();
  }

  return {
    uri: `mongodb://${HOST}:${port}/posthorn`,
    port,
    clients: () => sockets.size,
    stop: () => (stopping ??= stop()),
  };
}
