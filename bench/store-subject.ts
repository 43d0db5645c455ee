import { type Collection, MongoClient } from 'mongodb';
import { type BenchDocument, BOT, documentOf, INDEXES, idOf } from './store-documents.js';

/** Makes one measured piece of work ready; what comes back is timed. It rejects when an answer is not the one that must come. */
export type Prepared = () => Promise<void>;

/** Something that is measured: each piece of work by the same words. */
export interface Subject {
  insert(from: number, count: number): Prepared;
  findById(numbers: readonly number[], inFlight: number): Prepared;
  /** So many times: the queued document of the lowest updateId becomes a claimed one. */
  claim(times: number, inFlight: number): Prepared;
  /** One command that gives each of these documents the state, unordered. */
  update(numbers: readonly number[], state: string): Prepared;
  /** Counts all documents by a field. */
  group(documents: number): Prepared;
  close(): Promise<void>;
}

/** A server of MongoDB's wire protocol, by the unmodified driver. */
export interface ServerSubject extends Subject {
  readonly collection: Collection<BenchDocument>;
}

/** Runs `work` for each item, so many at once. */
export async function inParallel<T>(
  items: readonly T[],
  inFlight: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(inFlight, items.length) }, async () => {
      while (next < items.length) await work(items[next++] as T);
    }),
  );
}

function expect(is: unknown, must: unknown, what: string): void {
  if (is !== must) throw new Error(`${what}: ${String(is)} instead of ${String(must)}`);
}

/** Connects and makes an empty collection with its indexes. Rejects when the server cannot be reached. */
export async function serverSubject(uri: string): Promise<ServerSubject> {
  const client = new MongoClient(uri, { maxPoolSize: 40, minPoolSize: 0 });
  await client.connect();
  const collection = client.db('bench').collection<BenchDocument>('updates');
  await collection.createIndexes([...INDEXES]);
  return {
    collection,
    insert(from, count) {
      const documents = Array.from({ length: count }, (_, i) => documentOf(from + i));
      return async () => {
        const { insertedCount } = await collection.insertMany(documents, { ordered: false });
        expect(insertedCount, count, 'inserted');
      };
    },
    findById(numbers, inFlight) {
      return () =>
        inParallel(numbers, inFlight, async (number) => {
          const found = await collection.findOne({ _id: idOf(number) });
          expect(found?.updateId, documentOf(number).updateId, 'the document found');
        });
    },
    claim(times, inFlight) {
      return async () => {
        const claimed = new Set<number>();
        await inParallel(Array.from({ length: times }), inFlight, async () => {
          const document = await collection.findOneAndUpdate(
            { bot: BOT, state: 'queued' },
            { $set: { state: 'claimed' }, $inc: { tries: 1 } },
            { sort: { updateId: 1 }, returnDocument: 'after' },
          );
          expect(document?.state, 'claimed', 'the state of a claimed document');
          claimed.add(document?.updateId ?? 0);
        });
        expect(claimed.size, times, 'documents claimed, each once');
      };
    },
    update(numbers, state) {
      const operations = numbers.map((number) => ({
        updateOne: { filter: { _id: idOf(number) }, update: { $set: { state }, $inc: { tries: 1 } } },
      }));
      return async () => {
        const { modifiedCount } = await collection.bulkWrite(operations, { ordered: false });
        expect(modifiedCount, numbers.length, 'updated');
      };
    },
    group(documents) {
      return async () => {
        const groups = await collection
          .aggregate<{ n: number }>([{ $group: { _id: '$state', n: { $sum: 1 }, tries: { $sum: '$tries' } } }])
          .toArray();
        expect(
          groups.reduce((sum, { n }) => sum + n, 0),
          documents,
          'documents in groups',
        );
      };
    },
    close: () => client.close(),
  };
}
