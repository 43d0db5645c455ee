import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startEmbeddedStore } from '../../src/local/mongo/server.js';
import { silentLog } from '../../src/log.js';
import { createIndexes, openStore, type Store } from '../../src/store/store.js';
import { databaseName, dropDatabase, GIVEN_SERVER, onDatabase } from './given-server.js';

/** A store for one test file: the one at MONGODB_URI, else an embedded one of its own in a temporary directory. */
export interface TestStores {
  /** A connected store on a database of its own, with its indexes; closed (a database of MONGODB_URI is dropped too) when `t` ends. */
  fresh(t: Test): Promise<TestStore>;
}

/** A database of a test. */
export interface TestStore {
  readonly store: Store;
  readonly uri: string;
  /** One more connection to the same database, as of another process, through a proxy when one is given; closed when the test ends. */
  another(through?: CutProxy): Promise<Store>;
  /** A proxy in front of the server; closed when the test ends. */
  proxy(): Promise<CutProxy>;
}

/** Starts the store of a test file; `root` is tap's root test, whose end stops it. */
export async function testStores(root: Pick<Test, 'teardown'>): Promise<TestStores> {
  let base = GIVEN_SERVER;
  if (base === undefined) {
    const dataDir = await mkdtemp(join(tmpdir(), 'store-'));
    const served = await startEmbeddedStore({ dataDir, port: 0 });
    root.teardown(async () => {
      await served.stop();
      await rm(dataDir, { recursive: true, force: true });
    });
    base = served.uri;
  }
  const server = base;
  return {
    async fresh(t) {
      const uri = onDatabase(server, databaseName());
      const store = await openStore(uri, silentLog);
      await createIndexes(store);
      const opened: Store[] = [];
      const proxies: CutProxy[] = [];
      t.teardown(async () => {
        await Promise.all(opened.map((one) => one.close()));
        await store.close();
        if (GIVEN_SERVER !== undefined) await dropDatabase(uri);
        await Promise.all(proxies.map((proxy) => proxy.close()));
      });
      return {
        store,
        uri,
        async another(through) {
          const one = await openStore(through === undefined ? uri : throughProxy(uri, through), silentLog);
          opened.push(one);
          return one;
        },
        async proxy() {
          const url = new URL(uri);
          const proxy = await cutProxy(Number(url.port === '' ? 27_017 : url.port), url.hostname);
          proxies.push(proxy);
          return proxy;
        },
      };
    },
  };
}

/** The same database by way of a proxy; `uri` names one host. */
function throughProxy(uri: string, { port }: CutProxy): string {
  const to = new URL(uri);
  to.host = `127.0.0.1:${port}`;
  to.searchParams.set('directConnection', 'true');
  return to.href;
}

/** A TCP proxy that can cut connections at the worst moment. */
export interface CutProxy {
  readonly port: number;
  /** The next `times` requests that contain all of `words` reach the server, their answers do not: the connection is cut instead. */
  loseAnswers(times: number, ...words: string[]): void;
  /** How many answers were lost so far. */
  readonly lost: number;
  /** Cuts everything and takes no connection until `open`. */
  shut(): void;
  open(): void;
  close(): Promise<void>;
}

async function cutProxy(toPort: number, toHost: string): Promise<CutProxy> {
  const pairs = new Set<Socket>();
  let closed = false;
  let left = 0;
  let lost = 0;
  let wanted: readonly string[] = [];
  const server = createServer((client) => {
    if (closed) {
      client.destroy();
      return;
    }
    const upstream = connect(toPort, toHost);
    pairs.add(client).add(upstream);
    let cutting = false;
    const end = () => {
      pairs.delete(client);
      pairs.delete(upstream);
      client.destroy();
      upstream.destroy();
    };
    client.on('data', (chunk) => {
      if (left > 0 && wanted.every((word) => chunk.includes(word))) {
        left -= 1;
        cutting = true;
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (!cutting) {
        client.write(chunk);
        return;
      }
      lost += 1;
      end();
    });
    for (const socket of [client, upstream]) {
      socket.on('error', end);
      socket.on('close', end);
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const cut = () => {
    for (const socket of pairs) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    loseAnswers(times, ...words) {
      left = times;
      wanted = words;
    },
    get lost() {
      return lost;
    },
    shut() {
      closed = true;
      cut();
    },
    open() {
      closed = false;
    },
    close() {
      cut();
      return new Promise((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
