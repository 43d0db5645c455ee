import { randomBytes } from 'node:crypto';
import { MongoClient } from 'mongodb';
import type { Test } from 'tap';

/** The server that MONGODB_URI names for tests; undefined: each test has an embedded store of its own. */
export const GIVEN_SERVER = process.env.MONGODB_URI;

/** A connection string to `database` on the server of another connection string, with its options. */
export const onDatabase = (server: string, database: string): string =>
  server.replace(/^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/[^?]*)?/, `$1/${database}`);

/** A name that no other test has. */
export const databaseName = (): string => `t_${randomBytes(6).toString('hex')}`;

const uris = new Map<string, string>();

/**
 * What a process of the program needs in its environment for a store of its own that all processes started for `dir` share: nothing where tests have embedded stores,
 * which it then finds or hosts by DATA_DIR; else a database on the given server, dropped when `t` ends.
 */
export function storeEnv(t: Test, dir: string): Readonly<Record<string, string>> {
  if (GIVEN_SERVER === undefined) return {};
  const known = uris.get(dir);
  if (known !== undefined) return { MONGODB_URI: known };
  const uri = onDatabase(GIVEN_SERVER, databaseName());
  uris.set(dir, uri);
  t.teardown(() => dropDatabase(uri));
  return { MONGODB_URI: uri };
}

/** Drops the database that the connection string names. */
export async function dropDatabase(uri: string): Promise<void> {
  const client = new MongoClient(uri);
  try {
    await client.db().dropDatabase();
  } finally {
    await client.close();
  }
}
