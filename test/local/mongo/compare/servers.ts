import { MongoClient } from 'mongodb';
import { startEmbeddedStore } from '../../../../src/local/mongo/server.js';
import { startSecantusDb } from '../../../support/secantusdb.js';
import type { Pair } from './compare.js';

/** The embedded store and a SecantusDB side by side. */
export interface Servers {
  readonly pairs: readonly Pair[];
  stop(): Promise<void>;
}

/** Starts both. `program`: where SecantusDB is installed; `dataDir`: an empty directory for the embedded store; `pairs`: how many programs run at a time. */
export async function startServers(program: string, dataDir: string, pairs: number): Promise<Servers> {
  const [embedded, other] = await Promise.all([startEmbeddedStore({ dataDir }), startSecantusDb(program)]);
  const [left, right] = (await Promise.all([embedded.uri, other.uri].map((uri) => new MongoClient(uri).connect()))) as [
    MongoClient,
    MongoClient,
  ];
  return {
    pairs: Array.from({ length: pairs }, (_, i) => ({
      embedded: left.db(`compare_${i}`),
      other: right.db(`compare_${i}`),
    })),
    async stop() {
      await Promise.all([left.close(), right.close()]);
      await Promise.all([embedded.stop(), other.stop()]);
    },
  };
}
