import {
  type AnyBulkWriteOperation,
  type Collection,
  MongoBulkWriteError,
  MongoClientBulkWriteError,
  MongoServerError,
} from 'mongodb';
import type { Thing } from './thing.js';

/** What an answer counts; `duplicate`: statements that were refused for a key that another document has. */
export interface Counts {
  readonly inserted: number;
  readonly matched: number;
  readonly modified: number;
  readonly deleted: number;
  readonly upserted: number;
  readonly duplicate: number;
}

/** Of an answer that says of nothing that it was done. */
export const NOTHING: Counts = { inserted: 0, matched: 0, modified: 0, deleted: 0, upserted: 0, duplicate: 0 };
/** What several statements count together. Never throws. */
export const sum = (all: readonly Counts[]): Counts =>
  all.reduce(
    (left, right) =>
      Object.fromEntries(
        Object.entries(left).map(([name, value]) => [name, value + right[name as keyof Counts]]),
      ) as never,
    NOTHING,
  );

const DUPLICATE = 11000;

/** What the driver's answers count, where they do. */
interface Told {
  readonly insertedCount?: number | undefined;
  readonly matchedCount?: number | undefined;
  readonly modifiedCount?: number | undefined;
  readonly deletedCount?: number | undefined;
  readonly upsertedCount?: number | undefined;
}

const counted = (told: Told, duplicate = 0): Counts => ({
  inserted: told.insertedCount ?? 0,
  matched: told.matchedCount ?? 0,
  modified: told.modifiedCount ?? 0,
  deleted: told.deletedCount ?? 0,
  upserted: told.upsertedCount ?? 0,
  duplicate,
});

/** The counts of an answer, and of one that tells of duplicate keys only. Rejects with any other error. */
export async function countsOf(answer: Promise<Told>): Promise<Counts> {
  try {
    return counted(await answer);
  } catch (error) {
    if (error instanceof MongoBulkWriteError && error.code === DUPLICATE) {
      const writeErrors = [error.writeErrors].flat();
      if (writeErrors.length > 0 && writeErrors.every(({ code }) => code === DUPLICATE))
        return counted(error, writeErrors.length);
    } else if (error instanceof MongoClientBulkWriteError) {
      const writeErrors = [...error.writeErrors.values()];
      if (writeErrors.length > 0 && writeErrors.every(({ code }) => code === DUPLICATE))
        return counted(error.partialResult ?? {}, writeErrors.length);
    } else if (error instanceof MongoServerError && error.code === DUPLICATE) return { ...NOTHING, duplicate: 1 };
    throw error;
  }
}

/** Whether two states of a thing are the same. Never throws. */
export function same(one: Thing | undefined, other: Thing | undefined): boolean {
  return ordered(one) === ordered(other);
}

/** A value as a text in which the order of fields says nothing. Never throws. */
export function ordered(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([left], [right]) => (left < right ? -1 : 1)))
      : part,
  );
}

/** Asks for one statement by itself. */
export function askAlone(collection: Collection<Thing>, operation: AnyBulkWriteOperation<Thing>): Promise<Told> {
  if ('insertOne' in operation)
    return collection
      .insertOne(operation.insertOne.document as Thing)
      .then(({ acknowledged }) => ({ insertedCount: acknowledged ? 1 : 0 }));
  if ('updateOne' in operation) {
    const { filter, update, ...options } = operation.updateOne;
    return collection.updateOne(filter, update, options);
  }
  if ('updateMany' in operation) {
    const { filter, update, ...options } = operation.updateMany;
    return collection.updateMany(filter, update, options);
  }
  if ('replaceOne' in operation) {
    const { filter, replacement } = operation.replaceOne;
    return collection.replaceOne(filter, replacement) as Promise<Told>;
  }
  return 'deleteOne' in operation
    ? collection.deleteOne(operation.deleteOne.filter ?? {})
    : collection.deleteMany(operation.deleteMany.filter ?? {});
}
