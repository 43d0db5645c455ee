import { MongoServerError } from 'mongodb';

/** The error with which a server answers. Rejects when it answers without one, and with any other error. */
export async function failure(promise: Promise<unknown>): Promise<MongoServerError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MongoServerError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}
