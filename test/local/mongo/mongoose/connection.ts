import { MongoClient } from 'mongodb';
import mongoose, { type Connection, type ConnectOptions, type Error as MongooseError } from 'mongoose';
import type { Test } from 'tap';
import { anyServer } from '../../../support/any-server.js';
import { GIVEN_SERVER } from '../../../support/given-server.js';
import { isSecantusDb } from '../../../support/secantusdb.js';

// Mongoose as its users use it, on the embedded store or the server at MONGODB_URI; what its tests assert is what Mongoose's and MongoDB's manuals say.

/** What SecantusDB does otherwise than the manual, by what it is about. */
const SECANTUSDB_DIFFERENCES = {
  'distinct through an array': {
    answers: [],
    explanation: 'of an array the path gives what its documents have; it gives nothing',
  },
  'an expression through an array': {
    answers: [
      { _id: 1, city: 'Oslo' },
      { _id: 2, city: 'Rome' },
      { _id: 3, city: 'Oslo' },
    ],
    explanation: 'a path through an array gives an array, an empty one too; it gives nothing',
  },
  'the positional operator in findAndModify': {
    answers: { code: 2 },
    explanation: 'the operator stands for the element that the filter matched; it finds no match',
  },
  'the trimming of a capped collection': {
    answers: [1, 2, 3, 4],
    explanation: 'a collection holds no more documents than its max; it trims them at the next insert',
  },
} as const;

const { secantusDb, transactional } = await given();

/** What the server at MONGODB_URI is; without one, what an embedded store is. */
async function given(): Promise<{ readonly secantusDb: boolean; readonly transactional: boolean }> {
  if (GIVEN_SERVER === undefined) return { secantusDb: false, transactional: false };
  const client = await new MongoClient(GIVEN_SERVER).connect();
  try {
    const db = client.db('admin');
    const { setName, msg } = await db.command({ hello: 1 });
    const secantusDb = await isSecantusDb(db);
    return { secantusDb, transactional: secantusDb || setName !== undefined || msg === 'isdbgrid' };
  } finally {
    await client.close();
  }
}

/** Whether the server has transactions: a replica set, a cluster, or SecantusDB, which has them as a stand-alone server too. */
export const TRANSACTIONAL = transactional;

/** A connection of Mongoose to a database of its own; closed when `t` ends. */
export async function connected(t: Test, options: ConnectOptions = {}): Promise<Connection> {
  const connection = await mongoose.createConnection(await anyServer(t), options).asPromise();
  t.teardown(() => connection.close());
  return connection;
}

/** Asserts what the manual says of something that SecantusDB is known to do otherwise, and on SecantusDB what is declared of it. */
export function says(t: Test, observed: unknown, expected: unknown, about: keyof typeof SECANTUSDB_DIFFERENCES): void {
  const { answers, explanation } = SECANTUSDB_DIFFERENCES[about];
  if (secantusDb) t.strictSame(observed, answers, `${about} (but ${explanation})`);
  else t.strictSame(observed, expected, about);
}

/** The error of a class with which a promise is rejected. Rejects when it is not, and with any other error. */
export async function rejection<E extends Error>(
  kind: abstract new (...given: never[]) => E,
  promise: Promise<unknown>,
): Promise<E> {
  const outcome = await promise.then(
    () => new Error(`no ${kind.name}`),
    (error: unknown) => error,
  );
  if (outcome instanceof kind) return outcome;
  throw outcome;
}

/** The messages of a validation error by path. */
export const byPath = (error: MongooseError.ValidationError): Record<string, string> =>
  Object.fromEntries(Object.entries(error.errors).map(([path, { message }]) => [path, message]));
