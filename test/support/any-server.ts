import type { Test } from 'tap';
import { startEmbeddedStore } from '../../src/local/mongo/server.js';
import { databaseName, dropDatabase, GIVEN_SERVER, onDatabase } from './given-server.js';

/** The connection string of a database of a test's own: on the server at MONGODB_URI, dropped at the end, else on an embedded store, stopped at the end. */
export async function anyServer(t: Test): Promise<string> {
  if (GIVEN_SERVER !== undefined) {
    const uri = onDatabase(GIVEN_SERVER, databaseName());
    t.teardown(() => dropDatabase(uri));
    return uri;
  }
  const store = await startEmbeddedStore({ dataDir: t.testdir() });
  t.teardown(() => store.stop());
  return store.uri;
}
